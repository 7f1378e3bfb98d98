"""Files appear whole, locks end with their process, and outputs know what they were made from."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxvid import files
from jaxvid.errors import UserError

ROOT = Path(__file__).parents[1]


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path))
    assert files.cache_root() == tmp_path
    monkeypatch.setenv("JAXVID_CACHE", "")
    assert files.cache_root() == Path.home() / ".cache" / "jaxvid"


# Writing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "one")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as part:
        part.write_text("two")
        assert path.read_text() == "one" and part.suffix == ".txt"
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "one"
    files.write_text(path, "zwölf")
    assert path.read_bytes() == "zwölf".encode()


@pytest.mark.parametrize(
    "code,fix",
    [
        (errno.ENOSPC, "make room there"),
        (errno.EROFS, "name a place where you may write"),
        (errno.EACCES, "name a place where you may write"),
        (errno.EISDIR, "this is a folder; name a file"),
    ],
)
def test_what_cannot_be_written_is_one_line(code, fix):
    message = rf"^there: cannot write there \(.+\); {fix}.*$"
    with pytest.raises(UserError, match=message), files.explained("there"):
        raise OSError(code, os.strerror(code))


def test_a_probe_leaves_nothing(tmp_path):
    (tmp_path / "a").touch()
    assert files.probe(tmp_path / "new" / "folder") == (tmp_path / "A").exists()
    files.probe_file(tmp_path / "new.csv")
    files.probe_file(None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_places_that_do_not_do(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"^{path}: cannot write .* a file is in the way"):
            files.probe(path)
    with pytest.raises(UserError, match="this is a folder; name a file"):
        files.probe_file(tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        files.probe_file(tmp_path / "none" / "a.csv")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, where nothing is made")
def test_a_folder_that_takes_no_files():
    with pytest.raises(UserError, match=r"^/proc/new/a: cannot write there .*; name a place"):
        files.probe(Path("/proc/new/a"))


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.tempfile, "NamedTemporaryFile", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room there"):
        files.probe(tmp_path)


# Locks

HOLD = """
import sys, time
from pathlib import Path
from jaxvid import files
with files.hold(Path(sys.argv[1]), fix="use another"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_is_held_by_one_process_until_it_dies(holder, tmp_path):
    message = rf"run is in use by process {holder.pid} on .+ since 20.+; use another"
    with pytest.raises(UserError, match=message), files.hold(tmp_path / "run", fix="use another"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with files.hold(tmp_path / "run", fix="use another"):
        pass
    with files.hold(tmp_path / "run", fix="use another"):  # what ended has let it go
        pass


def test_a_folder_is_held_by_one_run_of_a_process(tmp_path):
    with (
        files.hold(tmp_path, fix="use another"),
        pytest.raises(UserError, match=f"process {os.getpid()} on"),
        files.hold(tmp_path, fix="use another"),
    ):
        pass


def test_children_do_not_keep_a_lock(tmp_path):
    """They outlive a killed run by a moment, or are what a user started from it."""
    command = [sys.executable, "-c", "input()"]
    with files.hold(tmp_path, fix="use another"):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, close_fds=False)
    try:
        with files.hold(tmp_path, fix="use another"):  # which a kept lock would refuse
            assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_whoever_waits_says_for_whom(holder, tmp_path, said):
    lock = tmp_path / "run" / ".lock"
    end = threading.Timer(0.5, holder.kill)
    end.start()
    with files.locked(lock, tmp_path / "run") as held:
        assert held
    assert said == [line for line in said if f"run is in use by process {holder.pid} on" in line]
    assert len(said) == 1


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, said):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with files.hold(tmp_path, fix="use another"):
        pass
    assert said == [f"{tmp_path}: no locks on this file system; let nothing else write there"]


# Records


def test_an_output_file_is_no_input(tmp_path):
    (tmp_path / "a.npz").touch()
    (tmp_path / "link.npz").symlink_to(tmp_path / "a.npz")
    for name in ("a.npz", "link.npz"):
        with pytest.raises(UserError, match=f"{name}: this is an input; write to another file"):
            files.probe_file(tmp_path / name, ["swin_tiny_k400", tmp_path / "a.npz"])
    files.probe_file(tmp_path / "b.npz", [tmp_path / "a.npz"])
