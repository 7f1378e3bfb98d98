"""The list of packets in the header of an mp4 file is that of FFmpeg's demuxer, or is not used."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data.video import colors, packets
from jaxvid.data.video.decode import VideoReader
from tests.data import video_files as make

COPIED = {  # name: (source, arguments of ffmpeg before the output)
    "start.mp4": ("b.mp4", "-c copy -movflags faststart"),
    "negative.mp4": ("b.mp4", "-c copy -movflags negative_cts_offsets"),
    "no_edit.mp4": ("b.mp4", "-c copy -use_editlist 0"),
    "scale.mp4": ("b.mp4", "-c copy -video_track_timescale 1000"),
    "b.mov": ("b.mp4", "-c copy"),
    "copy_vfr.mp4": ("vfr.mp4", "-c copy"),
    "hev1.mp4": ("hevc.mp4", "-c copy -tag:v hev1"),
    "color.mp4": (
        "no_b.mp4",
        "-c copy -movflags write_colr -colorspace bt709 -color_primaries bt709 -color_trc bt709"
        " -color_range pc",
    ),
    "sound.mp4": ("b.mp4", "-f lavfi -i sine=duration=2 -map 0 -map 1 -c:v copy"),
    "late.mp4": ("b.mp4", "-c copy -output_ts_offset 0.5"),
    "two.mp4": ("b.mp4", "-map 0 -map 0 -c copy"),
}
ENCODED = {  # name: arguments of the encoder, whose parameters are read from the header
    "interlaced.mp4": "libx264 -vf setfield=tff -flags +ilme+ildct -x264-params tff=1",
    "odd_420.mp4": "libx264 -vf scale=122:86",
    "odd_422.mp4": "libx264 -vf scale=122:81 -pix_fmt yuv422p",
    "gray.mp4": "libx264 -pix_fmt gray",
    "ten.mp4": "libx264 -pix_fmt yuv420p10le",
    "rgb.mp4": "libx264rgb -pix_fmt rgb24",
    "baseline.mp4": "libx264 -profile:v baseline",
    "pixels.mp4": "libx264 -aspect 16:9 -x264-params overscan=show:videoformat=pal",
    "pixels_other.mp4": "libx264 -vf setsar=77/78",
    "order.mp4": "libx264 -x264-params bframes=0:cabac=0:slices=3",
    "pq.mp4": "libx264 -pix_fmt yuv420p10le -vf"
    " setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc",
    "two_sets.mp4": "libx264 -x264-params repeat-headers=1:aud=1",
}
LISTED = [
    *("b.mp4", "open.mp4", "no_b.mp4", "odd.mp4", "vfr.mp4", "refresh.mp4", "hevc.mp4"),
    *("long_header.mp4", "start.mp4", "negative.mp4", "no_edit.mp4", "scale.mp4", "b.mov"),
    *("copy_vfr.mp4", "hev1.mp4", "color.mp4", "sound.mp4", *ENCODED),
]
# An empty edit, an edit that cuts, two tracks, fragments, and a codec that is not read here.
UNUSUAL = ["late.mp4", "edit.mp4", "two.mp4", "fragments.mp4", "av1.mp4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture
def video(folder, tmp_path, monkeypatch) -> Callable[[str], Path]:
    """A function from a name to a file whose index is not kept."""
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))

    def get(name: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        if name in COPIED:
            source, arguments = COPIED[name]
            make.ffmpeg("-i", get(source), *arguments.split(), path)
        elif name in ENCODED:
            make.ffmpeg("-i", get("b.mp4"), "-t", "0.3", "-c:v", *ENCODED[name].split(), path)
        elif name in make.MADE:
            source, how = make.MADE[name]
            how(get(source), path)
        else:
            make.encode(path, **make.ENCODED[name])
        return path

    return get


@pytest.fixture
def opened(monkeypatch) -> list:
    """A list that grows by every file that is opened with a demuxer."""
    files, original = [], packets.open_container

    def watch(source, path):
        files.append(path)
        return original(source, path)

    monkeypatch.setattr(packets, "open_container", watch)
    return files


def equal_to_the_demuxer(path: Path) -> None:
    """Compare with the reader of bytes, which always has a demuxer."""
    with VideoReader(path) as reader, VideoReader(path.read_bytes()) as other:
        for name in ("frames", "start", "duration", "fps", "codec", "height", "width", "rotation"):
            assert getattr(reader, name) == getattr(other, name), name
        np.testing.assert_array_equal(reader.times, other.times)
        wanted = np.arange(reader.frames)
        for request in ([len(wanted) - 1, 2], wanted):
            np.testing.assert_array_equal(reader.read(request), other.read(request))


@pytest.mark.parametrize("name", [*LISTED, *UNUSUAL])
def test_equal_to_the_demuxer(video, name):
    equal_to_the_demuxer(video(name))


@pytest.mark.parametrize("name", LISTED)
def test_usual_files_need_no_demuxer(video, opened, name):
    path = video(name)
    with VideoReader(path) as reader:
        reader.read([reader.frames - 1])
    assert not opened


def test_h264_is_not_decoded_to_open_it(video, monkeypatch):
    """Only parameters in the packets themselves need a frame to be decoded."""
    started, original = [], packets.Direct.start
    monkeypatch.setattr(packets.Direct, "start", lambda *a: started.append(1) or original(*a))
    needed = []
    for name in ("b.mp4", *ENCODED):
        started.clear()
        with VideoReader(video(name)):
            needed += [name] * len(started)
    assert needed == ["two_sets.mp4"]


def test_hdr_is_known_without_decoding(video, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(colors, "_warned", set())
    monkeypatch.setattr(colors.logger, "warning", lines.append)
    with VideoReader(video("pq.mp4")):
        assert len(lines) == 1 and "HDR video (PQ)" in lines[0]


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_files_need_one(video, opened, name):
    with VideoReader(video(name)):
        assert opened


def patched(source: Path, target: Path, box: bytes, offset: int, type: str, value: int) -> Path:
    """A copy of a file with a number in the content of a box replaced."""
    data = bytearray(source.read_bytes())
    struct.pack_into(type, data, data.index(box, data.index(b"moov")) + 4 + offset, value)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("box", "offset", "type", "value"),
    [
        (b"elst", 8, ">I", 1795),  # the edit ends before the last frames
        (b"elst", 8, ">I", 1200),  # and before a keyframe
        (b"elst", 8, ">I", 0),
        (b"elst", 12, ">i", 0),  # it begins before the first frame
        (b"elst", 12, ">i", 1536),  # and after it
        (b"elst", 12, ">i", -1),  # it is empty
        (b"elst", 16, ">I", 1 << 17),  # it is shown at half its speed
        (b"mvhd", 12, ">I", 30),
        (b"mvhd", 36, ">i", -1 << 16),  # the movie is mirrored
        (b"tkhd", 40, ">i", -1 << 16),
        (b"mdhd", 12, ">I", 12345),
        (b"stts", 12, ">I", 513),
        (b"ctts", 12, ">I", 1 << 16),
        (b"ctts", 12, ">I", 512),
        (b"stss", 8, ">I", 2),
        (b"stss", 12, ">I", 14),  # a frame that is no keyframe
        (b"stss", 4, ">I", 1),  # and keyframes that are not listed
        (b"stsc", 12, ">I", 59),
        (b"stco", 8, ">I", 49),  # not where the data begins
        (b"dref", 8 + 11, ">B", 0),  # the data is in another file
        (b"avc1", 24, ">H", 120),  # another width than in the H.264 header
    ],
)
def test_other_numbers_in_the_header(video, tmp_path, box, offset, type, value):
    path = patched(video("b.mp4"), tmp_path / "a.mp4", box, offset, type, value)
    results = []
    for source in (path, path.read_bytes()):
        try:
            with VideoReader(source) as reader:
                results.append((reader.frames, reader.fps, reader.start, reader.read([40, 3])))
        except Exception as error:
            results.append(str(error).split(": ", 1)[1])
    np.testing.assert_equal(results[0], results[1])


def test_files_cut_off_at_any_box(video, tmp_path):
    path = tmp_path / "a.mp4"
    data = video("start.mp4").read_bytes()
    for at in (20, 40, 400, data.index(b"stsz") + 9, data.index(b"mdat") + 6, len(data) - 5):
        path.write_bytes(data[:at])
        with pytest.raises(Exception) as caught, VideoReader(path):
            pass
        with pytest.raises(Exception) as other, VideoReader(data[:at]):
            pass
        assert str(caught.value).split(": ", 1)[1] == str(other.value).split(": ", 1)[1]
