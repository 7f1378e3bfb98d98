"""Folders of frames, flow, images and arrays read like videos; and what is wrong with them."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxvid.data.transforms import sampling, spatial
from jaxvid.data.transforms.video import Decode, Open, StackFlow
from jaxvid.data.video import readers
from jaxvid.data.video.decode import VideoError, VideoReader, fit
from jaxvid.data.video.encode import write_video
from jaxvid.data.video.readers import ArrayReader, FrameFolder, open_reader, read_array, read_image
from jaxvid.errors import UserError
from tests.data import video_files as make

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (7, 20, 30, 3), np.uint8)
RGB, FLOW = "img_{:05}.png", "flow_{}_{:03d}.png"


def write_frames(folder: Path, template: str = RGB, first: int = 1, frames=FRAMES) -> Path:
    """Color frames, or their first two channels as the x and y images of flow."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        if "{}" in template:
            for axis, plane in zip("xy", np.moveaxis(frame, 2, 0)[:2], strict=True):
                cv2.imwrite(str(folder / template.format(axis, number)), plane)
        else:
            cv2.imwrite(str(folder / template.format(number)), frame[..., ::-1])
    return folder


def fails(path: Path, reason: str, call, *arguments, **options):
    """`call` raises the VideoError of that path and reason."""
    with pytest.raises(VideoError) as caught:
        call(*arguments, **options)
    assert str(caught.value) == f"{path}: {reason}"


# Folders


@pytest.mark.parametrize("template", ["img_{:05}.png", "{:d}.png", "frame-{:06d}.final.bmp"])
@pytest.mark.parametrize("first", [0, 1, 900])
def test_a_folder_reads_in_any_order(tmp_path, template, first):
    write_frames(tmp_path, template, first)
    (tmp_path / "notes.txt").touch()
    with open_reader(tmp_path, template=template, first=first) as reader:
        assert (reader.frames, reader.fps, len(reader)) == (7, 0, 7)
        for request in (range(7), [6, 0, 6, 3], [2], np.array([5, 5])):
            frames = reader.read(request)
            assert frames.dtype == np.uint8
            np.testing.assert_array_equal(frames, FRAMES[list(request)])
        assert reader.read([]).shape == (0, 20, 30, 3)


@pytest.mark.parametrize("template", [FLOW, "{}_{:05d}.png"])
def test_flow_has_two_channels(tmp_path, template):
    write_frames(tmp_path, template)
    write_frames(tmp_path)  # MMAction2 keeps frames and flow in one folder
    with open_reader(tmp_path, template=template) as reader:
        assert reader.frames == 7
        np.testing.assert_array_equal(reader.read([4, 1, 4]), FRAMES[[4, 1, 4], ..., :2])


def test_a_part_of_a_folder(tmp_path):
    """A list may use fewer frames than there are, from any of them on."""
    write_frames(tmp_path)
    with open_reader(tmp_path, template=RGB, first=3, total=4) as reader:
        assert reader.frames == 4
        np.testing.assert_array_equal(reader.read(range(4)), FRAMES[2:6])
        fails(tmp_path, "there is no frame 4, it has 4", reader.read, [4])
        fails(tmp_path, "there is no frame -1, it has 4", reader.read, [0, -1])


def test_missing_frames_are_named(tmp_path):
    write_frames(tmp_path)
    with open_reader(tmp_path, template=RGB, total=9) as reader:
        reader.read(range(7))
        fails(tmp_path / "img_00009.png", "no such file", reader.read, [8])
    gone = tmp_path / "img_00004.png"
    gone.unlink()
    fails(gone, "missing, but there is img_00007.png", FrameFolder, tmp_path, RGB)
    fails(tmp_path, "there is no frame img_00008.png in it", FrameFolder, tmp_path, RGB, 8)
    short = "img_{}.png"  # the places for the number are part of the name
    there = "missing, but there is img_00007.png"
    fails(tmp_path / "img_1.png", there, FrameFolder, tmp_path, short)
    fails(
        tmp_path, "there is no frame img_00001.jpg in it", FrameFolder, tmp_path, RGB[:-3] + "jpg"
    )
    fails(tmp_path / "x", "no such file", FrameFolder, tmp_path / "x", RGB)
    write_frames(tmp_path, FLOW)
    gone = tmp_path / "flow_y_002.png"
    gone.unlink()
    fails(gone, "missing, but there is flow_y_007.png", FrameFolder, tmp_path, FLOW)
    reader = FrameFolder(tmp_path, FLOW, total=7)
    fails(gone, "no such file", reader.read, [1])


