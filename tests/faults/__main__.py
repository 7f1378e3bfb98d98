"""Try faults on real runs, and print what became of them.

    python -m tests.faults [--kills 50] [--signals 20] [--seed 0] [--only NAME ...]

A fault is survived when the run, or the same command once more, ends with the same arrays and
metrics, bit for bit, as a run without it; or when it ends as its row says. The exit code is 1 when
one was not.
"""

import argparse
import functools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxvid.checkpoints import integrity, store
from jaxvid.data.synthetic import motion
from tests.faults import group_signals, kill_resume
from tests.faults.kill_resume import COMMAND, ONE_DEVICE, compare, last_step
from tests.multihost import hosts, runs


@dataclass
class Found:
    """How often a fault was tried and survived, and what was seen."""

    tried: int
    survived: int
    seen: str


def start(workdir: Path, *more: str, command=COMMAND, env=ONE_DEVICE) -> subprocess.Popen:
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *more],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_step(process: subprocess.Popen, workdir: Path, step: int):
    while last_step(workdir) < step:
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.01)


def kills(folder: Path, whole: Path, args) -> Found:
    """SIGKILL at seeded moments: between steps, in saves, in evaluations."""
    part = args.kills // 4
    hits = kill_resume.run_with_kills(folder, args.kills, part, args.seed, part)
    hit = sum("killed after" in line for line in hits)
    saves, evaluations = (sum(line.endswith(w) for line in hits) for w in ("save", "evaluation"))
    different = compare(whole, folder)
    same = different[0] if different else "bit for bit the same"
    seen = f"{saves} in saves, {evaluations} in evaluations; {same}"
    return Found(hit, 0 if different else hit, seen)


def terminated(folder: Path, whole: Path, args) -> Found:
    """SIGTERM: saves, exits, goes on."""
    process = start(folder)
    until_step(process, folder, 20)
    began = time.monotonic()
    process.terminate()
    out, _ = process.communicate(timeout=120)
    seconds = time.monotonic() - began
    stopped = re.search(r"stopped at step (\d+) and saved", out)
    saved = store.all_steps(folder / "checkpoints")[-1:]
    kill_resume.run(folder)
    good = process.returncode == 130 and stopped and [int(stopped[1])] == saved
    same = not compare(whole, folder)
    return Found(1, int(bool(good and same)), f"saved and gone after {seconds:.1f} s")


def signalled(folder: Path, whole: Path, args) -> Found:
    """Signals to all processes of the run, in each of its phases: saves, ends, goes on."""
    plan = group_signals.shuffled(args.signals, args.seed)
    found = list(group_signals.tries(folder, whole, plan, args.seed))
    Console(width=100).print(group_signals.table(found))
    lost = [one for one in found if one.lost]
    seen = lost[0].lost[-100:] if lost else "in each phase; bit for bit the same"
    return Found(args.signals, args.signals - len(lost), seen)


def worker_killed(folder: Path, whole: Path, args) -> Found:
    """A worker is killed, as for its memory: the run ends with an error, and goes on."""
    process = start(folder)
    until_step(process, folder, 10)
    find = ["pgrep", "-P", str(process.pid), "-f", "spawn_main"]
    workers = subprocess.run(find, capture_output=True, text=True).stdout.split()
    for pid in workers:
        os.kill(int(pid), signal.SIGKILL)
    began = time.monotonic()
    out, _ = process.communicate(timeout=200)
    seconds = time.monotonic() - began
    kill_resume.run(folder)
    said = out.splitlines()[-1]
    good = workers and process.returncode == 1 and re.match("error: .*worker", said)
    seen = f"after {seconds:.1f} s: {said}"
    return Found(1, int(bool(good and not compare(whole, folder))), seen)


def host_killed(folder: Path, whole: Path, args) -> Found:
    """One of two processes is killed in a step: the other ends and names it; both go on."""
    both = folder / "both"
    command = (*runs.CONFIG, f"--workdir={both}")
    started = runs.start(2, 2, command)
    until_step(started[0], both, 6)
    started[1].kill()
    began = time.monotonic()
    started[0].communicate(timeout=300)
    seconds = time.monotonic() - began
    code = started[0].returncode
    again = runs.wait(runs.start(2, 2, command))
    gap = gap_to_one_process(folder, both)
    good = all(end.code == 0 for end in again) and code not in (0, None) and gap < 1e-4
    return Found(1, int(good), f"the other gone after {seconds:.0f} s; losses differ by {gap:.1e}")


def network_cut(folder: Path, whole: Path, args) -> Found:
    """The wire between two hosts: both end and say why; with a wire, both go on."""
    if why := hosts.missing():
        return Found(0, 0, f"not tried: {why}")
    both = folder / "both"
    impatient = (
        "import functools; from jaxvid.distributed import start;"
        "start.start = functools.partial(start.start, heartbeat=20);"
        "import runpy; runpy.run_module('jaxvid.main', run_name='__main__', alter_sys=True)"
    )
    run = functools.partial(
        runs.start, 2, 2, (*runs.CONFIG, f"--workdir={both}"), ("-c", impatient)
    )
    with hosts.two_hosts(folder) as two:
        started = run(hosts=two)
        until_step(started[0], both, 6)
        two[1].wire("down")
        cut = runs.wait(started, 120)
        two[1].wire("up")
        again = runs.wait(run(hosts=two))
    said = [next((x for x in end.out.splitlines() if x.startswith("error: ")), "") for end in cut]
    gap = gap_to_one_process(folder, both)
    ended = all(said) and all(end.code == 1 for end in cut)
    good = ended and all(end.code == 0 for end in again) and gap < 1e-4
    seconds = max(end.seconds for end in cut)
    lost = re.sub(r"^error: process . of . \(\w+\): | at \S+|: it is.*", "", said[0])
    seen = f'"{lost}"; both gone after {seconds:.0f} s; losses differ by {gap:.1e}'
    return Found(1, int(good), seen)


