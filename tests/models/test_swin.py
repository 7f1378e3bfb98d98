"""Video Swin: published sizes, windows against slow loops, and nothing that has no effect."""

import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxvid.models import swin
from tests.conftest import cases, fill


def abstract(model, *shape):
    video = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), video)


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "args,given,want,seed", [c for c in cases("ParamCount") if "swin" in c.values[0]["config"]]
)
def test_parameters_are_as_many_as_published(args, given, want, seed):
    (variant,) = re.findall(r"swin-(\w+)-p244-w877", args["config"])
    model = swin.build(variant, num_classes=400)
    params = abstract(model, 1, 4, 32, 32, 3)["params"]
    assert count(params["backbone"]) == want["backbone"]
    assert count(params["head"]) == want["head"]
    assert count(params) == want["total"]
    # The published files also hold the index of every block as a buffer; here it is computed.
    index = swin.offset_index(model.backbone.window)
    assert index.size * sum(model.backbone.depths) == want["backbone_buffers"]


@pytest.mark.parametrize("variant,std", [("test", 0.02), ("mini", 0.0)])
def test_initial_kernels_are_small_as_published_or_keep_the_size_of_signals(variant, std):
    model = swin.build(variant, num_classes=8)
    init = jax.jit(lambda x: model.init(jax.random.key(0), x, train=False))
    params = init(np.zeros((1, 4, 32, 32, 3), np.float32))["params"]["backbone"]
    kernels = flatten_dict(params, sep="/")
    kernels = {path: k for path, k in kernels.items() if path.endswith("/kernel") and k.ndim == 2}
    assert {path.split("/")[-2] for path in kernels} == {"qkv", "proj", "fc1", "fc2", "reduction"}
    for path, kernel in kernels.items():
        assert kernel.std() == pytest.approx(std or len(kernel) ** -0.5, rel=0.3), path


# Windows


def cells(size):
    """Coordinates of a grid, in the order in which its tokens are numbered."""
    return list(itertools.product(*map(range, size)))


@pytest.mark.parametrize("size", [(2, 2, 2), (1, 3, 2), (4, 1, 3), (2, 7, 7)])
def test_offset_index_numbers_the_offsets_in_order(size):
    offsets = itertools.product(*(range(1 - s, s) for s in size))
    row = {offset: i for i, offset in enumerate(offsets)}
    want = [
        [row[tuple(x - y for x, y in zip(p, q, strict=True))] for q in cells(size)]
        for p in cells(size)
    ]
    np.testing.assert_array_equal(swin.offset_index(size), want)


@pytest.mark.parametrize(
    "grid,size,shifted,want",
    [
        ((16, 14, 14), (8, 7, 7), False, ((8, 7, 7), (0, 0, 0))),
        ((16, 14, 14), (8, 7, 7), True, ((8, 7, 7), (4, 3, 3))),
        ((16, 7, 8), (8, 7, 7), True, ((8, 7, 7), (4, 0, 3))),
        ((4, 3, 9), (8, 7, 7), True, ((4, 3, 7), (0, 0, 3))),
        ((4, 3, 5), (8, 7, 7), False, ((4, 3, 5), (0, 0, 0))),
    ],
)
def test_windows_are_clipped_to_the_grid(grid, size, shifted, want):
    assert swin.clip_window(grid, size, shifted) == want


# grid, window, shift: whole windows, padding on one or all axes, axes without a shift
LAYOUTS = [
    ((4, 4, 6), (2, 2, 3), (0, 0, 0)),
    ((4, 4, 6), (2, 2, 3), (1, 1, 1)),
    ((3, 5, 4), (2, 2, 3), (1, 1, 1)),
    ((2, 5, 7), (2, 3, 3), (0, 1, 1)),
    ((5, 4, 4), (4, 2, 2), (2, 0, 1)),
]


