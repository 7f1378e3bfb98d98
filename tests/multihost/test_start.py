"""Processes that are late, differ, fail, hang or are killed: the run ends, and says why."""

import signal
import socket
import time

import pytest

from tests.multihost import runs

pytestmark = pytest.mark.multihost

# A run without data and model: what each process does after the start stands in its arguments.
PROGRAM = """
import logging, os, sys, time
from pathlib import Path
import jax, numpy as np
from jaxvid import cli, log
from jaxvid.distributed import mesh, peers, start
from jaxvid.errors import UserError

class Stopped(KeyboardInterrupt): pass

patience, value, work = float(sys.argv[1]), sys.argv[2], sys.argv[3]

def reduce_for_ever():
    while True:
        start.all_reduce(mesh.build())

def main():
    with peers.together(stopped=Stopped):
        start.start(patience, heartbeat=10)
        if work != "time.sleep(999)":
            start.health_check(mesh.build(), {"config.batch": value, "seed": "0"}, patience)
        print("started", flush=True)
        exec(work)

sys.exit(cli.guard(main))
"""


def start(*work: str, values=(), patience=60.0, only=None, hosts=()):
    """Processes of two devices each, with what each of them does after the start."""
    values = values or ["8"] * len(work)
    args = {i: (str(patience), values[i], w) for i, w in enumerate(work)}
    return runs.start(len(work), 2, args, ("-c", PROGRAM), only, hosts)


def ended(*work: str, **options):
    return runs.wait(start(*work, **options), 90)


def names(process: int, of: int) -> str:
    return f"process {process} of {of} ({socket.gethostname()})"


def test_a_run_that_is_well_says_who_is_where_and_ends_well():
    words = "logger = logging.getLogger('jaxvid.x'); logger.info('hello'); logger.warning('look')"
    zero, one = ended(words, words)
    assert (zero.code, one.code) == (0, 0), zero.out + one.out
    assert "all-reduce of 1 MiB over 4 devices" in zero.out
    assert "process 1 (" in zero.out and "data [2, 3], model [0]" in zero.out
    assert "hello" in zero.out and "hello" not in one.out
    assert f"{names(1, 2)}: look" in one.out
    assert "FATAL" not in zero.out + one.out and "Traceback" not in zero.out + one.out


def test_the_first_says_for_whom_it_waited():
    [zero] = ended("", "", "", patience=4, only=[0])
    assert zero.code == 1
    assert f"error: {names(0, 3)}: waited 4 s at localhost:" in zero.out
    assert "for processes 1 to 2" in zero.out


def test_the_others_say_whether_the_first_answers():
    [one] = ended("", "", patience=4, only=[1])
    assert one.code == 1
    assert f"error: {names(1, 2)}: waited 4 s for process 0 at localhost:" in one.out
    assert "does not answer" in one.out
    _, two = ended("", "", "", patience=4, only=[0, 2])
    assert two.code == 1
    assert "which answers, but waits, too" in two.out or "does not answer" in two.out


def test_one_that_hangs_is_named():
    """It is alive, so heartbeats do not tell."""
    began = time.monotonic()
    zero, one, two = ended("", "time.sleep(999)", "", patience=15)
    assert [zero.code, one.code, two.code] == [1, 1, 1]
    assert time.monotonic() - began < 90
    first = zero.out + two.out
    assert "waited 15 s at the start for process 1 (" in first
    assert "ends, as process" in one.out


def test_another_config_is_named():
    zero, one = ended("", "", values=("8", "16"))
    assert (zero.code, one.code) == (1, 1)
    assert f"error: {names(1, 2)}: not the same run as process 0:" in one.out
    assert "config.batch: 16 here, 8 on process 0" in one.out
    assert "seed" not in one.out
    assert f"error: {names(0, 2)}: ends, as {names(1, 2)}: not the same run" in zero.out


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_ends_all(failing):
    """The others are inside a collective, which would wait for ever."""
    work = ["reduce_for_ever()"] * 3
    work[failing] = "raise UserError('there is no file x')"
    done = ended(*work)
    assert [d.code for d in done] == [1, 1, 1]
    assert max(d.seconds for d in done) < 60
    for index, process in enumerate(done):
        own = "there is no file x" if index == failing else f"ends, as {names(failing, 3)}: there"
        assert f"error: {names(index, 3)}: {own}" in process.out
        assert "Traceback" not in process.out


def test_a_mistake_in_the_code_shows_its_traceback_once():
    zero, one = ended("reduce_for_ever()", "[][1]")
    assert (zero.code, one.code) == (1, 1)
    assert "Traceback" in one.out and "Traceback" not in zero.out
    assert f"error: {names(1, 2)}: IndexError: list index out of range" in one.out
    assert f"ends, as {names(1, 2)}: IndexError" in zero.out


def test_an_error_of_all_is_one_error():
    done = ended(*["raise UserError('config.batch=7')"] * 3)
    assert [d.code for d in done] == [1, 1, 1]
    assert sum("ends, as process" in d.out for d in done) == 2


def read_until(process, text):
    out = ""
    while text not in out:
        line = process.stdout.readline()
        assert line, out
        out += line
    return out


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_others(killed):
    processes = start("reduce_for_ever()", "reduce_for_ever()")
    for process in processes:
        read_until(process, "started")
    processes[killed].kill()
    done = runs.wait(processes, 60)
    other = done[1 - killed]
    assert other.code not in (0, -9), other.out  # neither well nor for ever
    assert "error: process" in other.out or "another task died" in other.out


def test_a_stop_that_all_agree_on_is_no_error():
    done = ended(*["raise Stopped('stopped at step 3')"] * 2)
    assert [d.code for d in done] == [130, 130]
    assert "stopped at step 3" in done[0].out
    assert "stopped at step 3" not in done[1].out
    assert "error" not in done[0].out + done[1].out


def test_sigterm_to_all_ends_all():
    """JAX would catch it: an evaluation could only be killed."""
    processes = start("time.sleep(60)", "time.sleep(60)")
    for process in processes:
        read_until(process, "started")
    for process in processes:
        process.send_signal(signal.SIGTERM)
    done = runs.wait(processes, 60)
    assert [d.code for d in done] == [143, 143]
    assert "stopped by SIGTERM" in done[0].out + done[1].out
    assert "Traceback" not in done[0].out + done[1].out


def test_a_wish_is_heard_by_all_at_the_same_step():
    work = """
for step in range(1, 100):
    start.all_reduce(mesh.build())
    time.sleep(0.02 * {index})
    if peers.agreed("stop", step, step == {wish}):
        print("agreed at", step, flush=True)
        break
"""
    done = ended(*[work.format(index=i, wish=w) for i, w in enumerate((1000, 5, 5))])
    assert [d.code for d in done] == [0, 0, 0], done
    assert ["agreed at 6" in d.out for d in done] == [True] * 3


def test_a_workdir_that_is_not_shared_is_an_error(tmp_path):
    patched = "time.monotonic = (lambda now: lambda: now() * 30)(time.monotonic);"
    claims = [f"start.claim_workdir(Path({str(tmp_path / p)!r}), {{}}, 60)" for p in "ab"]
    zero, one = ended(claims[0] + "; time.sleep(60)", patched + claims[1])
    assert (zero.code, one.code) == (1, 1)
    assert "--workdir must be a folder that all hosts share" in one.out
