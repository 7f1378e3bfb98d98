"""What a run sets before JAX starts."""

import os

import pytest

from configs import quickstart
from jaxvid import main


@pytest.mark.parametrize("wanted", [False, True])
def test_deterministic_runs_tell_xla_before_it_starts(wanted, monkeypatch, tmp_path):
    config = quickstart.get_config()
    config.deterministic = wanted
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_x=1")
    monkeypatch.setattr(main.cli, "config", lambda _: config)
    monkeypatch.setattr(main, "MODE", type("Flag", (), {"value": "train"}))
    monkeypatch.setattr(main, "WORKDIR", type("Flag", (), {"value": str(tmp_path)}))
    monkeypatch.setattr(main, "START_TIMEOUT", type("Flag", (), {"value": 1.0}))
    seen = []
    monkeypatch.setattr(main, "train", lambda *_: seen.append(os.environ["XLA_FLAGS"]))
    main.main()
    flag = " --xla_gpu_deterministic_ops=true" if wanted else ""
    assert seen == [f"--xla_cpu_x=1{flag}"]
