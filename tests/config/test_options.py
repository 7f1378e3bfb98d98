"""Options of a model that a config file does not spell: flags reach them, and runs keep them."""

import json
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs import quickstart, slowfast_k400, swin_k400
from jaxvid import api, cli, main, plug
from jaxvid.config import flat, hashable, options, plain, schema
from jaxvid.distributed import start
from jaxvid.errors import UserError
from tests.models import test_contract as contract


def parsed(name: str, *arguments: str) -> ConfigDict:
    """The config of a command line, as a run gets it."""
    return cli.config(name, arguments)


@pytest.mark.parametrize(
    "name,flag,key,value",
    [
        ("swin_k400:tiny", "--config.model.window=(16,7,7)", "window", (16, 7, 7)),
        ("tsm_k400", "--config.model.non_local=gaussian", "non_local", "gaussian"),
        ("stgcn_ntu60", "--config.model.tcn_dropout=0.1", "tcn_dropout", 0.1),
        ("slowfast_k400", "--config.model.beta=4", "beta", 4),
        ("bmn_own", "--config.model.ratio=1", "ratio", 1.0),
        ("tsm_k400", "--config.model.zero_init", "zero_init", True),
        ("slowonly_k400", "--noconfig.model.zero_init", "zero_init", False),
    ],
)
def test_a_flag_sets_an_option_that_the_file_does_not_spell(name, flag, key, value):
    model = parsed(name, flag).model
    assert model[key] == value
    assert getattr(plug.load("models", model, num_classes=3).backbone, key, value) == value


@pytest.mark.parametrize(
    "flag,message",
    [
        ("--config.model.windwo=(8,7,7)", 'no config key "model.windwo". Did you mean "window"'),
        ("--config.model.window=8.5", r"config\.model\.window=.*: it must be a tuple of 3"),
        ("--config.model.init_std=-1.0", r"config\.model\.init_std=-1\.0: .* of at least 0"),
    ],
)
def test_such_a_flag_is_checked(flag, message):
    with pytest.raises(UserError, match=message):
        parsed("swin_k400:tiny", flag)


@pytest.mark.parametrize(
    "flag,key,value",
    [
        ("--config.optim.freeze=('backbone/conv1/.*',)", "optim.freeze", ("backbone/conv1/.*",)),
        ("--config.optim.unfreeze=(('.*',2.0),)", "optim.unfreeze", ((".*", 2.0),)),
        ("--config.optim.b1=0.8", "optim.b1", 0.8),
        ("--config.schedule.period=2.0", "schedule.period", 2.0),
    ],
)
def test_flags_reach_the_options_of_the_optimizer_and_the_schedule(flag, key, value):
    assert flat(parsed("quickstart", flag).to_dict())[key] == value
    with pytest.raises(UserError, match=r'no config key ".*"\. Did you mean "'):
        parsed("quickstart", flag.replace("=", "x=", 1))


@pytest.mark.parametrize(
    "flags", [["--config.model.backbone.name=swin"], ["--config.model.backbone.name", "swin"]]
)
def test_flags_reach_the_options_of_a_family_that_flags_choose(flags):
    more = ("--config.model.backbone.variant=test", "--config.model.backbone.window=(2,2,2)")
    backbone = parsed("fast_rcnn_own:mini", *flags, *more).model.backbone
    assert (backbone.name, backbone.window) == ("swin", (2, 2, 2))
    assert plug.load("models", dict(backbone), "backbone").window == (2, 2, 2)


@pytest.mark.parametrize("config", ["clip4clip_msrvtt", "actionclip_own:mini"])
def test_flags_reach_the_options_of_a_text_tower(config):
    """In a section that the config file does not have; what is 0 is that of the variant."""
    parts = parsed(config, "--config.model.text.depth=3", "--config.model.text.length=9")
    assert dict(parts.model.text) == dict(width=0, depth=3, heads=0, vocabulary=0, length=9)
    schema.check(parts)
    tower = plug.load("models", parts.model).text
    plain = plug.load("models", parsed(config).model).text
    assert plain.depth > 0
    assert tower == plain.clone(depth=3, length=9)


def test_the_resolved_config_has_all_options():
    config = parsed("swin_k400:tiny", "--config.model.variant=base")
    assert config.model.depths == (2, 2, 18, 2)  # of the variant that was chosen last
    assert config.model.window == (8, 7, 7)
    schema.check(config)
    assert json.loads(json.dumps(plain(config))) == plain(config)
    assert options.completed(config.to_dict()) == config.to_dict()


