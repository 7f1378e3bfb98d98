"""A workdir belongs to one config, from its first checkpoint on."""

import json
from typing import Any

import pytest

from configs import quickstart
from jaxvid.config import flat, hashable, plain
from jaxvid.distributed import start
from jaxvid.errors import UserError


def changed(**keys):
    config = quickstart.get_config()
    for key, value in keys.items():
        config[key] = value
    return plain(config)


def test_a_run_that_came_to_nothing_leaves_its_workdir_free(tmp_path):
    start.claim_workdir(tmp_path, changed(batch=8), timeout=1)
    start.claim_workdir(tmp_path, changed(batch=16), timeout=1)
    assert json.loads((tmp_path / "config.json").read_text())["batch"] == 16


def test_a_run_with_checkpoints_keeps_its_workdir(tmp_path):
    start.claim_workdir(tmp_path, changed(batch=8), timeout=1)
    (tmp_path / "checkpoints" / "00000001").mkdir(parents=True)
    start.claim_workdir(tmp_path, changed(batch=8, log_every=3, sharding="fsdp"), timeout=1)
    with pytest.raises(UserError, match=r"config\.batch: 8 there, 16 now"):
        start.claim_workdir(tmp_path, changed(batch=16), timeout=1)


@pytest.mark.parametrize(
    "key,value,free",
    [
        ("eval_batch", 2, True),
        ("eval_every", 3.0, True),
        ("loader.workers", 3, True),
        ("loader.on_error", "skip", True),
        ("data.root", "elsewhere", True),
        ("data.checks", (), True),
        ("data.val.manifest", "manifest.jsonl", True),
        ("data.test", dict(name="user_clips"), True),
        ("loader.balance", 0.5, False),
        ("data.val.name", "user_clips", False),
        ("best", "", False),
        ("seed", 1, False),
    ],
)
def test_a_run_goes_on_where_nothing_changes_what_it_learns(tmp_path, key, value, free):
    start.claim_workdir(tmp_path, changed(), timeout=1)
    (tmp_path / "checkpoints" / "00000001").mkdir(parents=True)
    config = changed()
    *folders, last = key.split(".")
    part: Any = config
    for folder in folders:
        part = part[folder]
    part[last] = value
    if free:
        start.claim_workdir(tmp_path, config, timeout=1)
    else:
        with pytest.raises(UserError, match=key):
            start.claim_workdir(tmp_path, config, timeout=1)


@pytest.mark.parametrize("text", ["", '{"batch":', "[]", "null"])
def test_a_damaged_config_is_named(tmp_path, text):
    (tmp_path / "checkpoints" / "00000001").mkdir(parents=True)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json: .* settings.*; remove it"):
        start.claim_workdir(tmp_path, changed(), timeout=1)


def test_configs_survive_json():
    config = plain(quickstart.get_config())
    assert flat(config)["data.recipe.size"] == 32
    assert hashable({"a": [1, [2, 3]]}) == {"a": (1, (2, 3))}
