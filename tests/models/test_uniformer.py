"""UniFormer: its two kinds of blocks, its norms, and kernels of images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxvid.models import uniformer
from jaxvid.weights import inflate
from tests.conftest import CASES

TEST = uniformer.backbone("test")


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@functools.cache
def shapes(net, frames=4, size=32):
    """Shapes of the output and the variables for a clip."""
    video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
    return jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), video)


@pytest.mark.long
def test_parameters_are_as_many_as_published():
    variables = shapes(uniformer.build("small", num_classes=400))[1]
    want = CASES["ParamCount-08"]["expected"]
    for part in ("backbone", "head"):
        leaves = jax.tree.leaves(variables["params"][part])
        assert sum(x.size for x in leaves) == want[part]


def test_only_blocks_of_the_last_stages_attend():
    """The others convolve each channel by itself, over five tokens along each axis."""
    params = shapes(TEST)[1]["params"]
    sizes = flatten_dict(params, sep="/")
    for stage, width in enumerate((8, 16, 24, 32)):
        block = f"stage{stage}_block0"
        assert sizes[f"{block}/pos_embed/kernel"].shape == (3, 3, 3, 1, width)
        if stage < 2:
            assert sizes[f"{block}/attn/kernel"].shape == (5, 5, 5, 1, width)
        else:
            assert sizes[f"{block}/attn/qkv/kernel"].shape == (width, 3 * width)


def test_only_global_blocks_normalize_tokens_one_by_one():
    """The others, and the end of the network, keep statistics of the batch."""
    variables = shapes(TEST)[1]
    kept = {path.rpartition("/")[0] for path in flatten_dict(variables["batch_stats"], sep="/")}
    blocks = [f"stage{s}_block0/norm{i}" for s in (0, 1) for i in (1, 2)]
    assert kept == {*blocks, "norm"}


def test_pixels_that_fill_no_patch_are_left_out():
    """70 pixels are 17 tokens, of which 16 are merged; the first embedding halves the frames."""
    assert shapes(TEST, 5, 70)[0].shape == (1, 3, 2, 2, 32)


def test_a_kernel_of_images_sees_the_middle_frame():
    image = draw(3, 3, 4, 5)
    video = inflate.middle_kernel(image, 3)
    np.testing.assert_array_equal(video[1], image)
    assert not video[0].any() and not video[2].any()
    table = uniformer.WEIGHTS["image"]
    assert table.adapt is uniformer.from_image
    adapted = uniformer.from_image(None, "params/backbone/patch_embed0/kernel", image, video.shape)
    np.testing.assert_array_equal(adapted, video)


def test_linear_layers_of_local_blocks_are_published_as_convolutions():
    there, back = uniformer.WEIGHTS["mmaction"].fix
    name = "backbone.blocks1.0.mlp.fc1.weight"
    depthwise = "backbone.blocks1.0.attn.weight"
    tensors = {name: draw(8, 4, 1, 1, 1), depthwise: draw(4, 1, 5, 5, 5)}
    flat = there(tensors)
    assert flat[name].shape == (8, 4)
    assert flat[depthwise].shape == (4, 1, 5, 5, 5)
    for key, value in back(flat).items():
        np.testing.assert_array_equal(value, tensors[key])
