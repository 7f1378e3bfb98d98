"""The oracle: a clip that is constant in time gives what the image model gives on its frame."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import swin
from jaxvid.weights import inflate
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

pytestmark = pytest.mark.long

IMAGE = dict(name="swin", variant="test", patch=(1, 4, 4), window=(1, 4, 4))
VIDEO = dict(name="swin", variant="test", patch=(2, 4, 4), window=(4, 4, 4))


def build(spec, frames, size=48, classes=3):
    net = plug.load("models", spec, num_classes=classes)
    video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
    return net, jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)


def image_checkpoint():
    """A 2-D Swin and its weights under the names and shapes of the image model's repository."""
    net, shapes = build(IMAGE, 1)
    variables = fill(shapes)
    tensors = export(variables, swin.WEIGHTS["image"], net)
    for name, tensor in tensors.items():
        if name == "patch_embed.proj.weight":
            tensors[name] = tensor[:, :, 0]  # an image's kernel has no time
    return net, variables, tensors


@pytest.mark.parametrize("frames", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_swin_on_a_constant_clip(frames):
    """Half a window of 4 tokens in time, one, and two that shift; in space windows are padded."""
    net2d, variables2d, tensors = image_checkpoint()
    net3d, shapes = build(VIDEO, frames)
    variables3d, coverage = convert(tensors, shapes, swin.WEIGHTS["image"], net=net3d)
    assert len(coverage.adapted) == 4  # the patch embedding and three bias tables
    frame = np.random.default_rng(0).standard_normal((1, 1, 48, 48, 3)).astype(np.float32)
    clip = np.repeat(frame, frames, 1)
    want = net2d.apply(variables2d, frame, train=False)
    got = net3d.apply(variables3d, clip, train=False)
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_kernels_sum_to_the_image():
    image = np.random.default_rng(0).standard_normal((3, 3, 5, 7)).astype(np.float32)
    video = inflate.kernel(image, 4)
    assert video.shape == (4, 3, 3, 5, 7)
    np.testing.assert_allclose(video.sum(0), image, rtol=1e-6)


def test_bias_tables_are_resized_in_space_and_repeated_in_time():
    """A table that is linear in the offsets keeps its slope away from the borders."""
    offsets = np.arange(-6, 7, dtype=np.float32)
    image = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1).reshape(169, 2)
    same = inflate.bias_table(image, (8, 7, 7))
    np.testing.assert_array_equal(same.reshape(15, 169, 2), np.broadcast_to(image, (15, 169, 2)))
    larger = inflate.bias_table(image, (2, 12, 12)).reshape(3, 23, 23, 2)
    assert np.diff(larger[0, 3:-3, 11, 0]).mean() == pytest.approx(13 / 23, rel=0.02)
    np.testing.assert_allclose(larger[0, ..., 0], -larger[0, ::-1, :, 0], atol=1e-5)
    np.testing.assert_array_equal(larger[0], larger[2])


def test_bias_tables_are_resized_as_pytorch_does():
    torch = pytest.importorskip("torch", reason="compares with PyTorch's bicubic interpolation")
    image = np.random.default_rng(0).standard_normal((169, 3)).astype(np.float32)
    grid = torch.tensor(image).reshape(1, 13, 13, 3).permute(0, 3, 1, 2)
    want = torch.nn.functional.interpolate(grid, size=(23, 15), mode="bicubic")
    got = inflate.bias_table(image, (1, 12, 8)).reshape(23, 15, 3)
    np.testing.assert_allclose(got, want[0].permute(1, 2, 0).numpy(), atol=1e-5)


def test_bias_tables_for_longer_windows_keep_their_ends():
    """A table that grows with the offset in time still does, between the same ends."""
    heads, space = 3, 5 * 5
    ramp = np.broadcast_to(np.arange(15.0)[:, None, None], (15, space, heads)).reshape(-1, heads)
    longer = inflate.bias_table_in_time(ramp.astype(np.float32), (16, 3, 3))
    want = np.linspace(0, 14, 31)[:, None, None]
    np.testing.assert_allclose(longer.reshape(31, space, heads) - want, 0, atol=1e-5)
    with pytest.raises(UserError, match="not for windows"):
        inflate.bias_table_in_time(ramp[:-1], (16, 3, 3))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_tables_of_low_precision_are_resized_in_float32(dtype):
    table = np.random.default_rng(0).standard_normal((3 * 5 * 5, 4)).astype(jnp.dtype(dtype))
    for resize in (
        lambda table: inflate.bias_table(table[:25], (2, 5, 4)),
        lambda table: inflate.bias_table_in_time(table, (3, 3, 3)),
        lambda table: inflate.position_embedding(table, (3, 5, 5), (4, 7, 3)),
    ):
        np.testing.assert_array_equal(resize(table), resize(table.astype(np.float32)))


