"""Every golden that has a row: the command `python -m tests.parity` as tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parity.cases import CASES, QUICK

GOLDENS = os.environ.get("JAXVID_GOLDENS", "")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not GOLDENS, reason="JAXVID_GOLDENS names no folder of golden outputs"),
]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in CASES]
)
def test_golden(name):
    # A process of its own: programs are compiled here without LLVM's optimizations, which can
    # change gradients (a maximum's, that compares with what is computed a second time).
    command = [sys.executable, "-m", "tests.parity", "--goldens", Path(GOLDENS).absolute(), name]
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