def test_python_reaches_them_too(monkeypatch, tmp_path):
    monkeypatch.setattr(main, "train", lambda config, workdir: config)
    config: Any = api.train("swin_k400:tiny", tmp_path, {"model.window": (16, 7, 7)})
    assert config.model.window == (16, 7, 7)
    with pytest.raises(UserError, match=r'no config key "model\.windwo"'):
        api.train("swin_k400:tiny", tmp_path, {"model.windwo": (16, 7, 7)})


def test_another_variant_keeps_what_was_chosen():
    config = slowfast_k400.get_config("r50_8x8")  # alpha 4 and fusion 7
    options.complete(config)
    options.change(config, {"model.variant": "r101", "batch": 8})
    assert (config.model.depths, config.model.alpha, config.batch) == ((3, 4, 23, 3), 4, 8)


def test_options_of_a_spec_inside_are_reached_and_follow_their_variant():
    flag = "--config.model.backbone.zero_init=False"
    config = parsed("slowonly_ava21:r50_8x8_nl", flag)
    assert not config.model.backbone.zero_init
    assert config.model.backbone.depths == (3, 4, 6, 3)
    options.change(config, {"model.backbone.variant": "r101"})
    backbone = config.model.backbone
    assert (backbone.depths, backbone.zero_init) == ((3, 4, 23, 3), False)
    assert (backbone.non_local, backbone.strides) == ("embedded_gaussian", (1, 2, 2, 1))
    outside = 'no config key "model.zero_init". Did you mean "model.backbone.zero_init"'
    with pytest.raises(UserError, match=outside):
        parsed("slowonly_ava21", "--config.model.zero_init=False")
    inside = 'no config key "model.backbone.zero_inti". Did you mean "zero_init"'
    with pytest.raises(UserError, match=inside):
        parsed("slowonly_ava21", "--config.model.backbone.zero_inti=False")


@pytest.mark.parametrize(
    "config",
    [dict(batch=3), dict(model=dict(variant="tiny")), dict(model=dict(name="swim"))],
    ids=str,
)
def test_what_this_version_does_not_know_stays_as_it_is(config):
    assert options.completed(config) == config


def test_a_run_of_a_version_that_did_not_spell_them_goes_on(tmp_path):
    before = quickstart.get_config()
    start.claim_workdir(tmp_path, plain(before), timeout=1)
    (tmp_path / "checkpoints" / "00000001").mkdir(parents=True)
    now = quickstart.get_config()
    options.complete(now)
    start.claim_workdir(tmp_path, plain(now), timeout=1)
    with now.unlocked():
        now.model.window = (2, 2, 2)
    with pytest.raises(UserError, match=r"config\.model\.window: \(4, 4, 4\) there, \(2, 2, 2\)"):
        start.claim_workdir(tmp_path, plain(now), timeout=1)


def test_every_variant_of_every_family_can_be_spelled():
    for family in plug.names("models"):
        for variant in plug.module("models", family).VARIANTS:
            given = contract.spec(family, variant)
            spec = plug.spec("models", **given)
            assert hashable(json.loads(json.dumps(spec))) == spec
            net = plug.load("models", ConfigDict(spec), num_classes=3)
            assert net == plug.load("models", given, num_classes=3)


def test_the_shipped_configs_are_not_changed_by_it():
    config = swin_k400.get_config("tiny")
    options.completed(config.to_dict())
    assert "window" not in config.model


@pytest.mark.parametrize("name", ["tsn_k400", "tsn_k400:densenet161_u3", "tsm_k400"])
def test_flags_put_a_model_on_another_backbone(name):
    flags = ["--config.model.backbone.name=mobileone", "--config.model.backbone.variant=s0"]
    config = parsed(name, *flags, "--config.model.backbone.bn_frozen=True")
    assert config.model.dropout == parsed(name).model.dropout
    net = plug.load("models", config.model, num_classes=3).backbone
    assert (type(net).__name__, net.bn_frozen) == ("MobileOne", True)


@pytest.mark.parametrize("key, value", [("manifest", "m.jsonl"), ("weights", "w.txt")])
def test_flags_reach_the_options_of_a_source(key, value):
    assert parsed("slowonly_k400", f"--config.data.train.{key}={value}").data.train[key] == value
