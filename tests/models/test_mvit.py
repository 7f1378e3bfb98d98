"""MViT: pooled attention, class token, widths of blocks, and clips of other sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import mvit
from jaxvid.weights.convert import convert, export
from tests.conftest import CASES, fill

GRID = (2, 4, 4)


def shapes(net, x):
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)["params"]


def tokens(grid=GRID, channels=8):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal((2, 1 + int(np.prod(grid)), channels)), jnp.float32)


def attention(strides, **options):
    rows = (3, 7, 7)
    return mvit.Attention(2, 8, GRID, strides, rows, **options)


def run(net, x, change):
    variables = fill(jax.eval_shape(net.init, jax.random.key(0), x))
    return jax.jit(net.apply)({"params": change(variables["params"])}, x)


def test_the_class_token_is_not_pooled_and_gets_no_query():
    """With values of 0, the result is the pooled queries, and 0 for the token."""

    def without_values(params):
        zero = {k: jnp.zeros_like(x) for k, x in params["norm_v"].items()}
        eye = {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}
        return {**params, "norm_v": zero, "proj": eye}

    y = run(attention(((1, 2, 2), (1, 2, 2))), tokens(), without_values)
    assert y.shape == (2, 1 + 2 * 2 * 2, 8)
    assert not y[:, 0].any()
    heads = y[:, 1:].reshape(2, -1, 2, 4)
    assert (jnp.abs(heads).sum((1, 3)) > 0).all()


def test_heads_share_the_kernels_of_their_pooling():
    """Heads with the same queries, keys and values give the same result."""

    def alike(params):
        def twice(x):  # (..., 3 g d)
            half = x.reshape(*x.shape[:-1], 3, 2, 4)[..., :1, :]
            return jnp.repeat(half, 2, -2).reshape(x.shape)

        eye = {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}
        return {**params, "qkv": {k: twice(x) for k, x in params["qkv"].items()}, "proj": eye}

    y = run(attention(((1, 1, 1), (1, 2, 2))), tokens(), alike)
    np.testing.assert_allclose(y[..., :4], y[..., 4:], atol=1e-5)
    assert np.asarray(y).std() > 0.1


@pytest.mark.parametrize("widen,features", [("attention", 16), ("mlp", 8)])
def test_a_shortcut_that_widens_is_of_the_normalized_tokens(widen, features):
    """Then the scale of the tokens makes no difference."""
    block = mvit.Block(2, 16, GRID, ((1, 1, 1), (1, 2, 2)), (3, 7, 7), widen=widen)
    x = tokens()
    params = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))["params"]
    assert params["mlp"]["fc1"]["kernel"].shape == (features, 4 * features)
    assert params["attn"]["proj"]["kernel"].shape == (features, features)
    assert params["mlp"]["fc2"]["kernel"].shape[-1] == 16
    silent = {**params, "shortcut": jax.tree.map(jnp.zeros_like, params["shortcut"])}
    apply = jax.jit(lambda p, x: block.apply({"params": p}, x, False))
    y = apply(params, x)
    assert np.abs(y - apply(silent, x)).max() > 0.1
    large = apply(params, 1000 * x)
    if widen == "attention":
        np.testing.assert_allclose(large, y, atol=1e-3)


def test_shortcuts_are_maxima_of_overlapping_windows():
    x = jnp.arange(1.0, 1 + 2 * 4 * 4)[None, :, None]
    x = jnp.concatenate([jnp.full((1, 1, 1), 99.0), x], 1)
    y = mvit.pool_shortcut(x, GRID, (1, 2, 2))[0, :, 0]
    np.testing.assert_array_equal(y, [99, 6, 8, 14, 16, 22, 24, 30, 32])
    assert mvit.pool_shortcut(x, GRID, (1, 1, 1)) is x


def test_tables_are_for_lengths_that_are_rounded_down():
    """MViT-L: 312 pixels are 78, 39, 20 and 10 tokens, and its tables are for 78, 39, 19 and 9."""
    fields = list(mvit.backbone("large").blocks())
    assert [fields[i]["rows"] for i in (0, 2, 3, 8, 9, 44, 45)] == [
        (39, 155, 155),
        *[(39, 77, 77)] * 2,
        *[(39, 37, 37)] * 3,
        (39, 17, 17),
    ]
    assert fields[44]["strides"] == ((1, 2, 2), (1, 1, 1))
    assert (fields[44]["heads"], fields[44]["width"]) == (16, 1152)


def test_blocks_before_a_stage_widen_in_their_mlp():
    """The model whose pre-training is MaskFeat does so; heads double where the stage begins."""
    fields = list(mvit.backbone("small", widen="mlp").blocks())
    assert [(f["width"], f["heads"]) for f in fields[:4]] == [
        (192, 1),
        (192, 2),
        (384, 2),
        (384, 4),
    ]
    assert [f["width"] for f in fields[12:]] == [384, 768, 768, 768]


def test_parameters_are_as_many_as_published():
    want = CASES["ParamCount-07"]["expected"]
    net = mvit.build("small", num_classes=400)
    params = shapes(net, mvit.example("small")["video"])
    found = {part: sum(x.size for x in jax.tree.leaves(params[part])) for part in params}
    assert found == {"backbone": want["backbone"], "head": want["head"]}


@pytest.mark.parametrize("shape", [(2, 32, 32), (4, 64, 64), (4, 32, 64)])
def test_clips_of_another_size_are_an_error_unless_tables_are_resized(shape):
    video = jax.ShapeDtypeStruct((1, *shape, 3), jnp.float32)
    with pytest.raises(UserError, match="clips of 4 frames of 32 x 32 pixels"):
        shapes(mvit.backbone("test"), video)
    net = mvit.backbone("test", resize=True)
    assert shapes(net, video) == shapes(mvit.backbone("test"), mvit.example("test")["video"])


def test_tables_of_files_are_resized_to_the_model():
    net, other = (mvit.build("test", num_classes=3, **o) for o in ({}, dict(frames=8, size=64)))
    given, wanted = (
        {"params": shapes(n, jax.ShapeDtypeStruct((1, f, s, s, 3), jnp.float32))}
        for n, f, s in ((net, 4, 32), (other, 8, 64))
    )
    table = mvit.WEIGHTS["mmaction"]
    filled = fill(given)
    found, coverage = convert(export(filled, table, net), wanted, table, net=other)
    assert len(coverage.adapted) == 9
    one, new = (v["params"]["backbone"]["block0"]["attn"]["rel_pos_t"] for v in (filled, found))
    assert (one.shape, new.shape) == ((3, 8), (7, 8))
    np.testing.assert_allclose(new[3], one[1], atol=1e-6)  # no distance
    np.testing.assert_allclose(new[[0, 6]], one[[0, 2]], atol=1e-6)


def test_the_classifier_sees_the_class_token():
    net = mvit.build("test", num_classes=3)
    assert net.head.init_std == 0.02
    features, token = jnp.ones((2, 1, 1, 1, 4)), jnp.zeros((2, 1, 1, 1, 4))
    params = {"fc": {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}}
    out = net.head.apply({"params": params}, (features, token), train=False)
    assert (out.shape, out.any()) == ((2, 3), False)
