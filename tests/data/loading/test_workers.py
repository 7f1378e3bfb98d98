"""Worker processes: they outlive Ctrl-C, die with the parent, and leave nothing behind.

And how a batch comes from them.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxvid import files
from jaxvid.data.loading import loader, shared_memory
from jaxvid.errors import UserError
from tests.data.loading.test_loader import Numbers, assert_equal, draw, take, test, train

pytestmark = pytest.mark.long


def stream(steps: int):
    """Run in a process of its own: says which shared memory each batch lies in."""
    for batch in loader.train_batches(Numbers(10), [draw], batch=4, seed=0, workers=2):
        print(batch["video"].shm.name, flush=True)  # type: ignore[attr-defined]
        steps -= 1
        if not steps:
            break
        if steps < 0:  # endless
            time.sleep(0.01)


def start(steps: int, **options) -> subprocess.Popen:
    """`stream` in a process; multiprocessing needs a main module that can be imported again."""
    code = f"from tests.data.loading import test_workers; test_workers.stream({steps})"
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True, **options
    )


def children(pid: int) -> set[int]:
    """Data workers of a process. A process that ends while this reads its files is left out."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (process / "cmdline").read_bytes():
                found.add(int(process.name))
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # where no init reaps orphans


def wait_until(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(done)


linux = pytest.mark.skipif(sys.platform != "linux", reason="workers die with the parent on Linux")


@linux
def test_workers_outlive_ctrl_c_and_die_with_the_parent():
    process = start(0)
    try:
        for _ in range(2):  # one from each worker: now both are past their start
            assert process.stdout.readline()  # type: ignore[union-attr]
        workers = children(process.pid)
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGTERM)
        for _ in range(20):
            assert process.stdout.readline()  # type: ignore[union-attr]
        assert all(map(alive, workers)), "the parent decides when they stop"
    finally:
        process.kill()
        process.wait()
    assert wait_until(lambda: not any(map(alive, workers)), 5)


@linux
def test_workers_that_are_starting_die_with_the_parent():
    """Before they can ask the system to tell them of its death."""
    process = start(0)
    try:
        assert wait_until(lambda: len(children(process.pid)) == 2, 30)
        workers = children(process.pid)
    finally:
        process.kill()
        process.wait()
    assert wait_until(lambda: not any(map(alive, workers)), 20)


def segments(pid: int) -> list[str]:
    """Shared memory that streams of a process have."""
    return [name for name, (_, maker) in shared_memory.segments().items() if maker == pid]


