"""Scripts that start workers whenever they are imported are told what they lack."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

LOADER = """
from jaxvid.data.loading import loader
from tests.data.loading.test_loader import Numbers, draw
print(len(list(loader.eval_batches(Numbers(4), [draw], batch=2, workers=1))), "batches")
"""
JOBS = """
from jaxvid.tools import jobs
print(len(list(jobs.run(str, [1, 2], what="text", workers=1))), "batches")
"""
NEEDED = 'put the code of the script under `if __name__ == "__main__":`'

TRAIN = """
import jaxvid
jaxvid.train("quickstart", "run", dict.fromkeys(("data.train.train", "data.val.train"), 16))
"""


def run(path: Path, script: str) -> subprocess.CompletedProcess:
    path.write_text(script)
    return subprocess.run(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("script", [LOADER, JOBS, TRAIN])
def test_a_script_without_a_main_guard(tmp_path, script):
    done = run(tmp_path / "mine.py", script)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("jaxvid.errors.UserError: each worker process")
    assert done.stderr.rstrip().endswith(NEEDED)
    assert "bootstrapping" not in done.stderr and "in use" not in done.stderr


@pytest.mark.parametrize("script", [LOADER, JOBS])
def test_a_script_with_a_main_guard(tmp_path, script):
    body = "".join(f"    {line}\n" for line in script.strip().splitlines())
    done = run(tmp_path / "mine.py", f'if __name__ == "__main__":\n{body}')
    assert (done.returncode, done.stdout) == (0, "2 batches\n"), done.stderr


def test_a_script_that_reads_in_its_own_process_needs_none(tmp_path):
    done = run(tmp_path / "mine.py", LOADER.replace("workers=1", "workers=0"))
    assert (done.returncode, done.stdout) == (0, "2 batches\n"), done.stderr
