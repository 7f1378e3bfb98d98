"""A workdir belongs to one config, from its first checkpoint on."""

import json

import pytest

from configs import quickstart
from jaxvid.config import claim, flat, hashable, plain
from jaxvid.errors import UserError


def changed(**keys):
    config = quickstart.get_config()
    for key, value in keys.items():
        config[key] = value
    return plain(config)


def test_a_run_that_came_to_nothing_leaves_its_workdir_free(tmp_path):
    claim(tmp_path, changed(batch=8))
    claim(tmp_path, changed(batch=16))
    assert json.loads((tmp_path / "config.json").read_text())["batch"] == 16


def test_a_run_with_checkpoints_keeps_its_workdir(tmp_path):
    claim(tmp_path, changed(batch=8))
    (tmp_path / "checkpoints" / "00000001").mkdir(parents=True)
    claim(tmp_path, changed(batch=8, log_every=3, sharding="fsdp"))
    with pytest.raises(UserError, match=r"config\.batch: 8 there, 16 now"):
        claim(tmp_path, changed(batch=16))


def test_configs_survive_json():
    config = plain(quickstart.get_config())
    assert flat(config)["data.recipe.size"] == 32
    assert hashable({"a": [1, [2, 3]]}) == {"a": (1, (2, 3))}
