"""Signals that ask to stop: what a command makes of them, and that its workers ignore them."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from jaxvid import signals

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def hangups():
    """Processes that a test starts honour SIGHUP, also where nohup runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def start(body: str, before: str = "", **options) -> subprocess.Popen:
    """A command under `guard` whose main function is `body`, once that has called `ready()`."""
    code = f"""
import ctypes, os, signal, sys, time
{before}
from jaxvid import cli, signals

def ready():
    print("ready", flush=True)

def main():
{textwrap.indent(textwrap.dedent(body), "    ")}

sys.exit(cli.guard(main))
"""
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) | options
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **streams)
    if process.stdout:
        assert process.stdout.readline() == "ready\n"
    return process


CLEANS_UP = """
    try:
        ready()
        time.sleep(60)
    finally:
        print("cleaned up")
"""
FAILS = """
    try:
        ready()
        time.sleep(60)
    except BaseException:
        raise OSError("a worker died")
"""
FINALIZES = """
    class Slow:
        def __del__(self):
            ready()
            time.sleep(60)
    slow = Slow()
    del slow
    time.sleep(60)
"""
IMPORTS = """
    sys.path.insert(0, FOLDER)
    import slow
    time.sleep(60)
"""
RUNS_A_LOOP = """
    import asyncio, concurrent.futures

    async def read():
        ready()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            print(await asyncio.get_running_loop().run_in_executor(threads, slow))

    def slow():
        time.sleep(1)
        return "read"

    loop = asyncio.new_event_loop()
    loop.run_until_complete(read())
    time.sleep(60)
"""
IS_DEAF = """
    signals.PATIENCE = 1
    ready()
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # for ever
"""
CATCHES = """
    asked = []
    with signals.caught(asked.append):
        ready()
        while not asked:
            time.sleep(0.01)
        print(asked, flush=True)
        time.sleep(60)
"""
ON_TERMINAL = """
    os.close(os.open(os.ttyname(0), os.O_RDWR))  # which makes it the one of this session
    try:
        os.write(PIPE, b"ready")
        time.sleep(60)
    finally:
        print("to nobody", flush=True)
        os.write(PIPE, b"cleaned up")
"""


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        (signal.SIGHUP, 129, "stopped by SIGHUP"),
        (signal.SIGUSR1, 138, "stopped by SIGUSR1"),
    ],
)
def test_a_command_cleans_up_and_ends_in_one_line(number, code, words):
    process = start(CLEANS_UP)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, "cleaned up\n", f"{words}\n")


def test_an_error_that_a_signal_causes_is_no_error_of_the_command():
    """Such as that of a helper process that got the signal as well."""
    process = start(FAILS)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == "stopped by SIGTERM\n"
    assert process.returncode == 143


def test_a_signal_in_a_finalizer_is_not_lost():
    process = start(FINALIZES)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == "stopped by SIGTERM\n"
    assert process.returncode == 143


def test_a_signal_in_an_import_is_raised_after_it(tmp_path):
    """Modules that are not written in Python may abort otherwise."""
    (tmp_path / "slow.py").write_text(
        "import __main__, time\n__main__.ready()\ntime.sleep(1)\nprint('imported')\n"
    )
    process = start(IMPORTS.replace("FOLDER", repr(str(tmp_path))))
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20) == ("imported\n", "stopped by SIGTERM\n")
    assert process.returncode == 143


def test_a_signal_in_an_event_loop_is_raised_after_it():
    """Orbax reads checkpoints so: its threads must find their loop open."""
    process = start(RUNS_A_LOOP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20) == ("read\n", "stopped by SIGTERM\n")
    assert process.returncode == 143


def test_what_does_not_listen_is_ended():
    """A main thread that is outside of Python, where no signal handler runs."""
    process = start(IS_DEAF)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == "stopped by SIGTERM\n"
    assert process.returncode == 143


def test_a_hangup_under_nohup_is_ignored():
    process = start(
        "ready(); time.sleep(1); print('done')", "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    )
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=20)[0] == "done\n" and process.returncode == 0


def test_repeats_within_a_moment_are_one_and_a_later_signal_ends_at_once():
    process = start(CATCHES)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "[2]\n"  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)  # as a launcher passes on what a terminal sent
    time.sleep(signals.SAME + 0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def test_a_closed_terminal_is_no_error():
    master, terminal = pty.openpty()
    read, write = os.pipe()
    process = start(
        ON_TERMINAL.replace("PIPE", str(write)),
        start_new_session=True,
        pass_fds=(write,),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    assert os.read(read, 99) == b"ready"
    os.close(master)
    assert process.wait(20) == 129
    assert os.read(read, 99) == b"cleaned up"


def test_in_other_threads_nothing_is_caught():
    done = []

    def work():
        with signals.raising(), signals.caught(done.append):
            done.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]


def test_handlers_are_those_of_before_afterwards():
    before = [signal.getsignal(number) for number in signals.STOPS]
    with pytest.raises(signals.Stopped), signals.raising():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert [signal.getsignal(number) for number in signals.STOPS] == before


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_children_block_signals_from_their_first_instruction():
    signals.start_tracker()
    with signals.blocked():
        child = subprocess.Popen(["sleep", "60"])
    try:
        status = Path(f"/proc/{child.pid}/status").read_text()
        mask = int(status.partition("SigBlk:")[2].split()[0], 16)
        assert all(mask >> (number - 1) & 1 for number in signals.STOPS)
    finally:
        child.kill()
        child.wait()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(signals.STOPS)
