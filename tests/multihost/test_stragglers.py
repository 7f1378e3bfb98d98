"""A process that computes slowly is told, though the steps of all take as long as its own."""

import socket

import pytest

from tests.multihost import runs

pytestmark = pytest.mark.multihost

# Only the probe has more to do, as it would take longer on a slow device.
SLOW = """
import runpy, sys
from jaxvid.train import stragglers

if sys.argv.pop(1) == "slow":
    dtype, side, products = stragglers.WORK["cpu"]
    stragglers.WORK["cpu"] = dtype, side, 10 * products
runpy.run_module("jaxvid.main", run_name="__main__", alter_sys=True)
"""


def test_the_slow_process_is_named_at_the_lines_of_the_log(tmp_path):
    few = ("--config.data.train.train=33", "--config.data.val.train=33", "--config.accumulate=1")
    args = [*runs.CONFIG, *few, "--config.epochs=3", "--config.eval_every=0"]
    args.append(f"--workdir={tmp_path}")
    paces = {0: ("even", *args), 1: ("slow", *args)}
    zero, one = runs.wait(runs.start(2, 1, paces, ("-c", SLOW)))
    assert (zero.code, one.code) == (0, 0), zero.out + one.out
    named = f"process 1 ({socket.gethostname()}) computes slowly, and all wait for it: "
    # Of six; nobody waits for what the other one measures.
    assert zero.out.count(named) >= 4, zero.out
    assert "process 0 (" + socket.gethostname() + ") computes" not in zero.out
    assert "computes slowly" not in one.out
