"""The quick faults; `python -m tests.faults.kill_resume` is the long one."""

import subprocess
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from jaxvid.checkpoints import store
from jaxvid.errors import UserError
from tests.faults import group_signals, kill_resume


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("faults") / "whole"
    kill_resume.run(workdir)
    return workdir


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_never_was(whole, tmp_path):
    killed = tmp_path / "killed"
    kills = kill_resume.run_with_kills(killed, kills=3, in_saves=1, seed=7)
    assert sum("killed after" in kill for kill in kills) == 3
    assert any("inside a save" in kill for kill in kills)
    assert kill_resume.compare(whole, killed) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc and /dev/shm")
def test_signals_to_all_processes_lose_nothing(whole, tmp_path):
    plan = [
        ("validation", "SIGTERM"),
        ("start", "SIGTERM"),
        ("saving", "SIGHUP"),
        ("training", group_signals.CLOSED),
    ]
    found = list(group_signals.tries(tmp_path, whole, plan, seed=3))
    assert [(one.phase, one.kind) for one in found if one.kind] == plan
    assert [one.lost for one in found] == [""] * len(found)


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    """Noticed before anything is written; what is there stays."""
    saved = store.Store(tmp_path)
    state = {"step": jnp.zeros(()), "params": {"w": jnp.ones((100, 10))}}
    saved.save(1, state, {}, {})
    saved.wait()
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"4,004 bytes are needed, 1,000 are free.*is step 1"):
        saved.save(2, state, {}, {})
    assert store.all_steps(saved.folder) == [1]
    saved.close()


@pytest.mark.parametrize("waits", ["s.wait()", "s.close()"])
def test_a_disk_that_fills_during_a_save_is_one_clear_line(waits, tmp_path):
    """With files limited to 50 kB, as on a disk that fills up while TensorStore writes."""
    limited = (
        "import resource, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "import jax.numpy as jnp;"
        "from jaxvid import cli;"
        "from jaxvid.checkpoints import store;"
        "s = store.Store(sys.argv[1]);"
        "small = {'w': jnp.ones(8)};"
        "s.save(1, small, {}, {}); s.wait();"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "import jax;"
        "big = {'w': jax.random.normal(jax.random.key(0), (1000, 1000))};"
        f"sys.exit(cli.guard(lambda: (s.save(2, big, {{}}, {{}}), {waits})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=kill_resume.ONE_DEVICE,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: saving a checkpoint to")
    assert "the last complete one is step 1" in done.stderr
    assert "Traceback" not in done.stderr
