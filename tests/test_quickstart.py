"""The quickstart as README promises it: a small Video Swin learns motion, and only motion."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxvid import load
from jaxvid.data.synthetic import motion
from jaxvid.tools import time_control


def train(workdir, *arguments):
    """The accuracies (0..1) of a run of the quickstart's command, compiled as users have it."""
    command = ["-m", "jaxvid.main", "--config=configs/quickstart.py", f"--workdir={workdir}"]
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    subprocess.run([sys.executable, *command, *arguments], env=env, check=True)
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line["val/top1"] for line in lines if "val/top1" in line]


@pytest.mark.long
def test_a_short_run_leaves_chance_at_once(cache, tmp_path):
    """Two epochs suffice for half of the clips; chance is 12.5 %."""
    assert train(tmp_path / "run", "--config.epochs=2")[-1] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_every_seed_learns_motion_and_nothing_else(cache, tmp_path, seed):
    workdir = tmp_path / "run"
    assert train(workdir, f"--config.seed={seed}")[-1] >= 0.95

    model = load(workdir)
    names = model.names

    def accuracy(order, pairs=None):
        table, _ = time_control.played(model, order)
        called, label = [names[i] for i in table["score"].argmax(1)], table["label"]
        wanted = [pairs[names[i]] if pairs else names[i] for i in label]
        return np.mean([a == b for a, b in zip(called, wanted, strict=True)])

    assert accuracy("freeze") < 0.2  # chance is 0.125, with a deviation of 0.017 for 400 clips
    # The axis of the motion may show, its sense cannot: a coin that deviates by 0.04.
    right, opposite = accuracy("shuffle"), accuracy("shuffle", motion.OPPOSITE)
    assert right < 0.5 and abs(right - opposite) < 0.15
    assert accuracy("reverse", motion.OPPOSITE) > 0.9
