"""Colors are those that the ffmpeg program gives, for every matrix, range and depth."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data.video import colors
from jaxvid.data.video.decode import VideoReader
from tests.data import video_files as make

# Name: encoder, pixel format, and the tags of matrix, primaries, transfer function and range.
KINDS = {
    "untagged": ("libx264", "yuv420p", None),
    "bt601": ("libx264", "yuv420p", ("smpte170m", "smpte170m", "smpte170m", "tv")),
    "bt709": ("libx264", "yuv420p", ("bt709", "bt709", "bt709", "tv")),
    "bt601_full": ("libx264", "yuv420p", ("smpte170m", "smpte170m", "smpte170m", "pc")),
    "bt709_full": ("libx264", "yuv420p", ("bt709", "bt709", "bt709", "pc")),
    "bt709_422": ("libx264", "yuv422p", ("bt709", "bt709", "bt709", "tv")),
    "bt709_444": ("libx264", "yuv444p", ("bt709", "bt709", "bt709", "tv")),
    "bt709_vp9": ("libvpx-vp9", "yuv420p", ("bt709", "bt709", "bt709", "tv")),
    "10bit": ("libx264", "yuv420p10le", ("bt709", "bt709", "bt709", "tv")),
    "10bit_full": ("libx264", "yuv420p10le", ("bt709", "bt709", "bt709", "pc")),
    "10bit_422": ("libx264", "yuv422p10le", ("bt709", "bt709", "bt709", "tv")),
    "10bit_hevc": ("libx265", "yuv420p10le", ("bt709", "bt709", "bt709", "tv")),
    "pq": ("libx265", "yuv420p10le", ("bt2020nc", "bt2020", "smpte2084", "tv")),
    "hlg": ("libx265", "yuv420p10le", ("bt2020nc", "bt2020", "arib-std-b67", "tv")),
    "pq_h264": ("libx264", "yuv420p10le", ("bt2020nc", "bt2020", "smpte2084", "tv")),
    "bt2020": ("libx264", "yuv420p", ("bt2020nc", "bt2020", "bt2020-10", "tv")),
    "bt2020_full_10bit": ("libx264", "yuv420p10le", ("bt2020nc", "bt2020", "bt2020-10", "pc")),
    "fcc": ("libx264", "yuv420p", ("fcc", "bt470m", "bt709", "tv")),
    "smpte240m": ("libx264", "yuv422p", ("smpte240m", "smpte240m", "smpte240m", "tv")),
    "10bit_444": ("libx264", "yuv444p10le", ("bt709", "bt709", "bt709", "tv")),
    "12bit_hevc": ("libx265", "yuv422p12le", ("bt709", "bt709", "bt709", "tv")),
    "rgb": ("libx264rgb", "rgb24", None),
    "gray": ("libx264", "gray", None),
    "gray_full": ("libx264", "gray", ("bt709", "bt709", "bt709", "pc")),
    "gray_10bit": ("libx264", "gray10le", None),
    "yuvj420": ("mjpeg", "yuvj420p", None),
    "yuvj422": ("mjpeg", "yuvj422p", None),
    "yuvj444": ("mjpeg", "yuvj444p", None),
    "411": ("mjpeg", "yuvj411p", None),
    "410": ("ffv1", "yuv410p", None),
    "440": ("ffv1", "yuv440p", None),
    "yuva420": ("ffv1", "yuva420p", None),
    "yuva444_10bit": ("prores_ks", "yuva444p10le", None),
    "gbrp": ("ffv1", "gbrp", None),
    "gbrp_10bit": ("ffv1", "gbrp10le", None),
    "bgra": ("ffv1", "bgra", None),
    "rgb48": ("ffv1", "rgb48le", None),
    "pal8": ("gif", "rgb8", None),
    "nv12": ("rawvideo", "nv12", None),
    "uyvy422": ("rawvideo", "uyvy422", None),
}
ODD = [
    *("untagged", "bt709", "bt709_full", "bt709_422", "bt709_444", "10bit", "10bit_422"),
    *("10bit_444", "gray", "gbrp", "yuva420", "410"),
]
MATRICES = {
    **{"smpte170m": "bt601", "bt709": "bt709", "bt2020nc": "bt2020", "fcc": "fcc"},
    **{"smpte240m": "smpte240m"},
}


def encode(folder: Path, name: str, source: Path, codec: str = "") -> Path:
    """A video of a kind with the frames of `source`, from the encoder of that kind or another."""
    usual, pix_fmt, tags = KINDS[name]
    codec = codec or usual
    path = folder / f"{name}.mkv"
    filters = f"format={pix_fmt}"
    if tags:
        matrix, primaries, transfer, extent = tags
        filters = (
            f"scale=out_color_matrix={MATRICES[matrix]}:out_range={extent},{filters},setparams="
            f"colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range={extent}"
        )
    quality = {"libx265": ["-x265-params", "log-level=none:crf=4"], "libx264": ["-crf", "4"]}
    make.ffmpeg("-i", source, "-vf", filters, "-c:v", codec, *quality.get(codec, []), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    make.encode(folder / "moving.mkv", frames=6, codec="ffv1", pix_fmt="bgr0")
    make.encode(folder / "odd.mkv", frames=3, size=(81, 123), codec="ffv1", pix_fmt="bgr0")
    patches = np.zeros((96, 128, 3), np.uint8)
    patches[:48, :64], patches[:48, 64:] = (220, 30, 30), (40, 200, 50)
    patches[48:, :64], patches[48:, 64:] = (30, 60, 210), (180, 180, 180)
    np.save(folder / "patches.npy", patches)
    raw = folder / "patches.rgb"
    raw.write_bytes(patches.tobytes() * 2)
    size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x96", "-r", "30"]
    make.ffmpeg(*size, "-i", raw, "-c:v", "ffv1", "-pix_fmt", "bgr0", folder / "patches.mkv")
    return folder


# What is tested by default. The others need a process of ffmpeg each, and are similar.
USUAL = [
    *("untagged", "bt601_full", "bt709", "bt709_444", "10bit", "pq", "hlg", "gray", "rgb", "gbrp"),
    *("yuvj420", "pal8", "untagged, odd size", "10bit, odd size"),
]


def others_long(names: Iterable[str]) -> list:
    long = pytest.mark.long
    return [pytest.param(name, marks=() if name in USUAL else long) for name in names]


@pytest.fixture(params=others_long([*KINDS, *(f"{name}, odd size" for name in ODD)]))
def path(request, folder):
    name, _, odd = request.param.partition(", ")
    place = folder / odd if odd else folder
    path = place / f"{name}.mkv"
    if not path.exists():
        place.mkdir(exist_ok=True)
        source = folder / ("odd.mkv" if odd else "moving.mkv")
        encode(place, name, source, codec="ffv1" if odd else "")
    return path


def test_equal_to_the_ffmpeg_program(path):
    raw = make.ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    for _ in range(2):  # with a demuxer, then by the index that is kept
        with VideoReader(path) as reader:
            frames = reader.read(range(reader.frames))
        expected = np.frombuffer(raw, np.uint8).reshape(frames.shape)
        np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize(
    "name", others_long(name for name, kind in KINDS.items() if kind[2] and "gray" not in name)
)
def test_colors_are_those_that_were_encoded(folder, tmp_path, name):
    """Away from the edges of patches, an error of matrix or range is a change of 8 or more."""
    path = encode(tmp_path, name, folder / "patches.mkv")
    patches = np.load(folder / "patches.npy")
    with VideoReader(path) as reader:
        frame = reader[0]
    for rows in (slice(16, 32), slice(64, 80)):
        for columns in (slice(16, 48), slice(80, 112)):
            mean = frame[rows, columns].mean(axis=(0, 1))
            np.testing.assert_allclose(mean, patches[rows, columns][0, 0], atol=4)


@pytest.mark.parametrize(("name", "kind"), [("pq", "PQ"), ("hlg", "HLG"), ("10bit_hevc", "")])
def test_hdr_is_said_once(folder, tmp_path, monkeypatch, name, kind):
    lines: list[str] = []
    monkeypatch.setattr(colors, "_warned", set())
    monkeypatch.setattr(colors.logger, "warning", lines.append)
    path = encode(tmp_path, name, folder / "moving.mkv")
    other = shutil.copy(path, tmp_path / "other.mkv")
    for file in (path, path, other):
        with VideoReader(file):
            pass
    expected = [f"{path}: HDR video ({kind}). It is converted to RGB without tone mapping"]
    assert [line.split(",")[0] for line in lines] == (expected if kind else [])
