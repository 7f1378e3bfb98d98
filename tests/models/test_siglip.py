"""SigLIP and SigLIP 2: texts with their padding, the learned query, and grids of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxvid.errors import UserError
from jaxvid.models import siglip, siglip2
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

RNG = np.random.default_rng(0)


def filled(net, **inputs):
    return fill(jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), inputs))


def run(net, variables, **inputs):
    return jax.jit(lambda v, x: net.apply(v, **x, train=False))(variables, inputs)


def test_texts_are_padded_to_the_length_of_the_tower():
    net = siglip.build("test", pad=5, text=siglip.Text(depth=1))
    text = np.array([[7, 8, 9, 1], [7, 1, 0, 0]], np.int32)
    variables = filled(net, text=text)
    want = run(net, variables, text=np.pad(text, [(0, 0), (0, 4)]))
    found = run(net, variables, text=text)
    np.testing.assert_allclose(found.text, want.text, rtol=1e-6)
    with_pad = np.where(np.pad(text, [(0, 0), (0, 4)]) == 0, 5, np.pad(text, [(0, 0), (0, 4)]))
    np.testing.assert_allclose(
        run(net, variables, text=np.asarray(with_pad, np.int32)).text, want.text
    )
    with pytest.raises(UserError, match="at most 8 tokens, not 9"):
        run(net, variables, text=np.ones((1, 9), np.int32))


def test_tokens_see_those_that_follow_and_the_last_place_stands_for_the_text():
    net = siglip.build("test", text=siglip.Text(depth=1))
    text = np.array([[7, 8, 9, 1, 0, 0, 0, 0]], np.int32)
    variables = filled(net, text=text)
    other = text.copy()
    other[0, 1] = 12
    gap = run(net, variables, text=text).text - run(net, variables, text=other).text
    assert np.abs(gap).max() > 1e-4
    want = run(net, variables, text=text).text
    changed = jax.tree.map(np.copy, variables)
    changed["params"]["text"]["pos_embed"]["table"][-1, 0] += 1  # of a padded place
    assert np.abs(run(net, changed, text=text).text - want).max() > 1e-3


def test_the_learned_query_keeps_what_it_sees_as_shortcut():
    """The shortcut of the MLP is the result of the attention, not the query."""
    layer = siglip.Probe(2, 2.0)
    x = RNG.standard_normal((3, 5, 8)).astype(np.float32)
    params = fill(jax.eval_shape(lambda x: layer.init(jax.random.key(0), x), x))
    leaves = traverse_util.flatten_dict(params["params"], sep="/")
    leaves["mlp/fc2/kernel"][:], leaves["mlp/fc2/bias"][:] = 0, 0
    leaves["attn/proj/kernel"][:], leaves["attn/proj/bias"][:] = 0, 0.25
    found = jax.jit(layer.apply)(params, x)
    np.testing.assert_allclose(found, np.full((3, 1, 8), 0.25), rtol=1e-6)


def test_pixels_beyond_whole_patches_are_not_seen():
    net = siglip.build("test", size=37, patch=16, depth=1)
    video = RNG.standard_normal((1, 1, 37, 37, 3)).astype(np.float32)
    variables = filled(net, video=video)
    other = video.copy()
    other[:, :, 32:], other[:, :, :, 32:] = 0, 0
    want = run(net, variables, video=video).video
    np.testing.assert_array_equal(run(net, variables, video=other).video, want)


# NaFlex


@pytest.mark.parametrize("grid", [(2, 6), (8, 1)])
def test_position_tables_are_resized_as_images(grid):
    """Equal to an antialiased linear resize of each channel."""
    table = RNG.standard_normal((16, 3)).astype(np.float32)
    n = grid[0] * grid[1] + 2
    found = siglip2.resized(jnp.asarray(table), 4, np.array([grid], np.int32), n)[0]
    want = jax.image.resize(table.reshape(4, 4, 3), (*grid, 3), "linear", antialias=True)
    np.testing.assert_allclose(found[:-2], want.reshape(-1, 3), atol=1e-5)
    np.testing.assert_allclose(found[-2:], np.repeat(found[:1], 2, 0), atol=1e-6)


def test_padding_is_hidden():
    net = siglip2.build("test", depth=1)
    video = RNG.standard_normal((2, 1, 8, 16, 3)).astype(np.float32)
    grid = np.array([[2, 3], [2, 4]], np.int32)
    variables = filled(net, video=video, grid=grid)
    want = run(net, variables, video=video, grid=grid).video
    other = video.copy()
    other[:, :, 6:] += 1
    found = run(net, variables, video=other, grid=grid).video
    np.testing.assert_allclose(found[0], want[0], atol=1e-6)
    assert np.abs(found[1] - want[1]).max() > 1e-3
    alone = run(net, variables, video=video[:1, :, :6], grid=grid[:1]).video
    np.testing.assert_allclose(alone[0], want[0], atol=1e-5)


def test_patches_of_another_size_are_an_error():
    net = siglip2.build("test", depth=1)
    with pytest.raises(UserError, match=r"patches of 4 x 4 pixels.*data\.recipe\.patch"):
        filled(net, video=np.zeros((1, 1, 8, 9, 3), np.float32), grid=np.array([[2, 4]], np.int32))


def test_queries_are_cut_from_keys_and_values():
    net = siglip.build("test")
    inputs = dict(video=np.zeros((1, 1, 32, 32, 3), np.float32), text=np.ones((1, 8), np.int32))
    variables, table = filled(net, **inputs), siglip.WEIGHTS["transformers"]
    tensors = export(variables, table, net)
    whole = tensors["vision_model.head.attention.in_proj_weight"]
    layer = variables["params"]["backbone"]["pool"]["attn"]
    np.testing.assert_array_equal(whole[:16].T, layer["q"]["kernel"])
    np.testing.assert_array_equal(whole[16:].T, layer["kv"]["kernel"])
    loaded, _ = convert(tensors, variables, table, net=net)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