def test_frames_of_several_sizes_are_an_error(tmp_path):
    write_frames(tmp_path)
    write_frames(tmp_path, first=3, frames=FRAMES[:1, :10])
    reader = FrameFolder(tmp_path, RGB)
    name = tmp_path / "img_00003.png"
    fails(name, "is 30 x 10, other frames are 30 x 20", reader.read, range(7))
    write_frames(tmp_path, FLOW)
    cv2.imwrite(str(tmp_path / "flow_y_001.png"), FRAMES[0, :10, :, 0])
    name, reader = tmp_path / "flow_y_001.png", FrameFolder(tmp_path, FLOW)
    fails(name, "is not of the size of flow_x_001.png", reader.read, [0])


@pytest.mark.parametrize("template", ["img.jpg", "{}{}{}", ""])
def test_a_template_has_one_place_or_two(tmp_path, template):
    with pytest.raises(UserError, match=r"no template of frames: write img_\{:05\}\.jpg"):
        FrameFolder(tmp_path, template)


def test_real_frames():
    if "JAXVID_DATA" not in os.environ:
        pytest.skip("JAXVID_DATA does not name the folder of real images")
    folder = Path(os.environ["JAXVID_DATA"], "imgs")
    with open_reader(folder, template="img_{:05}.jpg") as reader:
        image = cv2.imread(str(folder / "img_00010.jpg"))
        assert image is not None and reader.frames == 10
        np.testing.assert_array_equal(reader.read([9])[0], image[..., ::-1])
    with open_reader(folder, template="{}_{:05d}.jpg") as reader:
        assert reader.frames == 5
        assert reader.read(range(5)).shape == (5, 240, 320, 2)
        y = cv2.imread(str(folder / "y_00002.jpg"), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(reader.read([1])[0, ..., 1], y)


# Images


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.webp", "a.tif", "a.jpg"])
def test_an_image_is_a_video_of_one_frame(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), FRAMES[0, ..., ::-1])
    with open_reader(tmp_path / name) as reader:
        assert reader.frames == 1
        frames = reader.read([0, 0])
    if name.lower().endswith(("png", "bmp", "tif")):
        np.testing.assert_array_equal(frames, FRAMES[[0, 0]])
    assert frames.shape == (2, 20, 30, 3)


@pytest.mark.parametrize("sampler", [sampling.SampleClips(4, 8, 2), sampling.UniformFrames(4)])
def test_samplers_repeat_an_image(tmp_path, sampler):
    cv2.imwrite(str(tmp_path / "a.png"), FRAMES[0, ..., ::-1])
    sample = {"path": str(tmp_path / "a.png")}
    for transform in (Open(), sampler, Decode()):
        sample = transform(sample, np.random.default_rng(0))
    assert sample["video"].shape[1:] == (4, 20, 30, 3)
    assert (sample["video"] == FRAMES[0]).all()


def test_pictures_that_are_none(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), FRAMES[0])
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(tmp_path / "a.png"), FRAMES[0])
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "zero.jpg").touch()
    for name, reason in {
        "half.jpg": "truncated image",
        "half.png": "truncated image",
        "text.jpg": "not an image",
        "zero.jpg": "zero-byte file",
        "absent.jpg": "no such file",
    }.items():
        fails(tmp_path / name, reason, open_reader, tmp_path / name)
    (tmp_path / "img_00001.png").write_bytes((tmp_path / "half.png").read_bytes())
    reader = FrameFolder(tmp_path, RGB)
    fails(tmp_path / "img_00001.png", "truncated image", reader.read, [0])


def test_gray_and_transparent_images(tmp_path):
    path = str(tmp_path / "a.png")
    cv2.imwrite(path, FRAMES[0, ..., 0])
    np.testing.assert_array_equal(read_image(path), FRAMES[0, ..., :1].repeat(3, -1))
    cv2.imwrite(path, np.dstack([FRAMES[0, ..., ::-1], FRAMES[1, ..., 0]]))
    np.testing.assert_array_equal(read_image(path), FRAMES[0])


# Arrays


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", FRAMES)
    np.savez(tmp_path / "one.npz", anything=FRAMES)
    np.savez_compressed(tmp_path / "two.npz", video=FRAMES, boxes=np.zeros(3), fps=12.5)
    for name, fps in (("a.npy", 0), ("one.npz", 0), ("two.npz", 12.5)):
        with open_reader(tmp_path / name) as reader:
            assert (reader.frames, reader.fps) == (7, fps)
            np.testing.assert_array_equal(reader.read([6, 0, 0]), FRAMES[[6, 0, 0]])
            assert type(reader.read([1])) is np.ndarray
            fails(tmp_path / name, "there is no frame 7, it has 7", reader.read, [7])
            fails(tmp_path / name, "there is no frame -1, it has 7", reader.read, [-1])


def test_features_are_read_as_they_are(tmp_path):
    features = RNG.standard_normal((9, 5)).astype(np.float32)
    np.save(tmp_path / "a.npy", features)
    with open_reader(tmp_path / "a.npy") as reader:
        np.testing.assert_array_equal(reader[3:5], features[3:5])
    with ArrayReader(features) as reader:
        fails(Path("<array>"), "there is no frame 9, it has 9", reader.read, [9])


