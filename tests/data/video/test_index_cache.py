"""The index of a file is kept, and never used for another file."""

import gc
import hashlib
import os
import shutil
import struct
import warnings as warnings_module
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jaxvid import files
from jaxvid.data.video import index_cache, packets
from jaxvid.data.video.containers import RawFile
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.errors import UserError
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


# The limit


def use(path: Path) -> None:
    with VideoReader(path) as reader:
        assert make.number(reader[5]) % 100 == 5


@pytest.fixture
def filled(video, tmp_path) -> list[Path]:
    """Videos whose indexes are in one folder, used one after another, long ago."""
    (folder,) = {entry.parent for entry in [entries_of(use, video("b.mp4"))]}
    paths = [video("b.mp4")]
    for k in range(5):
        paths.append(tmp_path / f"{k}.mp4")
        shutil.copy2(paths[0], paths[-1])
        entry = entries_of(use, paths[-1])
        entry.replace(folder / entry.name)
    for age, entry in enumerate(sorted(folder.iterdir())):
        os.utime(entry, (1e9 - age * 1e6,) * 2)
    return sorted(folder.iterdir())


def entries_of(function, path: Path) -> Path:
    before = set(entries())
    function(path)
    (entry,) = set(entries()) - before
    return entry


def test_the_indexes_not_used_for_long_are_removed_first(filled, monkeypatch):
    folder = filled[0].parent
    size = filled[0].stat().st_blocks * 512
    index_cache.trim(folder)
    assert sorted(folder.iterdir()) == filled
    monkeypatch.setenv("JAXVID_INDEX_GB", str(256 * 3.5 * size / 1e9))
    index_cache.trim(folder)
    assert sorted(folder.iterdir()) == filled[:3]


def test_opening_a_video_is_a_use_of_its_index(video):
    entry = entries_of(use, video("b.mp4"))
    os.utime(entry, (1e9, 1e9))
    use(video("b.mp4"))
    assert entry.stat().st_mtime > 1.7e9
    now = entry.stat().st_mtime_ns
    use(video("b.mp4"))
    assert entry.stat().st_mtime_ns == now  # the time is noted once a day


def test_the_cache_stays_below_its_limit(video, tmp_path, monkeypatch):
    """Indexes of 100 videos are made by four threads at once, in a folder with room for 60."""
    source = video("b.mp4")
    size = entries_of(use, source).stat().st_blocks * 512
    monkeypatch.setenv("JAXVID_INDEX_GB", str(60 * size / 1e9))
    monkeypatch.setattr(index_cache, "FOLDERS", 1)  # of which one has all indexes
    monkeypatch.setattr(index_cache, "TRIM_EVERY", 1)
    monkeypatch.setattr(index_cache, "_entry", one_folder)
    for k in range(100):
        os.link(source, tmp_path / f"{k}.mp4")
    with ThreadPoolExecutor(4) as pool:  # all of which make all indexes
        list(pool.map(use, [tmp_path / f"{k}.mp4" for k in range(100) for _ in range(4)]))
    assert 50 * size < sum(entry.stat().st_blocks * 512 for entry in entries()) < 65 * size


def one_folder(folder: str, key: str) -> str:
    return os.path.join(folder, "00", hashlib.sha256(key.encode()).hexdigest())


def test_no_indexes_at_a_limit_of_0(video, monkeypatch):
    monkeypatch.setenv("JAXVID_INDEX_GB", "0")
    use(video("b.mp4"))
    assert not entries()


@pytest.mark.parametrize("text", ["many", "nan"])
def test_a_limit_that_is_no_number(video, monkeypatch, text):
    warnings: list[str] = []
    monkeypatch.setattr(index_cache.logger, "warning", warnings.append)
    monkeypatch.setenv("JAXVID_INDEX_GB", text)
    use(video("b.mp4"))
    assert f'JAXVID_INDEX_GB="{text}" is not a number of gigabytes' in warnings[0]
    with pytest.raises(UserError):
        index_cache.limit()


def test_the_size_that_the_doctor_shows(video, tmp_path):
    assert index_cache.bytes_on_disk() == 0
    sizes = []
    for k in range(24):
        os.link(video("b.mp4"), tmp_path / f"{k}.mp4")
        use(tmp_path / f"{k}.mp4")
    sizes = [entry.stat().st_blocks * 512 for entry in entries()]
    assert index_cache.bytes_on_disk(most=256) == sum(sizes)
    assert index_cache.bytes_on_disk() == pytest.approx(sum(sizes), rel=0.3)


# Files that change


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_changes_of_a_file_are_noticed(video, tmp_path, name):
    path, other = tmp_path / name, tmp_path / f"other_{name}"
    path.write_bytes(video(name).read_bytes())
    use(path)
    os.utime(path, ns=(1, path.stat().st_mtime_ns - 1))  # the same content at another time
    use(path)
    shutil.copyfile(path, other)  # another name, another time
    use(other)
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    with pytest.raises(VideoError, match="truncated"):
        VideoReader(path)
    path.write_bytes(data)
    use(path)


def test_a_file_that_is_replaced_while_it_is_open(video, tmp_path):
    """An open reader keeps the file that it has opened, and the next reader sees the new one."""
    path = tmp_path / "a.mp4"
    shutil.copyfile(video("b.mp4"), path)
    use(path)
    with VideoReader(path) as reader:
        assert make.number(reader[5]) == 5
        make.encode(tmp_path / "b.mp4", first=100, **make.B_FRAMES).replace(path)
        assert make.number(reader[50]) == 50
        with VideoReader(path) as other:
            assert make.number(other[50]) == 150
    with VideoReader(path) as reader:
        assert make.number(reader[50]) == 150


# Readers that are not closed


def test_a_reader_that_is_dropped_closes_its_file(video):
    path = video("b.mp4")

    def count() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before = count()
    with warnings_module.catch_warnings(record=True) as caught:
        warnings_module.simplefilter("always")
        for _ in range(3):  # without an index, then with it
            for request in ([], [3, 40]):
                VideoReader(path).read(request)
                frames = VideoReader(path).read_on(range(40))
                next(frames)
                del frames
        assert count() == before
    assert not caught
