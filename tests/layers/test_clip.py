"""CLIP's towers: frames and texts by themselves, what a token sees, and wrong sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import actionclip, clip4clip
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

TEXT = np.array([[60, 5, 9, 63, 0, 0, 0, 0], [60, 7, 63, 0, 0, 0, 0, 0]], np.int32)


def video(n=2, t=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, t, 32, 32, 3)).astype(np.float32)


@functools.cache
def model(name, **options):
    net = plug.load("models", dict(name=name, variant="test", **options))
    arrays = dict(video=jnp.zeros((2, 4, 32, 32, 3)), text=jnp.asarray(TEXT))
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), arrays)
    return fill(variables), jax.jit(lambda v, x: net.apply(v, **x, train=False))


def out(name="clip4clip", options=(), **arrays):
    variables, apply = model(name, **dict(options))
    return apply(variables, arrays)


def test_a_video_is_the_mean_of_its_frames():
    x = video()
    frames = out(video=x.reshape(8, 1, 32, 32, 3)).video.reshape(2, 4, -1)
    np.testing.assert_allclose(out(video=x).video, frames.mean(1), rtol=1e-4, atol=1e-5)
    assert out(video=x).text is None


def test_the_adapter_sees_the_order_of_frames():
    x = video()
    for name, same in (("clip4clip", True), ("actionclip", False)):
        found = [out(name, video=v).video for v in (x, x[:, ::-1])]
        assert np.allclose(*found, rtol=1e-4, atol=1e-5) == same


def test_the_adapter_adds_to_what_it_gets():
    x, options = video(), (("layers", 0),)  # frames go through as they are, with their places
    variables, _ = model("actionclip", layers=0)
    towers = {k: v for k, v in variables["params"].items() if k != "adapter"}
    frames = model("clip4clip")[1]({"params": towers}, {"video": x}).video
    places = variables["params"]["adapter"]["frame_position_embeddings"]["embedding"][:4]
    want = 2 * frames + places.mean(0)
    found = out("actionclip", options, video=x).video
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def test_what_follows_the_end_of_a_text_changes_nothing():
    longer = TEXT.copy()
    longer[:, 4:] = 3
    longer[0, 5] = 62
    longer[1, 3:] = 63  # Hugging Face pads with end tokens, of which the first counts
    np.testing.assert_allclose(out(text=longer).text, out(text=TEXT).text, rtol=1e-5)
    short = out(text=TEXT[:, :4]).text
    np.testing.assert_allclose(short, out(text=TEXT).text, rtol=1e-4, atol=1e-6)
    before = TEXT.copy()
    before[0, 1] = 6
    assert np.abs(out(text=before).text[0] - out(text=TEXT).text[0]).max() > 1e-3


def test_texts_have_any_leading_axes():
    found = out(text=TEXT[:, None]).text
    assert found.shape == (2, 1, 8)
    np.testing.assert_allclose(found[:, 0], out(text=TEXT).text, rtol=1e-4, atol=1e-6)


def test_the_exact_gelu_is_another():
    quick, exact = (out(options=(("quick", q),), text=TEXT).text for q in (True, False))
    assert np.abs(quick - exact).max() > 1e-4


@pytest.mark.parametrize(
    "name,arrays,message",
    [
        (
            "clip4clip",
            dict(video=np.zeros((1, 2, 48, 32, 3))),
            "of 32 x 32 pixels, .* have 48 x 32",
        ),
        ("clip4clip", dict(text=np.zeros((1, 9), int)), "at most 8 tokens, not 9"),
        ("actionclip", dict(video=np.zeros((1, 9, 32, 32, 3))), "for 8 frames, not 9"),
    ],
)
def test_wrong_sizes_are_errors(name, arrays, message):
    net = plug.load("models", dict(name=name, variant="test"))
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda: net.init(jax.random.key(0), **arrays, train=False))


def test_positions_are_resized_for_frames_of_another_size():
    variables, _ = model("clip4clip")
    table = clip4clip.WEIGHTS["openai"]
    tensors = export(variables, table)
    large = plug.load("models", dict(name="clip4clip", variant="test", size=64))
    arrays = dict(video=jnp.zeros((1, 1, 64, 64, 3)), text=jnp.asarray(TEXT))
    shapes = jax.eval_shape(lambda: large.init(jax.random.key(0), **arrays, train=False))
    found, coverage = convert(tensors, shapes, table, net=large)
    assert coverage.adapted == ("params/backbone/positional_embedding",)
    positions = found["params"]["backbone"]["positional_embedding"]
    assert positions.shape == (17, 16)
    np.testing.assert_array_equal(positions[0], tensors["visual.positional_embedding"][0])


def test_a_number_keeps_its_shape_in_export():
    variables, _ = model("actionclip")
    tensors = export(variables, actionclip.WEIGHTS["mmaction"])
    assert tensors["clip.logit_scale"].shape == ()


def test_hugging_face_has_queries_keys_and_values_apart():
    variables, _ = model("clip4clip")
    ours, theirs = (
        export(variables, clip4clip.WEIGHTS[name]) for name in ("openai", "transformers")
    )
    for leaf in ("weight", "bias"):
        parts = [theirs[f"vision_model.encoder.layers.1.self_attn.{x}_proj.{leaf}"] for x in "qkv"]
        whole = ours[f"visual.transformer.resblocks.1.attn.in_proj_{leaf}"]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(theirs["visual_projection.weight"], ours["visual.proj"].T)
    np.testing.assert_array_equal(theirs["text_projection.weight"], ours["text_projection"].T)