def test_arrays_that_are_none(tmp_path):
    np.savez(tmp_path / "two.npz", a=FRAMES, b=FRAMES)
    np.savez(tmp_path / "fps.npz", fps=3)
    np.save(tmp_path / "empty.npy", FRAMES[:0])
    np.save(tmp_path / "number.npy", np.float32(3))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", np.array([{"a": 1}], object))
    (tmp_path / "text.npy").write_text("text")
    (tmp_path / "zero.npz").touch()
    wanted = 'there must be one array, or one called "video", not'
    for name, reason in {
        "two.npz": f"{wanted} a, b",
        "fps.npz": f"{wanted} none",
        "empty.npy": "there are no frames in an array (0, 20, 30, 3)",
        "number.npy": "there are no frames in an array ()",
        "absent.npy": "no such file",
    }.items():
        fails(tmp_path / name, reason, read_array, str(tmp_path / name))
    for name in ("objects.npy", "objects.npz", "text.npy", "zero.npz"):
        with pytest.raises(VideoError, match=rf"{name}: not an array NumPy can read \("):
            read_array(str(tmp_path / name))


# Which reader


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make.encode(tmp_path_factory.mktemp("video") / "a.mp4", frames=20)


def test_the_path_decides(tmp_path, video):
    with open_reader(video) as reader:
        assert isinstance(reader, VideoReader)
    (tmp_path / "clip.jpg.mov").write_bytes(video.read_bytes())
    with open_reader(tmp_path / "clip.jpg.mov") as reader:
        assert reader.frames == 20
    fails(tmp_path, "a folder needs a template of its frames: img_{:05}.jpg", open_reader, tmp_path)


def test_a_listed_length_is_checked(tmp_path, video):
    open_reader(video, total=20).close()
    fails(video, "it has 20 frames, but was listed with 21", open_reader, video, total=21)
    np.save(tmp_path / "a.npy", FRAMES)
    listed = "it has 7 frames, but was listed with 0"
    fails(tmp_path / "a.npy", listed, open_reader, tmp_path / "a.npy", total=0)


def test_open_takes_what_the_sample_has(tmp_path, video):
    rng = np.random.default_rng(0)
    write_frames(tmp_path)
    sample = {"path": str(tmp_path), "template": RGB, "first": 2, "total": 3}
    reader = Open()(sample, rng)["reader"]
    np.testing.assert_array_equal(reader[:], FRAMES[1:4])
    mine = ArrayReader(FRAMES)
    assert Open()({"path": "none.mp4", "reader": mine}, rng)["reader"] is mine
    fails(video, "too dark", Open(), {"path": str(video), "problem": "too dark"}, rng)
    fails(
        video, "it has 20 frames, but was listed with 3", Open(), {"path": video, "total": 3}, rng
    )


# Resized while decoding


@pytest.mark.parametrize(
    "size", [(256, 340), (341, 256), (100, 100), (101, 100), (719, 1281), (33, 77)]
)
@pytest.mark.parametrize("short_side", [7, 50, 112, 224, 256, 320])
def test_sizes_are_those_of_resizing_afterwards(size, short_side):
    height, width = size
    assert fit(height, width, short_side) == spatial.ResizeShort(short_side).shape(height, width)
    assert fit(height, width, 0) == size


def test_sizes_round_halves_up():
    """As the published recipes do: int(x * scale + 0.5)."""
    assert fit(101, 100, 50) == (51, 50) and fit(100, 103, 50) == (50, 52)
    assert fit(1080, 1920, 256) == (256, 455) and fit(341, 256, 256) == (341, 256)


@pytest.mark.parametrize("short_side", [56, 80, 96])
def test_resizing_while_decoding_gives_the_same_pixels(tmp_path, video, short_side):
    turned = make.with_matrix(video, tmp_path / "turned.mp4", 0, 1, -1, 0)
    write_frames(tmp_path)
    write_frames(tmp_path, FLOW)
    cv2.imwrite(str(tmp_path / "a.png"), FRAMES[0])
    for path, template in (
        (video, ""),
        (turned, ""),
        (tmp_path, RGB),
        (tmp_path, FLOW),
        (tmp_path / "a.png", ""),
    ):
        sample = {"path": str(path), "template": template, "frames": np.array([[0, 3, 1]])}
        sample["frames"] *= path.suffix != ".png"
        rng, resize = np.random.default_rng(0), spatial.ResizeShort(short_side)
        after = resize(Decode()(Open()(sample, rng), rng), rng)["video"]
        during = Decode()(Open(short_side)(sample, rng), rng)["video"]
        assert min(during.shape[2:4]) == short_side
        np.testing.assert_array_equal(during, after)
        np.testing.assert_array_equal(resize({"video": during}, rng)["video"], after)


