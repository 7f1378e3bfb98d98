"""VideoPrism: normalization and pooling, tables for other clips, and the files of its authors."""

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import videoprism
from jaxvid.weights import resolve, torch_file
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

SPEC = dict(name="videoprism", variant="test")


def build(**options):
    """The test variant and filled variables."""
    net = plug.load("models", {**SPEC, **options}, num_classes=5)
    size = np.broadcast_to(net.backbone.size, 2)
    video = jax.ShapeDtypeStruct((1, net.backbone.frames, *size, 3), np.float32)
    return net, fill(jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video))


def test_the_scale_of_a_norm_is_added_to_one():
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    plain = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    norm = videoprism.ShiftedNorm()
    variables = norm.init(jax.random.key(0), x)
    np.testing.assert_allclose(norm.apply(variables, x), plain, atol=1e-5)
    variables["params"]["scale"] += 0.5
    np.testing.assert_allclose(norm.apply(variables, x), 1.5 * plain, atol=1e-5)


def test_the_pool_is_attention_of_one_query_with_wide_heads():
    c, g, d = 6, 2, 12
    x = np.random.default_rng(0).standard_normal((1, 5, c)).astype(np.float32)
    pool = videoprism.AttentionPool(g)
    variables = fill(jax.eval_shape(lambda x: pool.init(jax.random.key(0), x), x))
    p = variables["params"]

    def linear(name, x):
        return x @ p[name]["kernel"] + p[name]["bias"]

    q, k, v = (linear(n, y).reshape(-1, g, d) for n, y in (("q", p["query"]), ("k", x), ("v", x)))
    factors = np.log1p(np.exp(p["factors"])) / np.log(2)
    weights = np.exp(np.einsum("ngd,mgd->gm", q * factors, k) / d**0.5)
    weights /= weights.sum(-1, keepdims=True)
    y = linear("proj", np.einsum("gm,mgd->gd", weights, v).reshape(-1))
    y = (y - y.mean()) / np.sqrt(y.var() + 1e-6) * (1 + p["norm"]["scale"]) + p["norm"]["bias"]
    np.testing.assert_allclose(pool.apply(variables, x)[0], y, atol=1e-5)


def test_a_clip_of_another_size_is_an_error_that_has_both():
    net, variables = build()
    with pytest.raises(UserError, match=r"4 frames of 32 x 32.* 2 frames of 32 x 48"):
        net.apply(variables, np.zeros((1, 2, 32, 48, 3), np.float32), train=False)


def test_tables_are_resized_to_other_clips_as_jax_resizes_images():
    net, variables = build(size=64, frames=4)
    other, shapes = build(size=(32, 96), frames=3)
    table = videoprism.WEIGHTS["transformers"]
    found, coverage = convert(export(variables, table, net), shapes, table, net=other)
    old, new = (v["params"]["backbone"] for v in (variables, found))
    space = jax.image.resize(old["space"]["table"].reshape(4, 4, 16), (2, 6, 16), "linear")
    np.testing.assert_allclose(new["space"]["table"], space.reshape(12, 16), atol=1e-6)
    time = jax.image.resize(old["time"]["table"], (3, 16), "linear")
    np.testing.assert_allclose(new["time"]["table"], time, atol=1e-6)
    assert len(coverage.adapted) == 2


def test_a_file_of_the_authors_has_stacks_of_blocks(tmp_path):
    """Its names alone tell which table it needs."""
    net, variables = build(depth=2)
    tensors = export(variables, videoprism.WEIGHTS["flax"], net)
    query = "params/spatial_encoder/transformers_stack/x_layers/self_attention/query/w"
    assert tensors[query].shape == (2, 16, 2, 8)  # blocks, channels, heads, channels of a head
    block = variables["params"]["backbone"]["block1"]
    kernel = block["attn"]["qkv"]["kernel"][:, :16]
    np.testing.assert_array_equal(tensors[query][1].reshape(16, 16), kernel)
    np.savez(tmp_path / "flax.npz", **tensors)
    read = torch_file.load(tmp_path / "flax.npz")
    chosen = resolve.likeliest(read, videoprism.WEIGHTS, variables, net)
    assert chosen is videoprism.WEIGHTS["flax"]
    found, _ = convert(read, variables, chosen, net=net)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    del read["params/spatial_ln/scale"]
    with pytest.raises(UserError, match="nothing to load into params/backbone/space_norm/scale"):
        convert(read, variables, chosen, net=net)
