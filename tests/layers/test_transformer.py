"""Parts of transformers: names, loops over patches and tokens, and blocks that a family derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

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

    def attend(self, x):
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
    layer = transformer.PatchEmbed(5, patch, use_bias)
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