def test_a_head_for_other_classes_is_a_declared_skip():
    *_, tensors = image_checkpoint()
    net, shapes = build(VIDEO, 8, classes=11)
    variables = fill(shapes, seed=1)
    with pytest.raises(UserError, match=r"head.weight .* does not fit params/head/fc/kernel"):
        convert(tensors, variables, swin.WEIGHTS["image"], net=net)
    loaded, coverage = convert(
        tensors, variables, swin.WEIGHTS["image"], net=net, skip=("head/.*",)
    )
    head = loaded["params"]["head"]["fc"]["kernel"]
    np.testing.assert_array_equal(head, variables["params"]["head"]["fc"]["kernel"])
    assert coverage.leaves - coverage.tensors == 2
    assert str(coverage).endswith("; declared skips: head/.*; 4 tensors adapted in shape")


def test_position_embeddings_are_resampled_as_pytorch_does():
    torch = pytest.importorskip("torch", reason="compares with PyTorch's interpolation")
    interpolate = torch.nn.functional.interpolate
    table = np.random.default_rng(0).standard_normal((1 + 4 * 5 * 6, 7)).astype(np.float32)
    got = inflate.position_embedding(table, (4, 5, 6), (9, 8, 3))
    np.testing.assert_array_equal(got[0], table[0])
    grid = torch.tensor(table[1:]).reshape(4, 5, 6, 7).permute(0, 3, 1, 2)
    wide = interpolate(grid, (8, 3), mode="bicubic")
    long = interpolate(wide.permute(2, 3, 1, 0).reshape(24, 7, 4), 9, mode="linear")
    want = long.reshape(8, 3, 7, 9).permute(3, 0, 1, 2).reshape(-1, 7)
    np.testing.assert_allclose(got[1:], want, atol=1e-5)


def test_position_embeddings_of_an_image_repeat_in_time():
    table = np.random.default_rng(0).standard_normal((3 + 4, 600)).astype(np.float32)
    got = inflate.position_embedding(table, (1, 2, 2), (5, 2, 2))
    np.testing.assert_allclose(got[3:].reshape(5, 4, 600), np.tile(table[3:], (5, 1, 1)), rtol=1e-6)
    with pytest.raises(UserError, match="7 position embeddings are too few for a grid of"):
        inflate.position_embedding(table, (1, 3, 3), (5, 2, 2))


@pytest.mark.parametrize(
    ("old", "grid", "published"),
    [
        ((8, 14, 14), (16, 14, 14), (8, 14, 14)),  # more frames than the published model
        ((8, 14, 14), (8, 24, 24), (8, 14, 14)),  # larger frames
        ((8, 14, 14), (4, 28, 28), (8, 14, 14)),  # both; 2 x 28 x 28 has as many tokens
        ((4, 6, 6), (8, 6, 6), (8, 14, 14)),  # a file of one's own, for other frames
        ((4, 6, 6), (4, 7, 7), (8, 14, 14)),  # ... of another size
    ],
)
def test_position_tables_find_their_grid(old, grid, published):
    table = np.random.default_rng(0).standard_normal((1 + np.prod(old), 3)).astype(np.float32)
    got = inflate.position_table(table, grid, published, first=1)
    np.testing.assert_array_equal(got, inflate.position_embedding(table, old, grid))


@pytest.mark.parametrize(
    "old,grid,published",
    [((1, 16, 16), (1, 8, 8), (1, 56, 56)), ((16, 1, 1), (4, 1, 1), (8, 1, 1))],
)
def test_a_table_of_space_or_of_time_alone_stays_one(old, grid, published):
    table = np.random.default_rng(0).standard_normal((np.prod(old), 3)).astype(np.float32)
    got = inflate.position_table(table, grid, published)
    np.testing.assert_array_equal(got, inflate.position_embedding(table, old, grid))


@pytest.mark.parametrize("count", [4 * 6 * 6, 7])
def test_position_tables_of_unknown_grids_are_refused(count):
    """4 x 6 x 6 tokens are also 1 x 12 x 12 and 16 x 3 x 3."""
    with pytest.raises(UserError, match=rf"table of {count} tokens .* 16 x 12 x 12 .* 8 x 14 x 14"):
        inflate.position_table(np.zeros((count, 3)), (16, 12, 12), (8, 14, 14))