def gap_to_one_process(folder: Path, both: Path) -> float:
    """The largest difference of a loss of `both` from those of a run in one process."""
    runs.run(1, 4, folder / "alone", *runs.CONFIG)
    one, two = runs.losses(folder / "alone"), runs.losses(both)
    return (
        max((abs(one[s] - two[s]) for s in one), default=inf) if one.keys() == two.keys() else inf
    )


def disk_full(folder: Path, whole: Path, args) -> Found:
    """No space for a checkpoint: one line, older ones intact, and the run goes on with space."""
    limited = (
        "import resource, signal, runpy, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY));"
        "sys.argv = sys.argv[1:]; runpy.run_module('jaxvid.main', run_name='__main__')"
    )
    command = (sys.executable, "-c", limited, "jaxvid.main", *COMMAND[3:])
    # Batches of workers would be files, too.
    process = start(folder, "--config.loader.workers=0", command=command)
    out, _ = process.communicate(timeout=200)
    said = next((x for x in out.splitlines() if x.startswith("error: ")), "no error")
    kill_resume.run(folder)
    good = process.returncode == 1 and "saving a checkpoint" in said
    return Found(1, int(good and not compare(whole, folder)), said[:90])


def corrupt(folder: Path, whole: Path, args) -> Found:
    """A bit of the newest checkpoint is flipped: the run says so, and goes on before it."""
    process = start(folder)
    until_step(process, folder, 40)
    process.kill()
    process.communicate()
    newest = folder / "checkpoints" / f"{store.all_steps(folder / 'checkpoints')[-1]:08d}"
    largest = max(integrity.files(newest), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    process = start(folder)
    out, _ = process.communicate(timeout=200)
    said = "is damaged" in out and "going back to step" in out
    good = process.returncode == 0 and said and not compare(whole, folder)
    return Found(1, int(good), next((x for x in out.splitlines() if "damaged" in x), "")[-80:])


def not_finite(folder: Path, whole: Path, args) -> Found:
    """A loss that becomes NaN: the run stops, names the layer and samples, and keeps its past."""
    process = start(folder, "--config.optim.lr=1e30", "--config.optim.clip=0.0")
    out, _ = process.communicate(timeout=200)
    said = next((x for x in out.splitlines() if x.startswith("error: ")), "no error")
    good = process.returncode == 1 and "is not finite, for " in said
    return Found(1, int(good), said[:110])


def corrupt_videos(folder: Path, whole: Path, args) -> Found:
    """5 % of the videos are cut short: training replaces them, counts them and ends well."""
    clips = motion.generate(folder / "clips", train=80, val=8)
    bad = random.Random(args.seed).sample(sorted((clips / "train").glob("*.mp4")), 4)
    for path in bad:
        path.write_bytes(path.read_bytes()[:200])
    command = (
        sys.executable,
        "-m",
        "jaxvid.main",
        "--config=configs/finetune.py:test",
        f"--config.data.root={clips}",
        "--config.batch=8",
        "--config.epochs=2",
        "--config.dtype=float32",
        "--config.data.recipe.size=32",
        "--config.data.recipe.frames=4",
        "--config.loader.workers=1",
        "--config.eval_every=0",
        "--config.log_every=1",
    )
    process = start(folder / "run", command=command)
    out, _ = process.communicate(timeout=250)
    named = [path for path in bad if path.name in out]
    good = process.returncode == 0 and f"{len(bad)} unreadable videos in training" in out
    lines = [line for line in out.splitlines() if line.startswith("step ")]
    return Found(
        len(bad), len(named) if good else 0, f"{len(named)} of 80 videos; {lines[-1][:60]}"
    )


FAULTS: dict[str, Callable] = {
    "SIGKILL": kills,
    "SIGTERM": terminated,
    "group signals": signalled,
    "worker killed": worker_killed,
    "host killed": host_killed,
    "network cut": network_cut,
    "disk full": disk_full,
    "corrupt checkpoint": corrupt,
    "loss not finite": not_finite,
    "corrupt videos": corrupt_videos,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    args = parser.parse_args(argv)
    table = Table("fault", "tried", "survived", "lost", "seen", box=None)
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        kill_resume.run(whole)
        for name in args.only:
            own = Path(folder, name.replace(" ", "_"))
            own.mkdir()
            found = FAULTS[name](own, whole, args)
            missing = found.tried - found.survived
            table.add_row(name, *map(str, (found.tried, found.survived, missing)), found.seen)
            print(f"{name}: {found}", flush=True)
            lost += missing
    Console(width=160).print(table)
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
