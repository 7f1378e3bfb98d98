"""Worker processes: they outlive Ctrl-C, die with the parent, and leave nothing behind.

And how a batch comes from them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data import loader
from jaxvid.errors import UserError
from tests.data.test_loader import Numbers, draw, take, test

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
    code = f"from tests.data import test_workers; test_workers.stream({steps})"
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True, **options
    )


def children(pid: int) -> set[int]:
    """Data workers of a process."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
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


@linux
def test_a_run_leaves_nothing_in_shared_memory_and_no_word():
    """Not even one that stops while its workers are ahead."""
    process = start(6, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    names = out.split()
    assert process.returncode == 0 and err == ""
    assert len(names) == len(set(names)) == 6
    assert not [name for name in names if Path("/dev/shm", name).exists()]


def test_only_large_arrays_come_through_shared_memory():
    (batch,) = loader.train_batches(Numbers(10), [draw], batch=4, seed=0, workers=1, stop=1)
    shared = {key for key, value in batch.items() if hasattr(value, "shm")}
    assert shared == {"video"} and batch["video"].nbytes >= loader.SMALL
    assert (batch["video"] == batch["index"][:, None]).all()


def test_no_memory_is_shared_in_this_process():
    rows = [{"video": np.full(10**5, i), "why": np.array("x" * i)} for i in range(3)]
    batch = loader.stack(rows)
    assert type(batch["video"]) is np.ndarray and batch["video"][:, 0].tolist() == [0, 1, 2]
    assert batch["why"].tolist() == ["", "x", "xx"], "text of any length"


def grow(sample, rng):
    return {"video": sample["video"][: 10 + int(sample["label"])]}


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_differ_in_shape_are_told(workers):
    with pytest.raises(UserError, match=r'differ: "video" is \(10,\) and \(11,\); batches of one'):
        take(test(Numbers(10), 2, workers, (grow,)))


def sharing(sample, rng):
    return {"sharing": np.bool_(loader._sharing)}


@pytest.mark.parametrize("workers", [0, 1])
def test_only_workers_stack_into_shared_memory(workers):
    (batch,) = take(test(Numbers(2), 2, workers, (sharing,)))
    assert batch["sharing"].tolist() == [bool(workers)] * 2
