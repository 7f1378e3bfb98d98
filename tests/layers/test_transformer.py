"""Parts of transformers: names, loops over patches and tokens, and blocks that a family derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxvid.errors import UserError
from jaxvid.layers import transformer
from tests.conftest import fill


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def filled(module, x, *options):
    return fill(jax.eval_shape(lambda x: module.init(jax.random.key(0), x, *options), x))


def test_a_block_has_the_names_that_rules_rely_on():
    block = transformer.Block(2)
    shapes = jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), draw(2, 5, 8))
    found = {path: x.shape for path, x in flatten_dict(shapes["params"], sep="/").items()}
    assert found == {
        "norm1/scale": (8,),
        "norm1/bias": (8,),
        "norm2/scale": (8,),
        "norm2/bias": (8,),
        "attn/qkv/kernel": (8, 24),
        "attn/qkv/bias": (24,),
        "attn/proj/kernel": (8, 8),
        "attn/proj/bias": (8,),
        "mlp/fc1/kernel": (8, 32),
        "mlp/fc1/bias": (32,),
        "mlp/fc2/kernel": (32, 8),
        "mlp/fc2/bias": (8,),
    }


@pytest.mark.parametrize("biases", ["qkv", "qv", ""])
@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_options_change_the_parameters(biases, scale):
    block = transformer.Block(2, qkv_bias=biases, mlp_ratio=2.5, layer_scale=scale)
    shapes = jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), draw(2, 5, 8))
    found = {path: x.shape for path, x in flatten_dict(shapes["params"], sep="/").items()}
    assert found.get("attn/qkv/bias") == ((8 * len(biases),) if biases else None)
    assert found["mlp/fc1/kernel"] == (8, 20)
    assert found["mlp/fc2/kernel"] == (20, 8)
    assert found.get("ls1/gamma") == found.get("ls2/gamma") == ((8,) if scale else None)


def normalized(x, p, epsilon):
    gap = x - x.mean(-1, keepdims=True)
    return gap / np.sqrt((gap**2).mean(-1, keepdims=True) + epsilon) * p["scale"] + p["bias"]


@pytest.mark.parametrize("biases", ["qkv", "qv", ""])
@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_a_block_is_its_formula(biases, scale):
    x, c, g, epsilon = draw(2, 5, 8), 8, 2, 0.3
    block = transformer.Block(
        g,
        qkv_bias=biases,
        mlp_ratio=1.5,
        activation=jnp.tanh,
        epsilon=epsilon,
        layer_scale=scale,
        drop_path=0.5,
        dropout=0.5,
        attn_dropout=0.5,
    )
    variables = filled(block, x, False)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    gammas = [p[name]["gamma"] if scale else 1.0 for name in ("ls1", "ls2")]

    bias = np.zeros(3 * c)
    for i, part in enumerate(np.split(p["attn"]["qkv"]["bias"], len(biases)) if biases else ()):
        first = "qkv".index(biases[i]) * c
        bias[first : first + c] = part
    y = normalized(x.astype(np.float64), p["norm1"], epsilon)
    y = y @ p["attn"]["qkv"]["kernel"] + bias
    q, k, v = np.moveaxis(y.reshape(2, 5, 3, g, c // g), (2, 3), (0, 2))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(c // g)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = np.moveaxis(weights / weights.sum(-1, keepdims=True) @ v, 1, 2).reshape(2, 5, c)
    y = x + gammas[0] * (y @ p["attn"]["proj"]["kernel"] + p["attn"]["proj"]["bias"])
    z = normalized(y, p["norm2"], epsilon)
    z = np.tanh(z @ p["mlp"]["fc1"]["kernel"] + p["mlp"]["fc1"]["bias"])
    want = y + gammas[1] * (z @ p["mlp"]["fc2"]["kernel"] + p["mlp"]["fc2"]["bias"])
    np.testing.assert_allclose(block.apply(variables, x, False), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("biases", ["qkv", "qv", ""])
def test_queries_keys_and_values_can_be_wider_than_their_input(biases):
    layer, x = transformer.Qkv(3, width=12, use_bias=biases), draw(2, 5, 6)
    variables = filled(layer, x)
    assert variables["params"]["kernel"].shape == (6, 36)
    assert [part.shape for part in layer.apply(variables, x)] == [(2, 5, 3, 4)] * 3


@pytest.mark.parametrize("option", ["dropout", "attn_dropout"])
def test_dropout_keeps_the_mean_of_attention(option):
    """In evaluation it does nothing; in training, the mean over many draws is the same."""
    layer, x = transformer.Attention(2, **{option: 0.3}), draw(1, 5, 8)
    variables = filled(layer, x)
    want = transformer.Attention(2).apply(variables, x)
    np.testing.assert_array_equal(layer.apply(variables, x, False), want)
    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.vmap(lambda key: layer.apply(variables, x, True, rngs={"dropout": key}))(keys)
    spread = np.std(draws, 0)
    assert (spread > 0.1 * np.abs(want)).any()
    np.testing.assert_array_less(np.abs(np.mean(draws, 0) - want), 5 * spread / len(keys) ** 0.5)


def test_dropout_of_an_mlp_follows_both_layers():
    layer, x = transformer.Mlp(dropout=0.5), draw(4, 50, 8)
    variables = filled(layer, x)
    got = layer.apply(variables, x, True, rngs={"dropout": jax.random.key(0)})
    assert (np.asarray(got) == 0).mean() == pytest.approx(0.5, abs=0.05)
    hidden = transformer.Mlp(dropout=0.5, activation=lambda y: y - y + 1)  # ones
    variables["params"]["fc2"]["kernel"] = np.ones((32, 8), np.float32)
    variables["params"]["fc2"]["bias"] = np.zeros(8, np.float32)
    got = np.asarray(hidden.apply(variables, x, True, rngs={"dropout": jax.random.key(0)}))
    kept = got[got > 0] / 4  # each doubling is one layer's: the number of hidden channels kept
    assert kept.min() < 32 / 2 < kept.max()


def test_drop_path_skips_whole_branches_of_samples():
    block, x = transformer.Block(2, drop_path=0.5), draw(64, 5, 8)
    variables = filled(block, x, False)
    got = np.asarray(block.apply(variables, x, True, rngs={"dropout": jax.random.key(0)}))
    untouched = (got == x).all((1, 2))
    assert untouched.mean() == pytest.approx(0.25, abs=0.2)
    assert untouched.any()
    assert not (got == x)[~untouched].any(2).all(1).any()


def test_queries_keys_and_values_are_thirds_of_the_kernel_and_heads_parts_of_these():
    layer, x = transformer.Qkv(3), draw(2, 4, 5, 6)
    variables = filled(layer, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    whole = x @ kernel + bias
    for i, part in enumerate(layer.apply(variables, x)):
        assert part.shape == (2, 4, 5, 3, 2)
        for g in range(3):
            first = 6 * i + 2 * g
            np.testing.assert_allclose(
                part[..., g, :], whole[..., first : first + 2], rtol=1e-5, atol=1e-5
            )


def test_a_causal_block_sees_no_later_tokens():
    x = draw(2, 5, 8)
    other = x.copy()
    other[:, 3:] **= 2
    for causal in (False, True):
        block = transformer.Block(2, causal=causal)
        variables = filled(block, x, False)
        gap = np.abs(block.apply(variables, other, False) - block.apply(variables, x, False))
        changed = (gap.max((0, 2)) > 1e-4).tolist()
        assert changed == [not causal] * 3 + [True] * 2


class Reversed(transformer.Block):
    """Each token is given the one at the other end."""

    def attend(self, x, train):
        return x[:, ::-1]


def test_a_family_overrides_how_tokens_attend():
    x = draw(2, 5, 8)
    block = Reversed(heads=2)
    variables = filled(block, x, False)
    assert variables["params"].keys() == {"norm1", "norm2", "mlp"}
    variables["params"]["mlp"]["fc2"] = jax.tree.map(
        np.zeros_like, variables["params"]["mlp"]["fc2"]
    )
    normed = transformer.norm("norm1", jnp.float32).apply(
        {"params": variables["params"]["norm1"]}, x
    )
    got = block.apply(variables, x, False)
    np.testing.assert_allclose(got, x + np.asarray(normed)[:, ::-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("patch", [(2, 3, 4), (1, 2, 2), (3, 4), (2, 2)])
@pytest.mark.parametrize("use_bias", [False, True])
def test_patches_are_tokens(patch, use_bias):
    """Also those that reach beyond the video, where it is padded with zeros."""
    video = draw(2, 4, 8, 9, 3)
    layer = transformer.PatchEmbed(5, patch, use_bias, pad=True)
    variables = filled(layer, video)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (*patch, 3, 5)
    a, i, j = (1, *patch)[-3:]
    pads = [(0, -size % p) for size, p in zip(video.shape[1:4], (a, i, j), strict=True)]
    padded = np.pad(video, [(0, 0), *pads, (0, 0)])
    got = layer.apply(variables, video)
    assert got.shape == (2, *(s // p for s, p in zip(padded.shape[1:4], (a, i, j), strict=True)), 5)
    for t, h, w in np.ndindex(got.shape[1:4]):
        cube = padded[:, t * a : t * a + a, h * i : h * i + i, w * j : w * j + j]
        want = cube.reshape(2, -1) @ kernel.reshape(-1, 5)
        want += variables["params"]["bias"] if use_bias else 0
        np.testing.assert_allclose(got[:, t, h, w], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("policy", "products"), [(False, 0), ("dots", 2), (True, 5)])
def test_remat_computes_products_again_and_changes_no_gradient(policy, products):
    """Two of attention, and those of qkv, proj and fc1; no gradient needs the output of fc2."""
    x = draw(2, 5, 8)
    block = transformer.Block(2)
    variables = filled(block, x, False)

    def loss(net):
        return jax.grad(lambda v: jnp.sum(net.apply(v, x, False) ** 2))

    net = transformer.remat(transformer.Block, policy)(2)
    count = [str(jax.make_jaxpr(loss(n))(variables)).count("dot_general[") for n in (block, net)]
    assert count[1] - count[0] == products
    for got, want in zip(*(jax.tree.leaves(loss(n)(variables)) for n in (net, block)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 8, 8), (1, 8, 8), (4, 9, 8), (4, 8, 10)])
def test_clips_that_patches_do_not_fit_are_an_error_with_both(shape):
    """Zeros at the end would be black frames and pixels that nobody has asked for."""
    embed = transformer.PatchEmbed(5, (2, 4, 4))
    t, h, w = shape
    message = rf"patches of 2 x 4 x 4 .* do not fit into clips of {t} frames of {h} x {w} pixels"
    with pytest.raises(UserError, match=message):
        filled(embed, draw(2, *shape, 3))


@pytest.mark.parametrize("kind", [transformer.Attention, transformer.CrossAttention])
def test_heads_that_do_not_divide_the_channels_are_an_error(kind):
    x = draw(2, 5, 8)
    given = () if kind is transformer.Attention else (x,)
    with pytest.raises(UserError, match="8 channels cannot be divided among 3 heads"):
        filled(kind(3), x, *given)
