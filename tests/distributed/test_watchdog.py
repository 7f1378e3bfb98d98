"""A run that is stuck ends, and says where."""

import subprocess
import sys
import time

import pytest

from jaxvid.distributed.watchdog import Watchdog
from tests.faults.kill_resume import ONE_DEVICE


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_silence_is_noticed_by_the_clock_it_was_given(capfd):
    """Wall time plays no part: the clock of a test stands still however long that takes."""
    clock = Clock()
    watchdog = Watchdog(600.0, clock)
    clock.now = 599.0
    assert not watchdog.check()
    clock.now = 601.0
    assert watchdog.check()
    shown = capfd.readouterr().err
    assert "stuck here; in the start for 601 s" in shown
    assert "test_silence_is_noticed" in shown  # the stack of this very thread


def test_progress_is_none_of_its_business(capfd):
    clock = Clock()
    with Watchdog(600.0, clock) as watchdog:
        for step in range(5):
            watchdog.beat(f"step {step}")
            clock.now += 500.0
            assert not watchdog.check()
    assert capfd.readouterr().err == ""


def test_the_environment_is_shown(capfd, monkeypatch):
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("SECRET", "no")
    clock = Clock()
    watchdog = Watchdog(1.0, clock)
    clock.now = 2.0
    assert watchdog.check()
    shown = capfd.readouterr().err
    assert "NCCL_DEBUG=INFO" in shown
    assert "SECRET" not in shown


def test_the_thread_ends_the_run():
    ended = []
    with Watchdog(0.2, fail=ended.append) as watchdog:
        watchdog.beat("step 7")
        time.sleep(1.0)
    assert ended[0] == "no progress for 0 s in step 7"


@pytest.mark.parametrize("timeout,before", [(0.0, True), (0.2, False)])
def test_none_is_started_without_a_timeout_or_before_the_first_step(timeout, before):
    ended = []
    with Watchdog(timeout, fail=ended.append) as watchdog:
        if before:
            watchdog.beat("step 1")
        time.sleep(0.6)
    assert ended == []


def test_a_stuck_process_exits():
    stuck = (
        "import time; from jaxvid.distributed.watchdog import Watchdog\n"
        "def asleep(): time.sleep(60)\n"
        "with Watchdog(0.5) as watchdog:\n"
        "    watchdog.beat('step 3')\n"
        "    asleep()\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", stuck], capture_output=True, text=True, timeout=50, env=ONE_DEVICE
    )
    assert time.monotonic() - began < 40
    assert done.returncode == 1
    assert "error: no progress for 0 s in step 3" in done.stderr
    assert "in asleep" in done.stderr
