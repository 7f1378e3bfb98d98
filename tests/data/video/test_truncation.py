"""Files whose end is missing, by container; and good files of all kinds, which must pass."""

import os
from pathlib import Path

import pytest

from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.readers import open_reader
from jaxvid.tools import scan
from tests.data import video_files as make

LIVE = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4")
SOUND = ("-f", "lavfi", "-i", "sine=duration={}")
KINDS = {  # name: how ffmpeg encodes it
    "a.mkv": ("-c:v", "libx264"),
    "a.webm": ("-c:v", "libvpx", "-b:v", "300k"),
    "a.flv": ("-c:v", "flv"),
    "a.ts": ("-c:v", "libx264"),
    "a.m2ts": ("-c:v", "libx264"),
    "a.avi": ("-c:v", "mpeg4"),
    "a.mpg": ("-c:v", "mpeg1video", "-q:v", "3"),
    "a.vob": ("-c:v", "mpeg2video", "-q:v", "3"),
    "a.ogv": ("-c:v", "libtheora"),
    "a.wmv": ("-c:v", "wmv2"),
    "a.gif": (),
    "a.mp4": ("-c:v", "libx264"),
    "front.mp4": ("-c:v", "libx264", "-movflags", "faststart"),
    "fragments.mp4": ("-c:v", "libx264", "-g", "12", "-movflags", "frag_keyframe+empty_moov"),
    "a.mov": ("-c:v", "libx264"),
    "a.3gp": ("-c:v", "libx264"),
}
FORMATS = {"mkv": "matroska", "ts": "mpegts", "ogv": "ogg", "wmv": "asf"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    for name, codec in KINDS.items():
        make.ffmpeg(*LIVE, *codec, folder / name)
    return folder


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.77, 0.97])
def test_a_file_cut_off_is_refused(folder, tmp_path, name, share):
    data = (folder / name).read_bytes()
    end = int(len(data) * share)
    end += next(k for k in range(9) if (end + k) % 188 and (end + k) % 192 and (end + k) % 2048)
    path = tmp_path / name
    path.write_bytes(data[:end])
    with pytest.raises(VideoError, match="truncated") as error:
        VideoReader(path)
    with pytest.raises(VideoError, match="truncated"):
        open_reader(path)
    row = scan.probe(scan.Job(path, name, decode=False, sha256=False))
    assert (row.status, row.reason) == ("bad", error.value.reason)
    with pytest.raises(VideoError, match=r"<\d+ bytes>: truncated"):
        VideoReader(data[:end])


@pytest.mark.parametrize("name", KINDS)
def test_a_good_file_passes(folder, name):
    with VideoReader(folder / name) as video:
        assert 97 <= video.frames <= 101  # WMV drops some
    with VideoReader((folder / name).read_bytes()) as video:
        assert video.frames


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.flv", "a.avi", "a.ts", "a.ogv", "a.wmv"])
def test_a_live_recording_passes(tmp_path, name):
    """Written to a pipe: nobody goes back to fill in sizes, durations or an index."""
    ending = name[2:]
    form = FORMATS.get(ending, ending)
    path = tmp_path / name
    path.write_bytes(make.ffmpeg(*LIVE, *KINDS[name], "-f", form, "-"))
    with VideoReader(path) as video:
        assert video.frames >= 97


def test_a_live_recording_that_was_killed_passes(tmp_path):
    data = make.ffmpeg(*LIVE, *KINDS["a.mkv"], "-f", "matroska", "-")
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    with VideoReader(tmp_path / "a.mkv") as video:
        assert 10 < video.frames < 90


@pytest.mark.parametrize("seconds", [1, 9])
@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.flv", "a.ts", "a.avi", "a.mpg", "a.mp4"])
def test_sound_of_another_length_passes(tmp_path, name, seconds):
    sound = [part.format(seconds) for part in SOUND]
    path = tmp_path / name
    make.ffmpeg(*LIVE, *sound, *KINDS[name], "-ar", "44100" if name != "a.webm" else "48000", path)
    with VideoReader(path) as video:
        assert video.frames >= 97


@pytest.mark.parametrize("ending", ["mkv", "ts", "mp4", "mov", "flv"])
def test_uneven_times_and_edit_lists_pass(folder, tmp_path, ending):
    uneven, edited = tmp_path / f"u.{ending}", tmp_path / f"e.{ending}"
    select = ("-vf", "select='lt(mod(n,7),3)'", "-fps_mode", "vfr", "-c:v", "libx264")
    make.ffmpeg("-i", folder / "a.mp4", *select, uneven)
    make.ffmpeg("-ss", "0.7", "-i", folder / "a.mp4", "-c", "copy", edited)
    for path in (uneven, edited):
        with VideoReader(path) as video:
            assert video.frames > 30


@pytest.mark.parametrize(
    "added", [bytes(20), bytes(5000), b"TAG Title" * 15, b"\xff" * 300], ids=range(4)
)
@pytest.mark.parametrize("name", sorted(set(KINDS) - {"a.webm", "front.mp4"}))
def test_what_programs_add_to_a_good_file_passes(folder, name, added):
    with VideoReader((folder / name).read_bytes() + added) as video:
        assert video.frames >= 97


def test_a_file_that_ends_without_a_mark_passes(folder):
    """Some programs leave out the last size of an flv, or the semicolon of a gif."""
    for name, count in (("a.flv", 4), ("a.gif", 1)):
        with VideoReader((folder / name).read_bytes()[:-count]) as video:
            assert video.frames >= 97


def test_an_empty_packet_at_the_end_passes(folder):
    """As screen recorders write it where nothing changed."""
    data = bytearray((folder / "a.mp4").read_bytes())
    sizes = data.index(b"stsz") + 12  # of the packets, after how many there are
    last = sizes + 4 * int.from_bytes(data[sizes : sizes + 4])
    data[last : last + 4] = bytes(4)
    with VideoReader(bytes(data)) as video:
        assert 97 <= video.frames <= 99


def test_a_gray_picture_is_no_transport_stream(tmp_path):
    head, frame = b"YUV4MPEG2 W352 H289 F25:1 Cmono\n", b"FRAME\n" + b"G" * (352 * 289)
    (tmp_path / "gray.y4m").write_bytes(head + frame * 25)
    with VideoReader(tmp_path / "gray.y4m") as video:
        assert video.frames == 25


def test_published_videos_pass():
    if "JAXVID_DATA" not in os.environ:
        pytest.skip("JAXVID_DATA does not name the folder of real videos")
    for path in Path(os.environ["JAXVID_DATA"], "videos").iterdir():
        with VideoReader(path) as video:
            assert video.frames
