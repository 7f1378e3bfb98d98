"""What a run computes does not depend on how many processes its devices are in, nor on a change."""

import json

import numpy as np
import pytest

from configs import quickstart
from jaxvid import load, main, param_rules
from tests.multihost import runs
from tests.multihost.__main__ import LAYOUTS, differences, not_noise, train_and_test


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_are_one_run(cache, tmp_path):
    """Two of four devices and this one of eight, which also reads what the two have written."""
    quick = {
        "data.train.train": 33,
        "data.val.train": 33,
        "data.train.val": 11,
        "data.val.val": 11,
        "model.dropout": 0.0,
        "accumulate": 1,
        "epochs": 2.0,
        "eval_every": 0.0,
        "ema": 0.0,
    }
    flags = [*runs.CONFIG, *(f"--config.{k}={v}" for k, v in quick.items())]
    two, one = tmp_path / "two", tmp_path / "one"
    processes = runs.start(2, 4, [f"--workdir={two}", *flags])
    config = quickstart.get_config()
    config.update_from_flattened_dict(runs.SETTINGS | quick)
    main.train(config, one)
    done = runs.wait(processes, 100)
    assert [d.code for d in done] == [0, 0], done[0].out + done[1].out
    assert "step 4/4" in done[0].out and "step" not in done[1].out

    assert list(runs.losses(one)) == [1, 2, 3, 4]
    assert runs.losses(two) == pytest.approx(runs.losses(one), abs=1e-6)
    assert runs.losses(two, "val") == pytest.approx(runs.losses(one, "val"), abs=1e-6)
    assert runs.evaluations(two) == runs.evaluations(one)
    assert [v["val/n"] for v in runs.evaluations(two).values()] == [11]
    want = runs.parameters(one, 4)
    found = param_rules.flatten({"params": load(two).variables["params"]})
    assert found.keys() == want.keys()
    assert max(np.abs(np.asarray(found[k]) - want[k]).max() for k in want) < 1e-6


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of one process with four devices."""
    workdir = tmp_path_factory.mktemp("first")
    train_and_test(1, 4, workdir, LAYOUTS["replicated"])
    return workdir


@pytest.mark.multihost
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("processes,devices", [(2, 2), (4, 1)])
def test_many_processes_compute_the_same(layout, processes, devices, first, tmp_path):
    train_and_test(processes, devices, tmp_path, LAYOUTS[layout])
    found = differences(first, tmp_path)
    assert not not_noise(found), found


@pytest.mark.multihost
@pytest.mark.parametrize(
    "chain",
    [
        [(1, 8, "fsdp"), (1, 1, "replicated"), (2, 4, "tensor")],
        [(2, 4, "fsdp"), (4, 2, "tensor4"), (1, 1, "fsdp")],
    ],
)
def test_a_checkpoint_goes_on_on_any_layout(chain, first, tmp_path):
    """Killed after steps 4 and 8, it goes on elsewhere, with the samples it would have had."""
    workdir = tmp_path / "0"
    for i, (processes, devices, layout) in enumerate(chain):
        if i:
            workdir = runs.cut(workdir, tmp_path / str(i), 4 * i)
        done = runs.run(processes, devices, workdir, *runs.CONFIG, *LAYOUTS[layout])
        assert not i or f"resumed from step {4 * i}" in done[0].out
    runs.run(1, 1, workdir, "--mode=eval")
    found = differences(first, workdir)
    assert not not_noise(found), found


@pytest.mark.multihost
def test_one_sample_on_eight_devices_counts_once(first, tmp_path):
    """No process leaves early, whatever it has to do."""
    config = [f"--config.data.{split}.val=1" for split in ("train", "val")]
    done = runs.run(
        2,
        4,
        tmp_path,
        "--mode=eval",
        *runs.CONFIG,
        *config,
        "--config.data.checks=()",
        f"--checkpoint={first}",
    )
    assert "1 of 1 videos" in done[0].out
    manifest = json.loads((tmp_path / "eval" / "manifest.json").read_text())
    assert (manifest["videos"], manifest["evaluated"]) == (1, 1)
    assert runs.predictions(tmp_path)["score"].shape == (1, 8)
