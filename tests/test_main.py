"""What a run sets before JAX starts, and where it may write."""

import os

import pytest

from configs import finetune, quickstart
from jaxvid import files, main
from jaxvid.errors import UserError
from jaxvid.weights import resolve


@pytest.mark.parametrize("wanted", [False, True])
def test_deterministic_runs_tell_xla_before_it_starts(wanted, monkeypatch, tmp_path):
    config = quickstart.get_config()
    config.deterministic = wanted
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    monkeypatch.setattr(main.cli, "config", lambda *_, **__: config)
    monkeypatch.setattr(main, "MODE", type("Flag", (), {"value": "train"}))
    monkeypatch.setattr(main, "WORKDIR", type("Flag", (), {"value": str(tmp_path)}))
    monkeypatch.setattr(main, "CONFIG", type("Flag", (), {"value": "quickstart"}))
    monkeypatch.setattr(main, "CHECKPOINT", type("Flag", (), {"value": None}))
    monkeypatch.setattr(main, "START_TIMEOUT", type("Flag", (), {"value": 1.0}))
    seen = []
    monkeypatch.setattr(main, "train", lambda *_: seen.append(os.environ["XLA_FLAGS"]))
    main.main([])
    flag = " --xla_gpu_deterministic_ops=true" if wanted else ""
    assert seen == [f"--xla_force_host_platform_device_count=8{flag}"]


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    """Shells leave it in --workdir=~/run, and a folder of that name is not what was meant."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(main.cli, "config", lambda *_, **__: quickstart.get_config())
    monkeypatch.setattr(main, "MODE", type("Flag", (), {"value": "train"}))
    monkeypatch.setattr(main, "WORKDIR", type("Flag", (), {"value": "~/run"}))
    monkeypatch.setattr(main, "CONFIG", type("Flag", (), {"value": "quickstart"}))
    monkeypatch.setattr(main, "CHECKPOINT", type("Flag", (), {"value": None}))
    monkeypatch.setattr(main, "START_TIMEOUT", type("Flag", (), {"value": 1.0}))
    seen = []
    monkeypatch.setattr(main, "train", lambda config, workdir, _: seen.append(workdir))
    main.main([])
    assert seen == [tmp_path / "run"]
    (tmp_path / "w.pth").write_bytes(b"0")
    assert resolve.locate("~/w.pth").source == tmp_path / "w.pth"


def test_a_workdir_that_does_not_do_is_refused_before_the_data_are_read(tmp_path):
    config = quickstart.get_config()
    config.data.root = str(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file: cannot write there .* in the way of this folder"):
        main.train(config, tmp_path / "file")
    with (
        files.hold(tmp_path / "run", fix="wait"),
        pytest.raises(UserError, match=f"run is in use by process {os.getpid()} .*use another --w"),
    ):
        main.train(config, tmp_path / "run")
    with pytest.raises(UserError, match="no such folder"):  # of the data
        main.train(config, tmp_path / "run")


def test_one_class_is_refused(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / "clips" / "fall").mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / "fall" / f"{name}.mp4").touch()
    config = finetune.get_config("mini")
    config.init.weights = ""
    config.data.root = str(tmp_path / "clips")
    with pytest.raises(
        UserError, match=r'clips: with one class \("fall"\) there is nothing to learn'
    ):
        main.train(config, tmp_path / "run")


def test_class_balance_counts_the_training_set(cache):
    config = quickstart.get_config()
    clips = dict(name="motion", train=16, val=8, seed=0)
    config.data.train, config.data.val = clips, clips
    config.task.class_balance = 0.9
    task = main.build(config).task
    assert task.class_counts == config.task.class_counts == (2,) * 8
