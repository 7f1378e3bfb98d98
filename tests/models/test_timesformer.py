"""TimeSformer: what each kind of attention mixes, and how its tables come from other models."""

import jax
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import timesformer
from jaxvid.weights.convert import convert, export
from tests.conftest import CASES, fill

COUNTED = CASES["ParamCount-10"]["expected"]
VIDEO = np.random.default_rng(0).standard_normal((2, 3, 16, 16, 3)).astype(np.float32)
SIZE = dict(frames=3, size=16, depth=1)


def make(attention, **options):
    """Return a tiny model, and variables with random values."""
    net = timesformer.build("test", num_classes=5, attention=attention, **SIZE | options)
    return net, fill(shapes(net))


def shapes(net):
    options = net.backbone.frames, *(2 * (net.backbone.size,))
    video = jax.ShapeDtypeStruct((1, *options, 3), np.float32)
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)


def run(net, variables, video):
    return jax.jit(lambda v, x: net.apply(v, x, train=False))(variables, video)


def test_parameters_are_as_many_as_published():
    net = timesformer.build("divst", num_classes=400)
    params = shapes(net)["params"]
    for part in ("backbone", "head"):
        leaves = jax.tree.leaves(params[part])
        assert sum(int(np.prod(leaf.shape)) for leaf in leaves) == COUNTED[part]


@pytest.mark.parametrize("attention,is_same", [("space", True), ("divided", False)])
def test_only_attention_over_space_ignores_the_order_of_frames(attention, is_same):
    found = [run(*make(attention), video) for video in (VIDEO, VIDEO[:, ::-1])]
    assert np.allclose(*found, atol=1e-5) == is_same


def test_frames_are_averaged_before_the_last_norm():
    """So the logits of a clip are not the mean of those of its frames."""
    net, variables = make("space")
    frames = [run(net, variables, VIDEO[:, i : i + 1]) for i in range(3)]
    assert np.abs(run(net, variables, VIDEO) - np.mean(frames, 0)).max() > 1e-3


def test_a_divided_model_starts_as_its_model_of_images():
    """Both attentions are that of the image model; the one over time adds nothing at first."""
    image, variables = make("space")
    table = timesformer.WEIGHTS["mmaction"]
    tensors = export(variables, table, image)
    tensors = {name: x for name, x in tensors.items() if "cls_head" not in name}
    net = timesformer.build("test", num_classes=5, attention="divided", **SIZE)
    fresh = jax.jit(lambda x: net.init(jax.random.key(0), x, train=False))(VIDEO)
    skip = ("head/.*", "backbone/time_embed/.*", ".*/time_fc/.*")
    loaded, _ = convert(tensors, jax.device_get(fresh), table, skip=skip, net=net)
    block = loaded["params"]["backbone"]["block0"]
    jax.tree.map(np.testing.assert_array_equal, block["time_attn"], block["attn"])
    jax.tree.map(np.testing.assert_array_equal, block["time_norm"], block["norm1"])
    variables["params"]["head"] = loaded["params"]["head"]
    still = np.repeat(VIDEO[:, :1], 3, 1)
    want = run(image, variables, still)
    np.testing.assert_allclose(run(net, loaded, still), want, rtol=1e-5, atol=1e-5)


def test_the_class_token_takes_no_part_in_attention_over_time():
    block = timesformer.DividedBlock(2)
    x = np.random.default_rng(1).standard_normal((1, 3, 1 + 4, 6)).astype(np.float32)
    x[:, :, 0] = x[:, :1, 0]
    made = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))
    for layer in (made["params"]["attn"]["proj"], made["params"]["mlp"]["fc2"]):
        layer |= jax.tree.map(np.zeros_like, layer)  # what is left is attention over time
    apply = jax.jit(lambda x: block.apply(made, x, False))
    y = apply(x)
    np.testing.assert_array_equal(y[:, :, 0], x[:, :, 0])
    other = x.copy()
    other[:, 0, 2, 0] += 1
    changed = np.abs(apply(other) - y).max((0, 3)) > 1e-6
    assert changed[:, 2].all()
    assert not np.delete(changed, 2, 1).any()


def test_the_class_token_gets_the_mean_of_what_it_sees_in_each_frame():
    block = timesformer.DividedBlock(2)
    x = np.random.default_rng(1).standard_normal((1, 3, 1 + 4, 6)).astype(np.float32)
    x[:, :, 0] = x[:, :1, 0]
    made = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))
    for layer in (made["params"]["time_fc"], made["params"]["mlp"]["fc2"]):
        layer |= jax.tree.map(np.zeros_like, layer)  # what is left is attention over space
    apply = jax.jit(lambda x: block.apply(made, x, False))
    alone = [apply(np.repeat(x[:, i : i + 1], 3, 1))[:, 0] for i in range(3)]
    y = apply(x)
    np.testing.assert_allclose(y[:, 0, 0], np.mean([one[:, 0] for one in alone], 0), atol=1e-5)
    for i, one in enumerate(alone):
        np.testing.assert_allclose(y[:, i, 1:], one[:, 1:], atol=1e-5)
        np.testing.assert_array_equal(y[:, i, 0], y[:, 0, 0])


def test_tables_of_a_file_are_resized():
    net, variables = make("joint")
    table = timesformer.WEIGHTS["transformers"]
    larger = make("joint", frames=6, size=32)[0]
    loaded, coverage = convert(export(variables, table, net), shapes(larger), table, net=larger)
    assert len(coverage.adapted) == 2
    old, new = (found["params"]["backbone"] for found in (variables, loaded))
    np.testing.assert_array_equal(new["pos_embed"]["table"][0], old["pos_embed"]["table"][0])
    assert new["pos_embed"]["table"].shape == (1 + 16, 16)
    assert new["time_embed"]["table"].shape == (6, 16)


def test_a_clip_of_another_length_is_an_error_that_has_both():
    net, variables = make("divided")
    with pytest.raises(UserError, match=r"clips of 3 frames.*these have 2 frames"):
        run(net, variables, VIDEO[:, :2])
    run(*make("space"), VIDEO[:, :2])  # which has no table of frames
