"""Colors are those that the ffmpeg program gives, for every matrix, range and depth."""

import shutil
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
    "411": ("mjpeg", "yuvj411p", None),
}
MATRICES = {"smpte170m": "bt601", "bt709": "bt709", "bt2020nc": "bt2020"}


def encode(folder: Path, name: str, source: Path) -> Path:
    """A video of a kind with the frames of `source`."""
    codec, pix_fmt, tags = KINDS[name]
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
    patches = np.zeros((96, 128, 3), np.uint8)
    patches[:48, :64], patches[:48, 64:] = (220, 30, 30), (40, 200, 50)
    patches[48:, :64], patches[48:, 64:] = (30, 60, 210), (180, 180, 180)
    np.save(folder / "patches.npy", patches)
    raw = folder / "patches.rgb"
    raw.write_bytes(patches.tobytes() * 2)
    size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x96", "-r", "30"]
    make.ffmpeg(*size, "-i", raw, "-c:v", "ffv1", "-pix_fmt", "bgr0", folder / "patches.mkv")
    return folder


@pytest.fixture(params=list(KINDS))
def path(request, folder):
    path = folder / f"{request.param}.mkv"
    return path if path.exists() else encode(folder, request.param, folder / "moving.mkv")


def test_equal_to_the_ffmpeg_program(path):
    raw = make.ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    for _ in range(2):  # with a demuxer, then by the index that is kept
        with VideoReader(path) as reader:
            frames = reader.read(range(reader.frames))
        expected = np.frombuffer(raw, np.uint8).reshape(frames.shape)
        np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind[2]])
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
