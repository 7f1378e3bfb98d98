"""One job a file in processes of their own: what they return, and what they survive."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.tools import jobs

ROOT = Path(__file__).parents[2]


def work(item: str) -> str:
    """What the name of the item says."""
    kind, _, argument = item.partition(" ")
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, [jobs.END])
        time.sleep(60)
    if kind == "video":
        raise VideoError("a.mp4", "too dark")
    if kind == "user":
        raise UserError("a.mp4: rename it")
    if kind == "bug":
        raise KeyError("x")
    if kind == "slow":
        path = Path(argument)
        path.touch()
        try:
            time.sleep(60)
        finally:
            path.unlink()
    return item.upper()


def test_a_job_can_do_no_harm_but_fail(monkeypatch):
    monkeypatch.setattr(jobs, "GRACE", 0.5)
    started = time.monotonic()
    items = ["a", "crash", "b", "video", "user", "bug", "hang", "c", *map(str, range(20))]
    found = {each.item: each for each in jobs.run(work, items, what="", workers=2, timeout=1.5)}
    assert sorted(found) == sorted(items)
    assert time.monotonic() - started < 30
    errors = {item: each.error for item, each in found.items() if each.error}
    assert errors == {
        "crash": "the process that read it crashed",
        "video": "too dark",
        "user": "a.mp4: rename it",
        "bug": "KeyError: 'x'",
        "hang": "no answer within 1.5 s",
    }
    for item, each in found.items():
        assert each.result == (None if item in errors else item.upper())


def test_jobs_that_are_left_clean_up(tmp_path):
    started = time.monotonic()
    slow = tmp_path / "slow"
    with closing(jobs.run(work, ["a", f"slow {slow}", "b", "c"], what="", workers=2)) as done:
        for each in done:
            assert each.result
            while not slow.exists():
                time.sleep(0.01)
            break
    assert not slow.exists()
    assert time.monotonic() - started < 20


def test_no_items_need_no_processes():
    assert list(jobs.run(work, [], what="")) == []


def start(tmp_path: Path) -> subprocess.Popen:
    """A command that does one job at once and one in a minute, under `guard` as tools are."""
    code = f"""
from jaxvid.cli import guard
from jaxvid.tools import jobs
from tests.tools.test_jobs import work

def main():
    for done in jobs.run(work, ["a", "slow {tmp_path}/slow"], what="working", workers=2):
        print(done.result, flush=True)

raise SystemExit(guard(main))
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_ctrl_c_ends_all_in_a_moment_and_says_how_far_it_came(tmp_path):
    process = start(tmp_path)
    try:
        assert process.stdout.readline() == "A\n"  # type: ignore[union-attr]
        while not (tmp_path / "slow").exists():
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == "stopped after 1 of 2; run it again to continue\ninterrupted\n"
    assert not (tmp_path / "slow").exists()


# Finding files


def touch(folder: Path, *names: str):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_videos_are_found_at_any_depth(tmp_path):
    touch(tmp_path, "b.MP4", "a/2.avi", "a/1.webm", "a/x.txt", ".h/c.mp4", "a/.d.mp4", "a/b/3.ts")
    found = [path.relative_to(tmp_path).as_posix() for path in jobs.videos_below(tmp_path)]
    assert found == ["a/1.webm", "a/2.avi", "a/b/3.ts", "b.MP4"]
    assert jobs.videos_below(tmp_path / "a" / "x.txt") == [
        tmp_path / "a" / "x.txt"
    ]  # asked for by name


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "real/1.mp4")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "there").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "set")
    assert jobs.videos_below(tmp_path / "set") == [tmp_path / "set" / "there" / "1.mp4"]


def test_nothing_to_find(tmp_path):
    with pytest.raises(UserError, match="/none: no such file or folder"):
        jobs.videos_below(tmp_path / "none")
    touch(tmp_path, "a.txt")
    with pytest.raises(UserError, match=r"no videos in it \(endings: \.mp4 "):
        jobs.videos_below(tmp_path)


def test_a_negative_number_of_workers_is_an_error():
    with pytest.raises(UserError, match="--workers=-1: it must be at least 0"):
        next(jobs.run(work, ["a"], what="testing", workers=-1))