@pytest.mark.parametrize("grid,size,shift", LAYOUTS)
def test_partition_and_back(grid, size, shift):
    x = np.random.default_rng(0).standard_normal((2, *grid, 3)).astype(np.float32)
    windows, regions, undo = swin.partition(jnp.asarray(x), size, shift)
    many = [-(-g // s) for g, s in zip(grid, size, strict=True)]
    padded = [m * s for m, s in zip(many, size, strict=True)]
    assert windows.shape == (2, math.prod(many), math.prod(size), 3)
    for (k, window), (n, token) in itertools.product(
        enumerate(cells(many)), enumerate(cells(size))
    ):
        at = [
            (w * s + i + d) % p
            for w, s, i, d, p in zip(window, size, token, shift, padded, strict=True)
        ]
        inside = all(a < g for a, g in zip(at, grid, strict=True))
        want = x[:, *at] if inside else np.zeros((2, 3))
        np.testing.assert_array_equal(windows[:, k, n], want)
    np.testing.assert_array_equal(undo(windows), x)
    assert (regions is None) == (not any(shift))


@pytest.mark.parametrize("grid,size,shift", [row for row in LAYOUTS if any(row[2])])
def test_regions_keep_apart_what_only_the_roll_joined(grid, size, shift):
    grid = [-(-g // s) * s for g, s in zip(grid, size, strict=True)]
    regions = swin.shift_regions(grid, size, shift)
    many = [g // s for g, s in zip(grid, size, strict=True)]
    assert regions.shape == (math.prod(many), math.prod(size))
    assert regions.min() >= 0
    for k, window in enumerate(cells(many)):
        for (m, p), (n, q) in itertools.product(enumerate(cells(size)), repeat=2):
            joined = False  # was either token wrapped around an axis where the other was not?
            for axis, d in enumerate(shift):
                start = window[axis] * size[axis]
                wrapped = [start + c[axis] + d >= grid[axis] for c in (p, q)]
                joined |= wrapped[0] != wrapped[1]
            assert (regions[k, m] != regions[k, n]) == joined


@pytest.mark.parametrize("size", [(2, 2, 3), (1, 2, 3), (2, 2, 2)])
def test_attention_in_full_and_clipped_windows(size):
    """Against loops; a clipped window takes the top-left of the full window's index."""
    window, g, c, n = (2, 2, 3), 2, 6, math.prod(size)
    layer = swin.WindowAttention(g, window=window)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, n, c)).astype(np.float32)
    regions = rng.integers(0, 3, (3, n))
    shapes = jax.eval_shape(lambda x: layer.init(jax.random.key(0), x, regions), x)
    params = fill(shapes)["params"]
    got = jax.jit(lambda p, x: layer.apply(p, x, regions))({"params": params}, x)

    index = swin.offset_index(window)
    table = params["relative_position_bias_table"]
    qkv = x @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    q, k, v = (qkv[..., i * c : (i + 1) * c] for i in range(3))
    mixed = np.zeros_like(x)
    for b, w, head, i in itertools.product(range(2), range(3), range(g), range(n)):
        of = slice(head * c // g, (head + 1) * c // g)
        scores = np.array(
            [
                q[b, w, i, of] @ k[b, w, j, of] / math.sqrt(c / g)
                + table[index[i, j], head]
                - (0 if regions[w, i] == regions[w, j] else np.inf)
                for j in range(n)
            ]
        )
        weights = np.exp(scores - scores.max())
        mixed[b, w, i, of] = weights / weights.sum() @ v[b, w, :, of]
    want = mixed @ params["proj"]["kernel"] + params["proj"]["bias"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# The whole model. 10 frames of 28 x 36 make grids that are padded, shifted and clipped.


@functools.cache
def example():
    """Model, filled variables, video, and the compiled forward pass in evaluation."""
    model = swin.build("test", num_classes=5, drop_path=0.5, dropout=0.5)
    video = np.random.default_rng(1).standard_normal((4, 10, 28, 36, 3)).astype(np.float32)
    return (
        model,
        fill(abstract(model, *video.shape)),
        video,
        jax.jit(lambda v, x: model.apply(v, x, train=False)),
    )


@functools.cache
def training(rate):
    model = swin.build("test", num_classes=5, drop_path=rate, dropout=0.0)
    return jax.jit(lambda v, x, key: model.apply(v, x, train=True, rngs={"dropout": key}))


def test_every_parameter_matters():
    _, variables, video, forward = example()
    leaves, structure = jax.tree.flatten(variables)
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(variables)]
    want = forward(variables, video)
    rng = np.random.default_rng(2)
    still = []
    for i, leaf in enumerate(leaves):
        other = leaf + rng.standard_normal(leaf.shape).astype(leaf.dtype)
        changed = jax.tree.unflatten(structure, [*leaves[:i], other, *leaves[i + 1 :]])
        if np.abs(forward(changed, video) - want).max() < 1e-3:
            still.append(paths[i])
    assert still == []


def test_every_clip_is_on_its_own():
    _, variables, video, forward = example()
    want = forward(variables, video)
    other = video.copy()
    other[1] = 0
    got = forward(variables, other)
    np.testing.assert_array_equal(got[2:], want[2:])
    np.testing.assert_array_equal(got[0], want[0])
    assert np.abs(got[1] - want[1]).max() > 1e-3


def test_without_rates_training_is_evaluation():
    _, variables, video, forward = example()
    got = training(0.0)(variables, video, jax.random.key(3))
    np.testing.assert_allclose(got, forward(variables, video), rtol=1e-5, atol=1e-6)


def test_drop_path_depends_on_the_key_alone():
    _, variables, video, forward = example()
    a, b, again = (training(0.5)(variables, video, jax.random.key(k)) for k in (1, 2, 1))
    np.testing.assert_array_equal(a, again)
    assert np.abs(a - b).max() > 1e-3
    assert np.abs(a - forward(variables, video)).max() > 1e-3


def test_drop_path_skips_whole_clips_and_doubles_the_rest():
    block = swin.Block(2, drop_path=0.5, window=(2, 2, 2))
    x = np.random.default_rng(0).standard_normal((16, 2, 4, 4, 6)).astype(np.float32)
    params = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))
    params["params"]["mlp"]["fc2"] = jax.tree.map(np.zeros_like, params["params"]["mlp"]["fc2"])
    branch = jax.jit(lambda p, x: block.apply(p, x, False))(params, x) - x
    rngs = {"dropout": jax.random.key(0)}
    got = jax.jit(lambda p, x: block.apply(p, x, True, rngs=rngs))(params, x)
    kept = np.abs(got - x).max((1, 2, 3, 4)) > 0
    assert 0 < kept.sum() < 16
    want = np.where(kept[:, None, None, None, None], x + 2 * branch, x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_drop_path_grows_from_zero():
    """With rate 1 in the last block, that block does nothing, whatever its parameters are."""
    # Rates of the test variant's three blocks: 0, 0.5, 1.
    _, variables, video, _ = example()
    changed = jax.tree.map(np.copy, variables)
    last = changed["params"]["backbone"]["stage1_block0"]
    for leaf in (last["attn"]["proj"]["kernel"], last["mlp"]["fc2"]["kernel"]):
        leaf += 1
    key = jax.random.key(0)
    step = training(1.0)
    np.testing.assert_array_equal(step(variables, video, key), step(changed, video, key))
    first = changed["params"]["backbone"]["stage0_block0"]
    first["mlp"]["fc2"]["kernel"] += 1
    keys = [jax.random.key(k) for k in range(3)]
    for key in keys:  # the first block is never skipped
        gap = np.abs(step(variables, video, key) - step(changed, video, key))
        assert (gap.max(1) > 1e-3).all()