def test_the_reader_says_the_size_it_returns(video, monkeypatch):
    with VideoReader(video, short_side=40) as reader:
        assert (reader.height, reader.width) == reader[0].shape[:2] == (40, 64)
    monkeypatch.setattr(readers.cv2, "resize", None)  # nothing to do at full size
    with VideoReader(video, short_side=80) as reader:
        assert reader[0].shape == (80, 128, 3)


# Stacked flow


def test_stacked_flow_is_what_the_flow_stream_of_tsn_takes():
    """The published case FormatShape-03: 20 gray images, x and y in turn, are 2 views of 10."""
    images = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None], (20, 2, 2))
    video = np.moveaxis(images.reshape(2, 5, 2, 2, 2), 2, -1)  # (v t h w 2)
    out = StackFlow(5)({"video": video}, np.random.default_rng(0))["video"]
    assert out.shape == (2, 1, 2, 2, 10)
    assert out[:, 0, 1, 0].tolist() == [[*range(10)], [*range(10, 20)]]


def test_flow_stacks_by_runs(tmp_path):
    write_frames(tmp_path, FLOW)
    frames = np.array([[0, 1, 2, 3], [3, 4, 5, 6]])
    sample = {"path": str(tmp_path), "template": FLOW, "frames": frames}
    rng = np.random.default_rng(0)
    video = StackFlow(2)(Decode()(Open()(sample, rng), rng), rng)["video"]
    assert video.shape == (2, 2, 20, 30, 4)
    for view, start in enumerate((0, 3)):
        for run in range(2):
            for k in range(2):
                for axis in range(2):
                    expected = FRAMES[start + 2 * run + k, ..., axis]
                    np.testing.assert_array_equal(video[view, run, ..., 2 * k + axis], expected)
    with pytest.raises(ValueError, match="4 frames of 2 channels are no stacks of 3 flow frames"):
        StackFlow(3)(Decode()(Open()(sample, rng), rng), rng)
    with pytest.raises(ValueError, match="5 frames of 3 channels"):
        StackFlow(5)({"video": FRAMES[None, :5]}, rng)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_nothing_stays_open(tmp_path, video):
    write_frames(tmp_path)
    np.save(tmp_path / "a.npy", FRAMES)
    np.savez(tmp_path / "a.npz", FRAMES)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        for path in (video, tmp_path / "a.npy", tmp_path / "a.npz", tmp_path / "img_00001.png"):
            with open_reader(path) as reader:
                reader.read([0])
            with pytest.raises(VideoError):
                open_reader(path, total=99)
        del reader
    assert len(os.listdir("/proc/self/fd")) == before


def test_writing_what_was_read_from_a_folder(tmp_path):
    """Readers are interchangeable: whatever takes frames takes them from any."""
    write_frames(tmp_path, frames=np.stack([make.picture(k) for k in range(9)]))
    with open_reader(tmp_path, template=RGB) as reader:
        write_video(tmp_path / "a.mp4", reader, 10)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert make.numbers(reader[:]) == list(range(9))


@pytest.mark.parametrize("template", ["img_{:05}.jpg", "{}_{:05d}.jpg"])
@pytest.mark.parametrize("numbers", [range(20), range(1, 21)])
def test_the_first_frame_is_number_0_or_1(tmp_path, template, numbers):
    for place, number in enumerate(numbers):
        image = np.full((8, 8), 10 * place, np.uint8)
        keys = [()] if template.startswith("img") else [("x",), ("y",)]
        for key in keys:
            cv2.imwrite(str(tmp_path / template.format(*key, number)), image)
    for total in (None, 20):
        with open_reader(tmp_path, template=template, total=total) as reader:
            assert reader.frames == 20
            assert abs(reader.read([0, 19]).mean((1, 2, 3)) - [0, 190]).max() < 2
    with open_reader(tmp_path, template=template, offset=5, total=3) as reader:
        assert abs(reader.read([0, 2]).mean((1, 2, 3)) - [50, 70]).max() < 2


def test_frames_that_begin_elsewhere_or_have_holes(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    for number in (5, 6, 7):
        cv2.imwrite(str(tmp_path / f"img_{number:05}.jpg"), image)
    with pytest.raises(VideoError, match=r"frames begin with img_00005\.jpg: set first=5"):
        open_reader(tmp_path, template="img_{:05}.jpg")
    assert open_reader(tmp_path, template="img_{:05}.jpg", first=5).frames == 3
    cv2.imwrite(str(tmp_path / "img_00009.jpg"), image)
    with pytest.raises(VideoError, match=r"img_00008\.jpg: missing, but there is img_00009\.jpg"):
        open_reader(tmp_path, template="img_{:05}.jpg", first=5)
