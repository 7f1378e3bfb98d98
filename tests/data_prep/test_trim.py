"""Clips cut from long videos: which frames are in them, and their names."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep import trim
from data_prep.gym import trim as gym
from data_prep.omnisource import trim as omnisource
from data_prep.trim import Cut
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from tests.data import video_files as make
from tests.data_prep import fakes

FPS = 4


def long_video(path: Path, seconds: float) -> None:
    """Frame i is of the gray level 16 + 10 * (i mod 22)."""
    levels = 16 + 10 * (np.arange(round(seconds * FPS)) % 22)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 32, 32, 3))
    write_video(path, frames.astype(np.uint8), FPS, crf=1)


def numbers(path: Path) -> list[int]:
    """Which frames of the long video the clip has, modulo 22."""
    with VideoReader(path) as reader:
        assert reader.fps == FPS
        return [round((frame.mean() - 16) / 10) for frame in reader[:]]


@pytest.mark.parametrize(
    "start,end,expected",
    [
        (0.0, 1.0, [0, 1, 2, 3]),
        (1.0, 1.5, [4, 5]),  # the frame at the end belongs to what follows
        (0.9, 1.3, [4, 5]),  # the first frame that begins in it
        (1.0 + 1e-9, 1.5 + 1e-9, [4, 5]),  # sums of times are rounded
        (14.75, 99.0, [59 % 22]),
    ],
)
def test_a_clip_has_the_frames_that_begin_in_it(tmp_path, start, end, expected):
    long_video(tmp_path / "v.mp4", 15)
    assert trim.cut(tmp_path / "v.mp4", [Cut(tmp_path / "c.mp4", start, end)]) == []
    assert numbers(tmp_path / "c.mp4") == expected


@pytest.mark.parametrize(
    "start,end,expected,times",
    [
        (0, 3, [0, 1, 2], [0, 1, 2, 3]),
        (3.5, 5, [3, 4], [0, 0.5, 1.5]),  # 3 is on screen when the clip begins
        (7.5, 8.1, [7, 8, 9, 10], [0, 0.5, 0.54, 0.58, 0.62]),
        (8.5, 15, [*range(21, 33)], [*(k / 25 for k in range(12)), 6.48]),
        (12, 14, [32], [0, 2]),  # nothing appears: what is on screen
        (14, 99, [32], [0, 6]),
        (-1, 0.5, [0], [0, 0.5]),
    ],
)
def test_a_clip_of_a_varying_rate_keeps_its_times(tmp_path, start, end, expected, times):
    """Pictures appear every second, from 8 s on 25 times a second; one stays from 8.96 s to 20."""
    edges = [*map(float, range(8)), *(8 + k / 25 for k in range(25)), 20.0]
    pictures = map(make.picture, range(33))
    write_video(tmp_path / "v.mp4", pictures, 32 / edges[-2], times=edges, crf=1)
    assert trim.cut(tmp_path / "v.mp4", [Cut(tmp_path / "c.mp4", start, end)]) == []
    with VideoReader(tmp_path / "c.mp4") as reader:
        assert make.numbers(reader[:]) == expected
        np.testing.assert_allclose(reader.edges, times, atol=3e-3)


def test_what_cannot_be_cut_is_said(tmp_path, capsys):
    long_video(tmp_path / "v.mp4", 2)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    cuts = {
        tmp_path / "v.mp4": [Cut(tmp_path / "late.mp4", 5, 6), Cut(tmp_path / "ok.mp4", 0, 1)],
        tmp_path / "bad.mp4": [Cut(tmp_path / "no.mp4", 0, 1)],
        tmp_path / "gone.mp4": [Cut(tmp_path / "no.mp4", 0, 1)],
    }
    trim.cut_all(cuts)
    said = capsys.readouterr().out
    assert "2 of 3 videos are there" in said
    assert "late.mp4: there are no frames to write" in said and "bad.mp4: not a video" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.mp4", "ok.mp4", "v.mp4"]
    (tmp_path / "ok.mp4").write_bytes(b"kept")  # a second run cuts only what is not there
    trim.cut_all(cuts)
    assert (tmp_path / "ok.mp4").read_bytes() == b"kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_processes_ends_cutting_without_a_trace(tmp_path, number):
    """A terminal or a scheduler sends it to the workers, too."""
    base = tmp_path / "kinetics_raw_200_train"
    for name in "abcd":
        long_video(base / f"{name}.mp4", 600)
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep.omnisource.trim", "--source", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(base.rglob("part_*.mp4")):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert re.fullmatch(r"stopped after \d of 4; run it again to continue\n(inter|stop).*\n", err)
    assert not list(base.rglob(".*"))  # what was half written
    with VideoReader(next(base.rglob("part_*.mp4"))) as reader:
        assert reader.duration == 10


def test_gym(tmp_path):
    """Seconds of a sub-action count from its event."""
    long_video(tmp_path / "videos/0LtLS9wROrk.mp4", 12)
    segments = {
        "A_0000_0001": {"stages": 1, "timestamps": [[0.0, 0.5]]},
        "A_0002_0004": {"stages": 2, "timestamps": [[2.0, 2.5], [2.5, 3.0]]},
    }
    events = {
        "E_000005_000010": {"event": 1, "segments": segments, "timestamps": [[5.0, 10.0]]},
        "E_000011_000012": {"event": 2, "segments": None, "timestamps": [[11.0, 12.0]]},
    }
    fakes.json_text(tmp_path / "finegym_annotation_info_v1.1.json", {"0LtLS9wROrk": events})
    gym.main(["--source", str(tmp_path)])
    stem = "0LtLS9wROrk_E_000005_000010_A"
    assert {p.name: numbers(p) for p in (tmp_path / "subactions").iterdir()} == {
        f"{stem}_0000_0001.mp4": [20, 21],
        f"{stem}_0002_0004.mp4": [6, 7, 8, 9],
    }


def test_omnisource_of_a_varying_rate(tmp_path):
    """A picture that stays for 25 seconds is in three parts."""
    base = tmp_path / "kinetics_raw_200_train"
    base.mkdir()
    times = [0, 0.25, 0.5, 0.75, 1, 26]
    write_video(base / "x.mp4", map(make.picture, range(5)), 5, times=times, crf=1)
    omnisource.main(["--source", str(tmp_path)])
    found = {}
    for path in base.rglob("part_*.mp4"):
        with VideoReader(path) as reader:
            found[path.name] = make.numbers(reader[:]), round(reader.duration, 2)
    assert found == {
        "part_0.mp4": ([0, 1, 2, 3, 4], 10),
        "part_1.mp4": ([4], 10),
        "part_2.mp4": ([4], 6),
    }


def test_omnisource(tmp_path):
    base = tmp_path / "kinetics_raw_200_train/pref_"
    long_video(base / "__x.mp4", 20.5)
    long_video(base / "_whole.mp4", 10)
    for _ in range(2):  # a second run takes no part for a video
        omnisource.main(["--source", str(tmp_path)])
        found = {p.relative_to(base).as_posix(): numbers(p) for p in base.rglob("part_*.mp4")}
        assert found == {
            "__x/part_0.mp4": [i % 22 for i in range(40)],
            "__x/part_1.mp4": [i % 22 for i in range(40, 80)],
            "__x/part_2.mp4": [80 % 22, 81 % 22],
            "_whole/part_0.mp4": [i % 22 for i in range(40)],
        }
