"""Videos written again for training: the same frames at the same times, smaller and seekable."""

import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from jaxvid import files
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.tools import transcode
from jaxvid.tools.transcode import Job, Settings
from tests.data import video_files as make

VFR = [33 * k + 400 * (k // 20) for k in range(60)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    (folder / "sub").mkdir()
    make.encode(folder / "a.mp4", frames=200, **make.LONG_GOP)
    vp9: Any = {"codec": "libvpx-vp9", "cpu-used": "8"}
    make.encode(folder / "sub" / "b.webm", frames=20, **vp9)
    make.encode(folder / "vfr.mkv", times=VFR, **make.B_FRAMES)
    make.with_matrix(folder / "a.mp4", folder / "turned.mov", 0, 1, -1, 0)
    make.cut(folder / "a.mp4", folder / "sub" / "cut.mp4", end=0.5)
    return folder


def write(source: Path, folder: Path, **settings) -> Path:
    target = folder / source.name
    transcode.transcode(Job(source, target, Settings(**settings)))
    return target


def frame_types(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        kinds = (frame.pict_type for frame in container.decode(video=0))
        return [PictureType(kind).name for kind in kinds]


def test_a_folder_is_written_again_and_goes_on(originals, tmp_path, capsys):
    target = tmp_path / "new"
    arguments = [str(originals), str(target), "--gop", "10", "--short-side", "64", "--workers", "2"]
    assert transcode.main(arguments) == 1  # one failed
    printed = capsys.readouterr().err.splitlines()
    cut = originals / "sub" / "cut.mp4"
    assert f"failed: {cut}: truncated: the list of frames (moov) is missing" in printed
    assert printed[-1].startswith(f"{target}: wrote 4 videos, ")
    assert printed[-1].endswith("of their size; 0 were there, 1 failed")
    files = sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file())
    videos = ["a.mp4", "sub/b.webm", "turned.mov", "vfr.mkv"]
    assert set(files) == {*videos, "transcode.json", "transcode.jsonl", ".lock"}
    for name in videos:
        with VideoReader(originals / name) as before, VideoReader(target / name) as after:
            assert (after.frames, after.codec, after.rotation) == (before.frames, "h264", 0)
            np.testing.assert_allclose(after.times, before.times, atol=2e-3)
            assert after.fps == pytest.approx(before.fps, rel=1e-3)
            assert min(after.height, after.width) == 64
            portrait = name == "turned.mov"
            assert (after.height > after.width) == portrait == (before.height > before.width)
        types = frame_types(target / name)
        assert set(types) <= {"I", "P"}
        assert max(np.diff([k for k, kind in enumerate(types) if kind == "I"]), default=1) <= 10

    modified = os.stat(target / "a.mp4").st_mtime_ns
    (target / "vfr.mkv").unlink()
    (target / ".vfr.mkv.part").mkdir()  # of a run that was killed
    assert transcode.main(arguments) == 1
    printed = capsys.readouterr().err.splitlines()
    assert "wrote 1 videos" in printed[-1] and "3 were there, 1 failed" in printed[-1]
    assert os.stat(target / "a.mp4").st_mtime_ns == modified
    assert not list(target.rglob("*.part"))

    assert transcode.main([*arguments, "--crf", "30"]) == 1
    assert "write to another folder:\n  crf: 18 there, 30 now" in capsys.readouterr().err


def test_a_replaced_original_is_written_again(tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "new"
    source.mkdir()
    for name in ("a.mp4", "b.mp4"):
        make.encode(source / name, frames=5)
    run = [str(source), str(target), "--workers", "1"]
    assert transcode.main(run) == 0
    times = os.stat(source / "a.mp4")
    make.encode(source / "a.mp4", frames=9)
    os.utime(source / "a.mp4", ns=(times.st_atime_ns, times.st_mtime_ns))  # as rsync would
    assert transcode.main(run) == 0
    assert "wrote 1 videos" in capsys.readouterr().err
    with VideoReader(target / "a.mp4") as video:
        assert video.frames == 9
    assert transcode.main(run) == 0
    assert "wrote 0 videos; 2 were there" in capsys.readouterr().err.splitlines()[-1]

    (tmp_path / "other").mkdir()
    other = make.encode(tmp_path / "other" / "a.mp4", frames=7)
    assert transcode.main([str(other.parent), str(target)]) == 1
    assert f"new/a.mp4: made from {source}/a.mp4, not from {other}" in capsys.readouterr().err
    with VideoReader(target / "a.mp4") as video:
        assert video.frames == 9


def test_places_to_write_to(originals, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert transcode.main([str(originals), str(tmp_path / "file")]) == 1
    assert "a file is in the way of this folder" in capsys.readouterr().err
    assert transcode.main([str(originals), str(originals / "small")]) == 1
    assert "write to another folder than that of the originals" in capsys.readouterr().err
    with files.hold(tmp_path / "new", fix="wait"):
        assert transcode.main([str(originals), str(tmp_path / "new")]) == 1
    assert f"new is in use by process {os.getpid()} on " in capsys.readouterr().err


def test_originals_that_are_missing_are_named(tmp_path, capsys):
    assert transcode.main([str(tmp_path / "none"), str(tmp_path / "out")]) == 1
    assert f"{tmp_path / 'none'}: no such file or folder" in capsys.readouterr().err


def test_pictures_are_those_of_the_original(originals, tmp_path):
    path = write(originals / "a.mp4", tmp_path, short_side=0)
    with VideoReader(originals / "a.mp4") as before, VideoReader(path) as after:
        assert make.numbers(after[:]) == make.numbers(before[:]) == list(range(200))
        assert np.abs(after[:].astype(int) - before[:]).mean() < 3
    path = write(originals / "a.mp4", tmp_path, short_side=40)
    with VideoReader(originals / "a.mp4", short_side=40) as before, VideoReader(path) as after:
        # So small, colors at half resolution blur: compare the brightness, and the mean color,
        # from which FFmpeg's rounding alone takes one level.
        assert np.abs(after[:].mean(-1) - before[:].mean(-1)).mean() < 4
        assert np.abs(after[:].mean((0, 1, 2)) - before[:].mean((0, 1, 2))).max() < 2
    path = write(originals / "a.mp4", tmp_path, short_side=300)
    with VideoReader(path) as after:
        assert (after.height, after.width) == make.SIZE  # nothing is enlarged


def test_quality_and_keyframes_are_settings(originals, tmp_path):
    sizes = {}
    for crf in (0, 18, 40):
        sizes[crf] = write(originals / "a.mp4", tmp_path, crf=crf).stat().st_size
    assert sizes[0] > sizes[18] > sizes[40]
    assert set(frame_types(write(originals / "a.mp4", tmp_path, gop=1))) == {"I"}


@pytest.mark.parametrize("fps", [10, 30, 45])
def test_a_constant_rate(originals, tmp_path, fps):
    path = write(originals / "vfr.mkv", tmp_path, fps=fps)
    with VideoReader(originals / "vfr.mkv") as before, VideoReader(path) as after:
        assert after.fps == fps
        np.testing.assert_allclose(np.diff(after.times), 1 / fps, atol=1e-3)
        assert after.frames == round(before.duration * fps)
        expected = [before.index_at(k / fps) for k in range(after.frames)]
        assert make.numbers(after[:]) == expected
        assert len(set(expected)) < len(expected) or fps == 10  # a pause shows its frame again


def test_endings_and_collisions(originals, tmp_path, capsys):
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a.mp4", "a.mov", "b.mkv"):
        (both / name).write_bytes((originals / "a.mp4").read_bytes())
    assert transcode.main([str(both), str(tmp_path / "x"), "--suffix", ".mp4"]) == 1
    message = f"{both}/a.mov and {both}/a.mp4 would both be written to {tmp_path}/x/a.mp4"
    assert message in capsys.readouterr().err
    assert transcode.main([str(both), str(both)]) == 1
    assert "write to another folder than that of the originals" in capsys.readouterr().err
    (both / "a.mov").unlink()
    (both / "a.mp4").unlink()
    assert transcode.run(both, tmp_path / "y", Settings(), suffix=".mp4", workers=1) == 0
    assert [p.name for p in (tmp_path / "y").glob("*.m*")] == ["b.mp4"]


def test_a_failed_file_leaves_nothing(originals, tmp_path):
    with pytest.raises(VideoError, match="moov"):
        write(originals / "sub" / "cut.mp4", tmp_path)
    bad = make.damage(originals / "a.mp4", tmp_path / "bad.mp4", packet=150)
    with pytest.raises(VideoError, match=r"damaged: 1\d\d of 200 frames decode"):
        transcode.transcode(Job(bad, tmp_path / "new.mp4", Settings()))
    assert [p.name for p in tmp_path.iterdir()] == ["bad.mp4"]


# Sound


@pytest.fixture(scope="module")
def beep(originals, tmp_path_factory):
    """A video of two seconds with a beep one second after its start."""
    path = tmp_path_factory.mktemp("sound") / "beep.mp4"
    tone = "sine=frequency=800:duration=6.7:sample_rate=16000"
    loud = "volume='if(between(t,1,1.2),1,0)':eval=frame"
    source = originals / "a.mp4"
    make.ffmpeg("-i", source, "-f", "lavfi", "-i", tone, "-af", loud, "-c:v", "copy", path)
    return path


def loud_from(path: Path) -> float:
    """Seconds from the first picture to the beep."""
    with VideoReader(path) as video:
        start = video.start
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        levels = [np.abs(frame.to_ndarray()).mean() for frame in frames]
    first = int(np.argmax(np.array(levels) > max(levels) / 4))
    return float(frames[first].time or 0) - float(start)


@pytest.mark.parametrize("name", ["beep.mp4", "edit.mp4", "beep.mkv", "late.ts"])
def test_sound_is_kept_in_step(beep, tmp_path, name):
    source = tmp_path / name
    cut = ("-ss", "0.5") if name == "edit.mp4" else ()
    late = ("-itsoffset", "3") if name == "late.ts" else ()
    make.ffmpeg(*cut, *late, "-i", beep, "-c", "copy", source)
    (tmp_path / "new").mkdir()
    path = write(source, tmp_path / "new", audio="keep", short_side=40)
    assert loud_from(path) == pytest.approx(loud_from(source), abs=0.02)
    with VideoReader(source) as before, VideoReader(path) as after, av.open(str(path)) as both:
        assert after.frames == before.frames and after.height == 40
        np.testing.assert_allclose(after.times, before.times, atol=2e-3)
        assert [s.codec_context.name for s in both.streams.audio] == ["aac"]


def test_sound_counts_from_the_first_picture_that_is_shown(beep, tmp_path):
    """A part of a recording begins between two keyframes: pictures before the second are lost."""
    picture = make.encode(tmp_path / "a.mp4", frames=200, **make.B_FRAMES)
    streams = ("-map", "0:v", "-map", "1:a", "-c", "copy")
    make.ffmpeg("-i", picture, "-i", beep, *streams, tmp_path / "whole.ts")
    source = make.cut(tmp_path / "whole.ts", tmp_path / "part.ts", begin=0.04)
    (tmp_path / "new").mkdir()
    path = write(source, tmp_path / "new", audio="keep", short_side=0)
    with VideoReader(source) as before, VideoReader(path) as after:
        first = make.number(after[0])
        assert first == make.number(before[0]) > 0
        with av.open(str(source)) as container:  # there are packets before it
            assert before.start > container.streams.video[0].start_time / 90000 + 0.05
    assert loud_from(path) == pytest.approx(1 - first / 30, abs=0.05)


def test_a_varying_rate_is_kept_beside_sound(tmp_path):
    times = [0, 1, 1.1, 1.2, 5, 8]
    write_video(tmp_path / "a.mkv", map(make.picture, range(5)), 1, times=times)
    tone = "sine=frequency=800:duration=3:sample_rate=16000"
    source = tmp_path / "b.mkv"
    make.ffmpeg("-i", tmp_path / "a.mkv", "-f", "lavfi", "-i", tone, "-c:v", "copy", source)
    (tmp_path / "new").mkdir()
    for audio in ("keep", "drop"):
        with VideoReader(write(source, tmp_path / "new", audio=audio)) as video:
            np.testing.assert_allclose(video.edges, times, atol=2e-3)
            assert make.numbers(video[:]) == list(range(5))


def test_sound_is_dropped_or_not_there(beep, originals, tmp_path):
    for source, audio in ((beep, "drop"), (originals / "vfr.mkv", "keep")):
        with av.open(str(write(source, tmp_path, audio=audio))) as container:
            assert not container.streams.audio and len(container.streams.video) == 1


def test_sound_that_does_not_fit_into_an_mp4(originals, tmp_path):
    source = tmp_path / "odd.mkv"
    tone = "sine=frequency=800:duration=1"
    make.ffmpeg(
        "-i",
        originals / "a.mp4",
        "-f",
        "lavfi",
        "-i",
        tone,
        "-c:v",
        "copy",
        "-c:a",
        "wmav2",
        source,
    )
    with pytest.raises(VideoError, match=r"odd\.mkv: "):
        write(source, tmp_path / "new", audio="keep")
    assert not list((tmp_path / "new").iterdir())
