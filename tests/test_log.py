"""What a run says of its processes, and a flag that it sets for XLA."""

import os

import pytest

from configs import quickstart
from jaxvid import log, main


@pytest.mark.parametrize(
    "waits,said",
    [
        ({}, []),
        ({0: 0.9}, []),
        ({0: 0.01, 1: 0.04}, []),  # too little to matter
        ({0: 0.30, 1: 0.40, 2: 0.35}, []),  # all alike
        (
            {0: 0.02, 1: 0.02, 2: 0.40, 3: 0.04},
            ["process 2 waits 40% of its time for data, others 2%"],
        ),
    ],
)
def test_the_process_that_starves_is_named(waits, said):
    assert log.straggler(waits) == said


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