@linux
def test_a_run_leaves_nothing_in_shared_memory_and_no_word():
    """Not even one that stops while its workers are ahead."""
    process = start(6, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    names = out.split()
    assert process.returncode == 0 and err == ""
    assert len(names) == len(set(names)) == 6
    assert all(name.startswith("jaxvid") and f"_{process.pid}_" in name for name in names)
    assert not [name for name in names if Path("/dev/shm", name).exists()]
    assert not segments(process.pid)


@linux
@pytest.mark.parametrize("taken", [1, 2, 5])
def test_a_stream_that_stops_early_leaves_nothing(taken):
    batches = iter(loader.train_batches(Numbers(10), [draw], batch=4, seed=0, workers=2))
    kept = [next(batches) for _ in range(taken)]
    names = {batch["video"].shm.name for batch in kept}  # type: ignore[attr-defined]
    assert not names & set(segments(os.getpid())), "whoever is killed now leaves none of these"
    assert wait_until(lambda: segments(os.getpid()), 10), "workers are ahead"
    batches.close()  # type: ignore[attr-defined]
    assert not segments(os.getpid()) and not children(os.getpid())
    for batch in kept:  # its memory lives on
        assert (batch["video"] == batch["index"][:, None]).all()


@linux
def test_a_stream_that_stops_leaves_the_others_alone():
    """Each of two in one process gives what it gives alone."""
    streams = [train(Numbers(10), seed=seed, stop=8, workers=1) for seed in (1, 2)]
    one, two = map(iter, streams)
    got = [next(one), next(two)]
    assert wait_until(lambda: len(segments(os.getpid())) >= 4, 10)  # both are ahead
    two.close()  # type: ignore[attr-defined]
    assert segments(os.getpid()), "of the first"
    got = [got[0], *one]
    assert_equal(take(got), take(train(Numbers(10), seed=1, stop=8)))


@linux
def test_a_stream_that_fails_leaves_nothing():
    """In the midst of a batch, after a part of it lies in shared memory."""
    batches = test(Numbers(10), 2, 1, (uneven,))
    with pytest.raises(UserError, match='differ in shape: "late"'):
        take(batches)
    assert not segments(os.getpid())


@linux
def test_the_next_start_frees_what_the_dead_left(tmp_path, monkeypatch):
    dead = start(1)
    dead.communicate(timeout=60)
    here, other = shared_memory.pid_namespace(), shared_memory.pid_namespace() + 1
    names = {
        f"jaxvid_{here}_{dead.pid}_0_0123abcd": False,
        f"jaxvid_{here}_{dead.pid}_12_0123abcd": False,
        f"jaxvid_{other}_{dead.pid}_0_0123abcd": True,  # of a container that may live
        f"jaxvid_{here}_{os.getpid()}_999_0123abcd": True,
        f"jaxvid_{here}_{os.getppid()}_0_0123abcd": True,
        f"jaxvid_{here}_{dead.pid}_0": True,  # not such a name
        f"my_jaxvid_{here}_{dead.pid}_0_0123abcd": True,
    }
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    for name in names:
        (tmp_path / name).touch()
    take(train(Numbers(10), stop=1, workers=1))
    assert {name: (tmp_path / name).exists() for name in names} == names


@linux
def test_a_killed_process_tree_leaves_nothing_for_long():
    """Not even when Python's resource tracker is killed with it."""
    process = start(0, start_new_session=True)
    for _ in range(4):
        assert process.stdout.readline()  # type: ignore[union-attr]
    assert wait_until(lambda: segments(process.pid), 10)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert segments(process.pid), "else this tests nothing"
    take(train(Numbers(10), stop=1, workers=1))
    assert not segments(process.pid)


class Trouble(Numbers):
    """Row 3 kills who reads it, or takes long."""

    def __init__(self, seconds=0.0):
        super().__init__(10)
        self.seconds = seconds

    def __getitem__(self, index):
        if index == 3:
            time.sleep(self.seconds)
            if not self.seconds:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_what_kills_a_worker_is_named():
    with pytest.raises(UserError, match=r"exit code -9 \(killed.* Workers were reading 3\.mp4$"):
        take(test(Trouble(), 2, 1))


def test_what_a_worker_is_stuck_in_is_named(monkeypatch, said):
    monkeypatch.setattr(loader, "PATIENCE", 4.0)
    batches = take(test(Trouble(6.0), 2, 2))
    assert len(batches) == 5 and said[-1:] == ["no batch for 4 s. Workers were reading 3.mp4"]


def uneven(sample, rng):
    late = np.zeros(1 + int(sample["label"]))
    return {"video": np.zeros(10**6, np.uint8), "late": late}


@linux
def test_what_a_killed_worker_had_only_begun_is_removed():
    """Its memory has a name and no size yet."""
    stream = shared_memory.new_stream()
    begun = Path("/dev/shm", f"{stream}00000000")
    begun.touch()
    assert begun.name in segments(os.getpid())
    shared_memory.remove(stream)
    assert not begun.exists()


def test_only_large_arrays_come_through_shared_memory():
    (batch,) = loader.train_batches(Numbers(10), [draw], batch=4, seed=0, workers=1, stop=1)
    large = {key for key, value in batch.items() if hasattr(value, "shm")}
    assert large == {"video"} and batch["video"].nbytes >= shared_memory.SMALL
    assert (batch["video"] == batch["index"][:, None]).all()


def test_no_memory_is_shared_in_this_process():
    rows = [{"video": np.full(10**5, i), "why": np.array("x" * i)} for i in range(3)]
    batch: Any = loader.stack(rows)
    assert type(batch["video"]) is np.ndarray and batch["video"][:, 0].tolist() == [0, 1, 2]
    assert batch["why"].tolist() == ["", "x", "xx"], "text of any length"


def grow(sample, rng):
    return {"video": sample["video"][: 10 + int(sample["label"])]}


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_differ_in_shape_are_told(workers):
    with pytest.raises(
        UserError, match=r'differ in shape: "video" is \(10,\) and \(11,\); use batches of one'
    ):
        take(test(Numbers(10), 2, workers, (grow,)))


def sharing(sample, rng):
    return {"sharing": np.bool_(shared_memory.worker_of)}


@pytest.mark.parametrize("workers", [0, 1])
def test_only_workers_stack_into_shared_memory(workers):
    (batch,) = take(test(Numbers(2), 2, workers, (sharing,)))
    assert batch["sharing"].tolist() == [bool(workers)] * 2


def test_more_workers_than_cores_are_told(monkeypatch, said):
    monkeypatch.setattr(files, "cores", lambda: 3)
    train(Numbers(10), workers=4)
    assert said == ["4 data workers share 3 cores: more workers than cores are hardly faster"]
