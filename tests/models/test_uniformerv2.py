"""UniFormerV2: the token of the video begins without effect, and clips have any length."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.config import loading
from jaxvid.errors import UserError
from jaxvid.models import uniformerv2
from jaxvid.weights import resolve
from jaxvid.weights.convert import export
from tests.conftest import fill
from tests.weights.pickle_bytes import write_tensors

TEST = uniformerv2.backbone("test")
HEAD = {"fc": {"kernel": np.zeros((16, 3), np.float32), "bias": np.zeros(3, np.float32)}}


def shapes(frames, size=32):
    video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
    return jax.eval_shape(lambda x: TEST.init_with_output(jax.random.key(0), x, train=False), video)


def test_a_model_takes_clips_of_any_length():
    (out, variables), (_, same) = shapes(4), shapes(7)
    assert variables == same
    assert out.shape == (1, 1, 1, 1, 16)


def test_frames_of_another_size_are_an_error_with_both_sizes():
    with pytest.raises(UserError, match="frames of 32 x 32 pixels, and these have 48 x 48"):
        shapes(4, size=48)


def test_only_the_last_blocks_are_read():
    params = shapes(4)[1]["params"]
    assert {"block0", "block1", "block2", "reader0", "reader1"} <= params.keys()
    assert not {"reader2", "pos_embed2"} & params.keys()
    assert params["reader0"]["attn"]["kv"]["kernel"].shape == (16, 32)


def test_tokens_may_meet_those_of_neighboring_frames():
    """By depthwise convolutions over time, which are published with axes of space."""
    net = plug.load("models", dict(name="uniformerv2", variant="test", local=2), num_classes=3)
    video = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)
    local = variables["params"]["backbone"]["block2"]["local2"]
    assert local["conv2"]["kernel"].shape == (3, 1, 1, 10)
    tensors = export(fill(variables), uniformerv2.WEIGHTS["mmaction"], net)
    name = "backbone.transformer.resblocks.2.lmhra2.pos_embed"
    assert [tensors[f"{name}.{i}.weight"].shape for i in (1, 2)] == [
        (10, 16, 1, 1, 1),
        (10, 1, 3, 1, 1),
    ]
    assert tensors[f"{name}.0.running_var"].shape == (16,)


def test_tokens_of_every_second_frame_span_three_frames():
    class Patches(uniformerv2.UniFormerV2):
        @nn.compact
        def __call__(self, video, *, train):
            return self.patches(video)

    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 8, 8, 3, 16), np.float32)
    video = rng.standard_normal((1, 4, 32, 32, 3), np.float32)
    variables = {"params": {"patch_embed": {"kernel": kernel}}}
    net = Patches(width=16, patch=8, temporal_downsample=True)
    found = net.apply(variables, video, train=False)
    patches = video.reshape(4, 4, 8, 4, 8, 3)
    each = np.einsum(
        "tuivjc,aijcf->atuvf", patches, kernel
    )  # of a place in the kernel, and a frame
    want = each[1, ::2] + each[2, 1::2]
    want[1] += each[0, 1]
    np.testing.assert_allclose(found[0], want, rtol=1e-4, atol=1e-4)


def test_three_frames_begin_as_the_middle_one_and_keep_their_published_form():
    net = plug.load(
        "models", dict(name="uniformerv2", variant="test", temporal_downsample=True), num_classes=3
    )
    image = np.ones((8, 8, 3, 16), np.float32)
    table = uniformerv2.WEIGHTS["mmaction"]
    found = table.adapt(net, "params/backbone/patch_embed/kernel", image, (3, 8, 8, 3, 16))
    assert [float(x.sum()) for x in found] == [0, image.sum(), 0]
    video = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)
    tensors = export(fill(variables), table, net)
    assert tensors["backbone.conv1.weight"].shape == (16, 3, 3, 8, 8)


def test_branches_of_a_reader_begin_with_zero():
    """A new model is the image model: its video token stays 0, as all branches are."""
    reader = uniformerv2.Reader(2)
    x, tokens = np.ones((1, 1, 8), np.float32), np.ones((1, 5, 8), np.float32)
    run = jax.jit(lambda x, y: reader.init_with_output(jax.random.key(0), x, False, y)[0])
    np.testing.assert_array_equal(run(x, tokens), x)


def test_training_starts_from_the_image_model(tmp_path):
    """Its file has names without "backbone.", and the layers that CLIP ends with."""
    net = plug.load("models", dict(name="uniformerv2", variant="test"), num_classes=3)
    variables = {"params": {"backbone": shapes(4)[1]["params"], "head": HEAD}}
    whole = export(fill(variables), uniformerv2.WEIGHTS["mmaction"], net)
    image = {
        name.removeprefix("backbone."): x.reshape(-1, *x.shape[1:2], *x.shape[-2:])
        if "conv1" in name
        else x
        for name, x in whole.items()
        if not re.search(r"cls_head|dec|dpe|transformer\.(norm|balance|temporal)", name)
    }
    image |= {"proj": np.zeros((16, 8)), "ln_post.weight": np.zeros(16)}
    write_tensors(tmp_path / "image.pth", {"state_dict": image})
    skip = loading.load("uniformerv2_k400:base_u8_clip").init.skip
    init = {"weights": str(tmp_path / "image.pth"), "skip": skip}
    start = resolve.starting_from(init, net, dict(name="uniformerv2"))
    random = jax.device_put(fill(variables, seed=1), jax.devices()[0])
    found = export(start(random), uniformerv2.WEIGHTS["mmaction"], net)
    for name, tensor in found.items():
        taken = name.removeprefix("backbone.") in image
        assert np.array_equal(tensor, whole[name]) == taken, name
