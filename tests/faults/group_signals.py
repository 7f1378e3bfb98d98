"""Send signals to all processes of a run at random moments of each phase; nothing may be lost.

    python -m tests.faults.group_signals [--signals 100] [--seed 0]

So do schedulers, launchers and terminals. A try is survived when the run saves and ends as it
should, nothing of it is left, and the run that goes on from there ends as if it never was stopped.
"""

import argparse
import itertools
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxvid import signals
from jaxvid.checkpoints import store
from tests.faults import kill_resume
from tests.faults.kill_resume import COMMAND, ONE_DEVICE, STEPS, compare

PHASES = ("start", "training", "validation", "saving")
CLOSED = "closed terminal"
KINDS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", CLOSED)
# What a command says that a signal ends before it begins to train.
LINES = {n: f"stopped by {n.name}\n" for n in signals.STOPS} | {signal.SIGINT: "interrupted\n"}
LIMIT = 120  # seconds to save and end


@dataclass(frozen=True)
class Try:
    """A signal in a phase, and what was lost, "" for nothing. Without a kind: a whole run."""

    phase: str
    kind: str
    lost: str


def shuffled(count: int, seed: int) -> list[tuple[str, str]]:
    """So many phases and signals, all equally often."""
    plan = list(itertools.islice(itertools.cycle(itertools.product(PHASES, KINDS)), count))
    random.Random(seed).shuffle(plan)
    return plan


def tries(folder: Path, whole: Path, plan: Sequence[tuple[str, str]], seed: int) -> Iterator[Try]:
    """Stop and go on with runs until all signals were sent; compare each whole run.

    Args:
      whole: workdir of an uninterrupted run.
      plan: phases and signals.
    """
    rng, plan = random.Random(seed), list(plan[::-1])
    number, startup = 0, 6.0
    workdir = folder / "run0"
    while plan:
        phase, kind = plan[-1]
        delay = rng.random() * {"start": startup, "validation": 4.0}.get(phase, 0.3)
        found, seconds = stop_once(workdir, phase, kind, delay)
        startup = seconds or startup
        if found is None:  # it ended before its signal
            if different := compare(whole, workdir):
                yield Try("a whole run", "", different[0])
            shutil.rmtree(workdir)
            number += 1
            workdir = folder / f"run{number}"
            continue
        plan.pop()
        yield found
    kill_resume.run(workdir)
    if different := compare(whole, workdir):
        yield Try("a whole run", "", different[0])


def stop_once(workdir: Path, phase: str, kind: str, delay: float) -> tuple[Try | None, float]:
    """Start the run, signal its process group in a phase, and look at what became of it.

    Returns:
      The try, None when the run ended first, and the seconds to its first step (0: not seen).
    """
    began, first = time.time(), 0.0
    before = store.all_steps(workdir / "checkpoints")[-1:]
    left = set(workdir.glob("checkpoints/*orbax-checkpoint-tmp*"))

    copy = workdir / "log.txt"
    skipped = len(copy.read_text()) if copy.exists() else 0

    def reached() -> bool:
        if phase == "saving":
            return bool(set(workdir.glob("checkpoints/*orbax-checkpoint-tmp*")) - left)
        return kill_resume.evaluates(workdir, began) if phase == "validation" else bool(first)

    with tempfile.TemporaryFile("w+") as output:
        process, hang_up = start([*COMMAND, f"--workdir={workdir}"], kind, output)
        while phase != "start" and not reached():
            if process.poll() is not None:
                return None if process.returncode == 0 else (Try(phase, kind, "it failed")), first
            path = workdir / "metrics.jsonl"
            if not first and path.exists() and path.stat().st_mtime > began:
                first = time.time() - began
            time.sleep(0.002)
        time.sleep(delay)
        hang_up()
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Try(phase, kind, f"it had not ended after {LIMIT} s"), first
        output.seek(0)
        said = output.read()
    if kind == CLOSED:  # what it said went nowhere else
        said = copy.read_text()[skipped:] if copy.exists() else ""
    steps = store.all_steps(workdir / "checkpoints")[-1:]
    lost = judge(code, said, kind, before, steps) or leftovers(process.pid)
    return Try(phase, kind, lost), first


def start(command: list[str], kind: str, output) -> tuple[subprocess.Popen, Callable[[], object]]:
    """A process in a group of its own, and what sends it the signal."""
    options = dict(env=ONE_DEVICE, start_new_session=True)
    if kind != CLOSED:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)

        def send():
            if process.poll() is None:
                os.killpg(process.pid, signal.Signals[kind])

        return process, send
    master, terminal = pty.openpty()
    # Opened by the first process of a session, it is the terminal of that.
    shell = ["sh", "-c", 'exec "$@" < "$0"', os.ttyname(terminal)]
    process = subprocess.Popen(
        [*shell, *command], stdin=terminal, stdout=terminal, stderr=terminal, **options
    )
    os.close(terminal)
    return process, lambda: os.close(master)


def judge(code: int, said: str, kind: str, before: list[int], steps: list[int]) -> str:
    """Why a run did not end as it should; "" when it did."""
    sent = signal.SIGHUP if kind == CLOSED else signal.Signals[kind]
    if code == -sent and before == steps and not re.search("in run\n|jaxvid in ", said):
        return ""  # while Python imported what catches it
    if failed := re.search("Traceback|error: ", said):
        return said[failed.start() :][:1000]
    stopped = re.search(r"stopped at step (\d+) and saved; the same command resumes it", said)
    if code == 0 and steps == [STEPS]:
        return ""  # the signal came when all was done
    if code == 130 and stopped:
        return "" if [int(stopped[1])] == steps else f"{stopped[0]}, but there is {steps}"
    if code == 130 and "stopped before the first step" in said:
        return "" if before == steps else f"it went on from {before}, and has {steps}"
    if code == 130 and not said and kind == CLOSED:
        return "" if before == steps else f"it went on from {before}, and has {steps}"
    if code == 128 + sent and before == steps and said == ("" if kind == CLOSED else LINES[sent]):
        return ""  # while flags were read
    return f"exit code {code}: {said[-300:]}"


def leftovers(group: int) -> str:
    """Processes and shared memory of a run that has ended."""
    for _ in range(100):
        processes = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True)
        memory = [path.name for path in Path("/dev/shm").glob(f"jaxvid_*_{group}_*")]
        if not processes.stdout and not memory:
            return ""
        time.sleep(0.1)
    return f"left behind: processes {processes.stdout.split()}, memory {memory}"


def table(found: list[Try]) -> Table:
    """Rows are phases and signals: how often tried, how often lost."""
    tried = Counter((t.phase, t.kind) for t in found if t.kind)
    lost = Counter((t.phase, t.kind) for t in found if t.lost)
    shown = Table("phase", "signal", "tries", "lost", box=None)
    for key in itertools.product(PHASES, KINDS):
        shown.add_row(*key, str(tried[key]), str(lost[key]))
    shown.add_row("all", "", str(tried.total()), str(lost.total()))
    return shown


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=100, help="how many are sent in all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        kill_resume.run(whole)
        plan = shuffled(args.signals, args.seed)
        for one in tries(Path(folder), whole, plan, args.seed):
            found.append(one)
            print(f"{len(found)}: {one.phase}, {one.kind}: {one.lost or 'ok'}", flush=True)
    Console(width=100).print(table(found))
    return any(one.lost for one in found)


if __name__ == "__main__":
    sys.exit(main())
