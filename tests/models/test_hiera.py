"""Hiera: mask units, pooling of queries, sizes, and files of the pre-training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import hiera
from jaxvid.weights.convert import convert, export
from jaxvid.weights.names import hiera as names
from tests.conftest import fill

NET = hiera.build("test", num_classes=3)
VIDEO = np.random.default_rng(0).standard_normal((2, 4, 32, 32, 3)).astype(np.float32)


def shapes(net, video=VIDEO, **options):
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False, **options), video)


def attend(change, **options):
    """Return the results of attention before and after a change of its input."""
    layer = hiera.Attention(2, 8, **options)
    x = np.random.default_rng(1).standard_normal((1, 3, 4, 4, 8)).astype(np.float32)
    variables = fill(jax.eval_shape(layer.init, jax.random.key(0), x))
    apply = jax.jit(layer.apply)
    return apply(variables, x), apply(variables, change(x))


def second_unit(x):
    return x + np.float32([0, 1, 0])[:, None, None, None]


@pytest.mark.parametrize("local", [True, False])
def test_tokens_of_first_stages_see_their_mask_unit_alone(local):
    one, other = attend(second_unit, local=local, pool=False)
    changed = np.abs(one - other).max((0, 2, 3, 4)) > 1e-6
    np.testing.assert_array_equal(changed, [not local, True, not local])


def test_queries_are_pooled_but_not_keys():
    """Half as many results a side; each token of a unit counts for all of them."""
    one, other = attend(lambda x: x + 3 * np.eye(16)[0].reshape(4, 4, 1), local=True, pool=True)
    assert one.shape == (1, 3, 2, 2, 8)
    assert (np.abs(one - other).max((0, 1, 4)) > 1e-4).all()


def blocks(**options):
    """Return (width, heads, attends inside units, pools) of each block of Hiera-B."""
    seen = []

    def record(heads, width, *, local, pool, **_):
        seen.append((width, heads, local, pool))
        return lambda x, train: x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hiera, "remat", lambda block, policy: record)
        shapes(hiera.backbone("base", **options), np.zeros((1, 16, 224, 224, 3), np.float32))
    return seen


def test_the_first_global_block_is_the_second_of_its_stage():
    found = blocks()
    assert [i for i, (_, _, local, _) in enumerate(found) if local] == [0, 1, 2, 3, 4, 5]
    assert [i for i, block in enumerate(found) if block[3]] == [2, 5, 21]
    assert [found[i][:2] for i in (1, 2, 5, 21)] == [(96, 1), (192, 2), (384, 4), (768, 8)]
    assert [i for i, block in enumerate(blocks(pools=2)) if block[3]] == [2, 5]


def test_the_shortcut_of_a_new_stage_is_of_the_normalized_tokens_and_pooled():
    block = hiera.Block(2, 16, local=True, pool=True)
    x = np.random.default_rng(1).standard_normal((1, 3, 4, 4, 8)).astype(np.float32)
    params = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))["params"]
    silent = {"attn": {"proj"}, "mlp": {"fc2"}}
    for part, (name,) in silent.items():
        zero = jax.tree.map(jnp.zeros_like, params[part][name])
        params = {**params, part: {**params[part], name: zero}}
    y = block.apply({"params": params}, x, False)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    scale, bias = (params["norm1"][key] for key in ("scale", "bias"))
    z = (x - mean) / np.sqrt(var + 1e-6) * scale + bias
    z = z @ params["shortcut"]["kernel"] + params["shortcut"]["bias"]
    want = z.reshape(1, 3, 2, 2, 2, 2, 16).max((3, 5))
    np.testing.assert_allclose(y, want, atol=1e-4)


def test_hidden_units_are_not_seen():
    """Not even by the convolution that makes the tokens, whose windows overlap."""
    net = hiera.backbone("test")
    kept = np.array([[0, 5, 6], [1, 2, 7]])
    variables = fill(shapes(net))
    apply = jax.jit(lambda x: net.apply(variables, x, kept, train=False))
    noise = VIDEO.reshape(2, 2, 2, 2, 16, 2, 16, 3).copy()
    for row, units in enumerate(kept):
        for unit in set(range(8)) - set(units):
            t, u, v = np.unravel_index(unit, (2, 2, 2))
            noise[row, t, :, u, :, v] += 5
    stages, others = apply(VIDEO), apply(noise.reshape(VIDEO.shape))
    assert [x.shape for x in stages] == [(2, 3, 4, 4, 8), (2, 3, 2, 2, 16), (2, 3, 1, 1, 32)]
    for one, other in zip(stages, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_stride_is_that_of_the_last_stage():
    assert [hiera.backbone("base", **o).stride for o in ({}, dict(pools=2))] == [32, 16]


def test_features_of_all_stages_are_maps():
    sizes = jax.eval_shape(
        lambda v, x: hiera.backbone("test", levels=3).apply(v, x, train=False),
        shapes(hiera.backbone("test")),
        VIDEO,
    )
    assert [x.shape for x in sizes] == [(2, 2, 8, 8, 8), (2, 2, 4, 4, 16), (2, 2, 2, 2, 32)]


@pytest.mark.parametrize("options", [dict(size=40), dict(frames=3)])
def test_sizes_that_mask_units_do_not_divide_are_an_error(options):
    net = hiera.backbone("test", **options)
    video = jax.ShapeDtypeStruct((1, net.frames, net.size, net.size, 3), np.float32)
    with pytest.raises(UserError, match=r"model\.size is a multiple of 16 and model\.fr"):
        shapes(net, video)
    with pytest.raises(UserError, match="the model takes clips of"):
        shapes(net)


def test_files_of_the_pre_training_have_a_decoder_that_is_left_out():
    variables, table = fill(shapes(NET)), hiera.WEIGHTS["pretraining"]
    tensors = export(variables, table, NET)
    assert tensors["pos_embed_spatial"].shape == (1, 64, 8)
    gone = [name for name in tensors if name.startswith(("norm.", "head."))]
    extra = ("mask_token", "encoder_norm.weight", "decoder_blocks.0.norm1.bias")
    extra += ("decoder_pos_embed", "multi_scale_fusion_heads.0.weight")
    file = {k: x for k, x in tensors.items() if k not in gone} | dict.fromkeys(extra, np.zeros(2))
    found, coverage = convert(file, variables, table, skip=("head/.*",), net=NET)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert coverage.tensors == coverage.leaves - len(gone)


def test_tables_of_files_are_resized_to_the_model():
    """The published ones are for 8 x 56 x 56 tokens."""
    table = np.random.default_rng(2).standard_normal((56 * 56, 8)).astype(np.float32)
    path = "params/backbone/pos_embed_spatial/table"
    assert names.resize(NET, path, table, (64, 8)).shape == (64, 8)
    constant = np.ones((8, 8), np.float32)
    path = "params/backbone/pos_embed_temporal/table"
    np.testing.assert_allclose(
        names.resize(NET, path, constant, (2, 8)), np.ones((2, 8)), atol=1e-6
    )
