"""Kill a run at seeded moments, inside saves and evaluations; it must end as if it never was.

    python -m tests.faults.kill_resume [--kills 12] [--in-saves 4] [--in-evaluations 3] [--seed 0]

Prints one line a kill, then whether every array of the last checkpoint and every value of
metrics.jsonl that is no measurement of time is the same, bit for bit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = (
    sys.executable,
    "-m",
    "jaxvid.main",
    "--config",
    "configs/quickstart.py",
    "--config.data.train.train=96",
    "--config.data.train.val=40",
    "--config.data.val.train=96",
    "--config.data.val.val=40",
    "--config.model.variant=test",
    "--config.model.dropout=0.2",
    "--config.model.drop_path=0.2",
    "--config.task.augment.mixup=0.5",
    "--config.batch=8",
    "--config.eval_batch=16",
    "--config.epochs=5",
    "--config.eval_every=1.25",
    "--config.save_every=7",
    "--config.log_every=3",
    "--config.ema=0.9",
    "--config.accumulate=2",
    "--config.loader.workers=1",
)
ONE_DEVICE = dict(os.environ, XLA_FLAGS="", JAX_PLATFORMS="cpu")
STEPS = 60
EVALUATIONS = (15, 30, 45, 60)
TIMED = ("time", "train/step_time", "train/clips_per_s", "train/data_wait", "train/mfu")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12, help="how often the run is killed in all")
    parser.add_argument("--in-saves", type=int, default=4, help="how many of them inside a save")
    parser.add_argument("--in-evaluations", type=int, default=3, help="and inside an evaluation")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        run(whole)
        kills = run_with_kills(killed, args.kills, args.in_saves, args.seed, args.in_evaluations)
        for kill in kills:
            print(kill)
        differences = compare(whole, killed)
    for line in differences:
        print(line)
    print("the same, bit for bit" if not differences else f"{len(differences)} differences")
    return bool(differences)


def run(workdir: Path):
    """One uninterrupted run."""
    command = [*COMMAND, f"--workdir={workdir}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ONE_DEVICE)


def run_with_kills(
    workdir: Path, kills: int, in_saves: int, seed: int, in_evaluations: int = 0
) -> list[str]:
    """Start the same command until it ends by itself; says where each kill hit."""
    rng = random.Random(seed)
    # Where the kills go: spread over the run, a part of them inside a save.
    plan = [(STEPS * (i + rng.random()) / kills, i) for i in range(kills)]
    # The last saves and the last evaluation are not worth waiting for: where a short one is missed,
    # the run is over before its kill.
    early = [i for after, i in plan if after < EVALUATIONS[-2] - 1]
    saving = set(rng.sample(early, in_saves))
    evaluating = set(rng.sample([i for i in early if i not in saving], in_evaluations))
    found = []
    for after, i in plan:
        where = "save" if i in saving else "evaluation" if i in evaluating else "run"
        found.append(kill_once(workdir, after, where, rng.uniform(0, 0.05)))
    run(workdir)
    return found


def kill_once(workdir: Path, after: float, where: str, delay: float) -> str:
    """Kill when `after` steps are logged: inside the next save or evaluation, or after a delay.

    Args:
      where: "save", "evaluation" or "run", which is wherever the run is after the delay.
    """

    def saves():
        return set(workdir.glob("checkpoints/*orbax-checkpoint-tmp*")) - left

    def now():
        return "save" if saves() else "evaluation" if evaluates(workdir, began) else "run"

    left = set(workdir.glob("checkpoints/*orbax-checkpoint-tmp*"))  # by the kill before
    began = time.time()
    process = subprocess.Popen(
        [*COMMAND, f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ONE_DEVICE,
    )
    while process.poll() is None:
        if last_step(workdir) >= min(after, STEPS - 6):
            if where == "run":
                time.sleep(delay)
            if (doing := now()) != where and where != "run":
                continue  # no pause: a save takes milliseconds
            process.send_signal(signal.SIGKILL)
            process.wait()
            inside = {"save": ", inside a save", "evaluation": ", inside an evaluation"}
            return f"killed after step {last_step(workdir)}{inside.get(doing, '')}"
        time.sleep(0.002)
    return "ended before its kill"


def evaluates(workdir: Path, since: float) -> bool:
    """Whether the step of an evaluation was logged since then, and what it found was not."""
    path = workdir / "metrics.jsonl"
    line = path.read_text().splitlines()[-1:] if path.exists() else []
    try:
        found = json.loads(line[0]) if line else {}
    except ValueError:
        return False
    fresh = found.get("time", 0) > since
    return fresh and found["step"] in EVALUATIONS and "train/loss" in found


def last_step(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    try:
        return json.loads(lines[-1])["step"] if lines else 0
    except ValueError:
        return 0  # half a line


def compare(whole: Path, killed: Path) -> list[str]:
    """How the last checkpoints and the metrics of two runs differ; empty when they do not."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    from jaxvid import param_rules

    def arrays(workdir):
        last = max((workdir / "checkpoints").glob("[0-9]" * 8))
        tree = ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(last.absolute() / "state")
        return {k: np.asarray(v) for k, v in param_rules.flatten(jax.device_get(tree)).items()}

    def metrics(workdir):
        lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
        return [{k: v for k, v in line.items() if k not in TIMED} for line in lines]

    a, b = arrays(whole), arrays(killed)
    out = [f"{k} is in one checkpoint only" for k in a.keys() ^ b.keys()]
    out += [f"{k} differs" for k in a.keys() & b.keys() if a[k].tobytes() != b[k].tobytes()]
    one, other = metrics(whole), metrics(killed)
    if len(one) != len(other):
        out.append(f"{len(one)} lines of metrics in one, {len(other)} in the other")
    out += [f"metrics: {x} and {y}" for x, y in zip(one, other, strict=False) if x != y]
    return out


if __name__ == "__main__":
    sys.exit(main())
