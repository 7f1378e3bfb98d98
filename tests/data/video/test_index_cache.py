"""The index of a file is kept, and never used for another file."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from jaxvid import files
from jaxvid.data.video import index_cache, packets
from jaxvid.data.video.containers import RawFile
from jaxvid.data.video.decode import VideoError, VideoReader
from tests.data import video_files as make

KEPT = [
    *("b.mp4", "b.mkv", "open.mp4", "no_b.mp4", "odd.mp4", "vfr.mp4", "hevc.mp4"),
    *("vp9.webm", "av1.mp4", "mpeg4_no_b.avi", "edit.mp4", "edit_hevc.mp4", "fragments.mp4"),
]
NOT_KEPT = ["b.ts", "b.avi", "b.h264", "anim.gif"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture
def video(folder, tmp_path, monkeypatch):
    """A function from a name in `video_files` to a file whose index is not kept yet."""
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))

    def get(name: str) -> Path:
        path = folder / name
        if not path.exists():
            if name in make.MADE:
                source, how = make.MADE[name]
                how(get(source), path)
            else:
                make.encode(path, **make.ENCODED[name])
        return path

    return get


@pytest.fixture
def no_demuxer(monkeypatch):
    """A function after which no demuxer can be started."""

    def fail(*_):
        raise AssertionError("a demuxer was started")

    return lambda: monkeypatch.setattr(packets, "open_container", fail)


def entries() -> list[Path]:
    return [path for path in files.cache_root().rglob("*") if path.is_file()]


def about(reader: VideoReader) -> tuple:
    values = (reader.frames, reader.fps, reader.start, reader.duration, reader.codec)
    return *values, reader.height, reader.width, reader.rotation, reader.times.tolist()


@pytest.mark.parametrize("name", KEPT)
def test_a_second_opening_needs_no_demuxer(video, no_demuxer, name):
    path, frames = video(name), make.sequential(video(name))
    with VideoReader(path) as first:
        expected = about(first)
    no_demuxer()
    assert len(entries()) == 1
    for request in ([40 % len(frames), 3], range(len(frames))):
        with VideoReader(path) as again:
            assert about(again) == expected
            np.testing.assert_array_equal(again.read(request), frames[request])


@pytest.mark.parametrize("name", NOT_KEPT)
def test_files_without_places_of_packets_have_none(video, name):
    with VideoReader(video(name)):
        assert not entries()


def test_rotation_is_kept(video, no_demuxer, tmp_path):
    path = make.with_matrix(video("b.mp4"), tmp_path / "turned.mp4", 0, 1, -1, 0)
    with VideoReader(path) as first:
        expected, frame = about(first), first[7]
    no_demuxer()
    with VideoReader(path) as again:
        assert about(again) == expected and again.rotation == 90
        np.testing.assert_array_equal(again[7], frame)


def padded(source: Path, target: Path, size: int) -> Path:
    """A copy of an mp4 with a box at its end that brings it to `size` bytes."""
    data = source.read_bytes()
    free = struct.pack(">I4s", size - len(data), b"free")
    target.write_bytes(data + free.ljust(size - len(data), b"\0"))
    return target


@pytest.mark.parametrize("same_time", [False, True])
@pytest.mark.parametrize("name", ["other.mp4", "more.mp4"])
def test_another_file_in_its_place_is_noticed(video, tmp_path, name, same_time):
    first = padded(video("b.mp4"), tmp_path / "first.mp4", 40_000)
    how = {"first": 100, **make.B_FRAMES} | ({"frames": 40} if name == "more.mp4" else {})
    other = padded(make.encode(tmp_path / "a.mp4", **how), tmp_path / "b.mp4", 40_000)
    path = tmp_path / name
    path.write_bytes(first.read_bytes())
    with VideoReader(path) as reader:
        assert make.number(reader[5]) == 5
    before = path.stat().st_mtime_ns
    other.replace(path) if name == "other.mp4" else path.write_bytes(other.read_bytes())
    later = before if same_time else before + 1
    os.utime(path, ns=(later, later))
    for _ in range(2):
        with VideoReader(path) as reader:
            assert reader.frames == how.get("frames", 60)
            assert make.number(reader[5]) == 105


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: zlib.compress(zlib.decompress(data).replace(b": [2, ", b": [1, ")),
        lambda data: zlib.compress(zlib.decompress(data).replace(b'"fps"', b'"abc"')),
        lambda data: zlib.compress(b"{}\n"),
        lambda data: np.random.default_rng(0).bytes(900),
    ],
)
def test_an_entry_that_is_none_is_made_again(video, spoil):
    with VideoReader(video("b.mp4")) as reader:
        expected = about(reader)
    (entry,) = entries()
    data = entry.read_bytes()
    assert spoil(data) != data
    entry.write_bytes(spoil(data))
    with VideoReader(video("b.mp4")) as reader:
        assert about(reader) == expected and make.numbers(reader.read([9, 50])) == [9, 50]
    assert entry.read_bytes() == data


@pytest.mark.parametrize("name", ["b.mp4", "hevc.mp4", "vp9.webm"])
@pytest.mark.parametrize("shift", [1, -8])
def test_wrong_places_of_packets_are_given_up(video, monkeypatch, name, shift):
    """Shift packets, as if the middle of the file had changed and nothing that is compared."""
    with VideoReader(video(name)):
        pass
    kept = index_cache.load(str(video(name)))
    assert kept is not None
    kept[0].close()
    kept[1].layout.at[20:] += shift

    def load(path: str, beside: str) -> tuple[RawFile, index_cache.Known]:
        return RawFile(path), kept[1]

    monkeypatch.setattr(index_cache, "load", load)
    expected = make.sequential(video(name))
    with VideoReader(video(name)) as reader:
        for request in ([50, 3], range(60)):
            np.testing.assert_array_equal(reader.read(request), expected[request])


def test_a_file_cut_off_while_it_is_read(video, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(video("b.mkv").read_bytes())
    with VideoReader(path):
        pass
    with VideoReader(path) as reader:
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(VideoError, match="was cut off while it was read"):
            reader.read([59])


def test_a_file_that_is_gone(video, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(video("b.mp4").read_bytes())
    with VideoReader(path):
        path.unlink()
    with pytest.raises(VideoError, match="no such file"):
        VideoReader(path)


def test_without_a_place_for_indexes_videos_still_open(video, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "file"))
    warnings: list[str] = []
    monkeypatch.setattr(index_cache.logger, "warning", warnings.append)
    for _ in range(3):
        with VideoReader(video("b.mp4")) as reader:
            assert make.number(reader[9]) == 9
    (line,) = warnings
    assert "indexes: cannot write there" in line


def test_without_a_home_folder_videos_still_open(video, monkeypatch):
    path = video("b.mp4")

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JAXVID_CACHE")
    monkeypatch.setattr(Path, "home", no_home)
    warnings: list[str] = []
    monkeypatch.setattr(index_cache.logger, "warning", warnings.append)
    for _ in range(2):
        with VideoReader(path) as reader:
            assert make.number(reader[9]) == 9
    (line,) = warnings
    assert "set JAXVID_CACHE to a folder" in line
