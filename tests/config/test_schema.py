"""Configs are checked before data are read: unknown keys, missing ones, types and ranges."""

import typing

import pytest
from ml_collections import ConfigDict

from configs import base, quickstart, slowonly_k400, slowonly_multisports, swin_k710
from jaxvid import main, plug, writers
from jaxvid.config import loading, schema
from jaxvid.config.keys import keys_of
from jaxvid.config.settings import Loader, Settings
from jaxvid.config.values import describe
from jaxvid.data import dataset, source_checks
from jaxvid.data.loading import loader
from jaxvid.distributed import mesh
from jaxvid.errors import UserError
from jaxvid.train import nonfinite, plan
from tests.test_architecture import CONFIGS

WRONG = {
    "dtype": ["fp16", "config.dtype='fp16': it must be .* Did you mean \"float16\""],
    "batch": [0, "config.batch=0: it must be an integer of at least 1. The nearest is 1."],
    "eval_batch": [-1, "of at least 0"],
    "log_every": [-1, "of at least 0"],
    "epochs": [0.0, "config.epochs=0.0: it must be a number above 0"],
    "accumulate": [0, "of at least 1"],
    "seed": [-1, "from 0 to 4294967295"],
    "ema": [1.0, "of at least 0 and below 1"],
    "watchdog": [float("nan"), "of at least 0"],
    "writers": [("jsonl", "tensorbord"), 'Did you mean "tensorboard"'],
    "keep": [0, "of at least 1"],
    "best": ["nonsense", 'config.best="nonsense": it must be a metric .* Known: .*val/top1'],
    "nonfinite": ["skpi", 'Did you mean "skip"'],
    "sharding": ["fspd", 'Did you mean "fsdp"'],
    "offload": ["optimiser", 'Did you mean "optimizer"'],
    "mesh.model": [0, "of at least 1, or -1"],
    "loader.workers": [-5, "of at least -1. The nearest is -1"],
    "loader.balance": [2.0, "from 0 to 1. The nearest is 1"],
    "loader.on_error": ["ignore", '"replace", "skip" or "raise"'],
    "eval.views": [-1, "of at least 0"],
    "init.skip": [("a", 1), "a tuple, each item a text"],
    "data.num_classes": [0, "of at least 1, or None"],
    "data.checks": [("lables",), 'Did you mean "labels"'],
    "data.recipe.frames": [0, "of at least 1"],
    "data.recipe.sampler": [("clip", -1.0), "fps must be a number of at least 0. The nearest is 0"],
    "data.recipe.policy": [("augmix", "much"), "magnitude must be a number of at least 0"],
    "data.recipe.crops": [2, "it must be 1, 3 or 10. The nearest is 1"],
    "data.recipe.crop": [("sclaes",), 'Did you mean "scales"'],
    "data.train.train": [0, "of at least 1"],
    "data.train.name": ["motoin", 'Did you mean "motion"'],
    "model.name": ["swim", 'Did you mean "swin"'],
    "model.variant": ["tinny", 'Did you mean "tiny"'],
    "model.dropout": [1.5, "below 1. The default is 0.5"],
    "task.smoothing": [5.0, "config.task.smoothing=5.0: it must be a number"],
    "task.augment.flip_labels": [((1, 9),), "9 is outside 0..7"],
    "optim.lr": [-1.0, "of at least 0. The nearest is 0"],
    "optim.name": ["adamm", 'Did you mean "adam"'],
    "schedule.warmup": [-1.0, "of at least 0"],
    "schedule.name": ["cosin", 'Did you mean "cosine"'],
}


def changed(name, value):
    """The quickstart's config with another value, whatever its type, or with a new key."""
    config = quickstart.get_config().to_dict()
    *folders, last = name.split(".")
    tree = config
    for folder in folders:
        tree[folder] = dict(tree[folder])
        tree = tree[folder]
    tree[last] = value
    return ConfigDict(config)


@pytest.mark.parametrize("file,variant", CONFIGS)
def test_shipped_configs_pass(file, variant):
    schema.check(loading.load(f"{file}:{variant}" if variant else file))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_with_what_is_allowed(name):
    value, message = WRONG[name]
    with pytest.raises(UserError, match=message) as error:
        schema.check(changed(name, value))
    assert f"config.{name}" in str(error.value)
    assert "\n" not in str(error.value)


OF_SEVERAL_KEYS = ("best", "task.augment.flip_labels")


@pytest.mark.parametrize("name", [n for n in WRONG if n not in OF_SEVERAL_KEYS])
def test_a_wrong_type_is_refused(name):
    with pytest.raises(UserError, match=f"config.{name}"):
        schema.check(changed(name, object))


@pytest.mark.parametrize(
    "name,near",
    [
        ("epcohs", "epochs"),
        ("loader.worker", "workers"),
        ("modle", "model"),
        ("model.widht", "width"),
        ("data.namse", "names"),
        ("task.augment.mixp", "mixup"),
        ("task.augmnt", "augment"),
        ("data.recipe.strid", "stride"),
        ("data.train.sed", "seed"),
        ("optim.l", "lr"),
        ("schedule.warm_up", "warmup"),
        ("mesh.date", "data"),
        ("data.tset", "test"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(name, near):
    with pytest.raises(UserError, match=f'no config key "{name}". Did you mean "{near}"'):
        schema.check(changed(name, 3))


@pytest.mark.parametrize(
    "config,message",
    [
        ({}, "config.seed is missing; configs.base.config"),
        (base.config(), "config.model is missing"),
        (changed("loader", {}), "config.loader.workers is missing; configs.base.config"),
        (changed("loader", 3), "config.loader must be a dict, with keys such as loader.workers"),
        (changed("model", "swin"), "config.model='swin': it must be a dict"),
        (changed("model", {"variant": "tiny"}), "config.model.name is missing"),
        (changed("model", {"name": "swin"}), "config.model.variant is missing: Size of the model"),
        (changed("data.train", None), "config.data.train is missing"),
        (changed("data.test", 3), "config.data.test=3: it must be a dict"),
        (changed("data.recipe", {"name": "clip"}), "config.data.recipe.frames is missing"),
        (changed("batch", {"a": 1}), 'no config key "batch.a"'),
        (changed("accumulate", 3), "config.batch=16 must divide by config.accumulate=3"),
        (changed("data.recipe.size", 64), "a val crop of 64 pixels does not fit a short side"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(config, message):
    with pytest.raises(UserError, match=message):
        schema.check(config)


@pytest.mark.parametrize(
    "backbone,message",
    [
        (None, "config.model.backbone is missing: The family that computes the features"),
        ("swin", "config.model.backbone='swin': it must be a dict with a \"name\""),
        (dict(variant="r50"), "config.model.backbone.name is missing"),
        (dict(name="swim"), "config.model.backbone.name='swim': .* Did you mean \"swin\""),
        (dict(name="swin"), "config.model.backbone.variant is missing"),
        (dict(name="swin", variant="tinny"), 'Did you mean "tiny"'),
        (
            dict(name="swin", variant="tiny", widht=3),
            'key "model.backbone.widht". Did you .*"width"',
        ),
        (dict(name="swin", variant="tiny", dropout=0.5), 'no config key "model.backbone.dropout"'),
        (dict(name="fast_rcnn"), "model.backbone.name='fast_rcnn': it must be \"actionclip\", "),
    ],
)
def test_specs_inside_are_checked(backbone, message):
    config = slowonly_multisports.get_config().to_dict()
    del config["model"]["backbone"]
    config["model"] |= {} if backbone is None else dict(backbone=backbone)
    with pytest.raises(UserError, match=message):
        schema.check(config)


def test_parts_of_a_concat_have_names_of_ones_own():
    config = swin_k710.get_config().to_dict()
    config["data"]["train"]["k400"]["ratio"] = 2.0
    schema.check(config)
    config["data"]["train"]["k400"]["ratio"] = 0.0
    with pytest.raises(UserError, match=r"config\.data\.train\.k400\.ratio=0\.0: .* above 0"):
        schema.check(config)
    config["data"]["train"]["k400"] = {"name": "video_list"}
    with pytest.raises(UserError, match=r"config\.data\.train\.k400\.file is missing"):
        schema.check(config)


def test_a_test_split_is_checked_where_there_is_one():
    schema.check(changed("data.test", dict(name="motion")))
    with pytest.raises(UserError, match=r"config\.data\.test\.val=0"):
        schema.check(changed("data.test", dict(name="motion", val=0)))


def test_numbers_of_classes_that_only_the_data_know_are_no_error():
    config = changed("data.num_classes", None)
    config.task.augment.flip_labels = ((0, 2000),)
    schema.check(config)


def test_of_a_checkpoint_only_changed_keys_are_checked():
    """It may come from another version, or from the zoo, which has no data to train on."""
    config = changed("batch", 0).to_dict()
    del config["seed"], config["optim"], config["data"]["train"]
    schema.check(config, only=["data.root", "data.recipe.clips"])
    with pytest.raises(UserError, match=r"config\.batch=0"):
        schema.check(config, only=["batch"])
    config["data"]["recipe"]["crops"] = 2
    with pytest.raises(UserError, match=r"config\.data\.recipe\.crops=2"):
        schema.check(config, only=["data.recipe"])


def test_training_from_python_checks_before_it_reads_data(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "for_training", lambda _: pytest.fail("data were read"))
    with pytest.raises(UserError, match=r"config\.log_every=-1"):
        main.train(changed("log_every", -1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_choices_are_those_of_the_code():
    """Where a module has a table of its choices, too."""
    settings = keys_of(Settings)
    kinds = {k: set(typing.get_args(key.kind)) for k, key in settings.items()}
    assert kinds["sharding"] == set(mesh.LAYOUTS)
    assert kinds["offload"] == set(plan.OFFLOADS)
    assert kinds["nonfinite"] == set(nonfinite.POLICIES)
    assert set(typing.get_args(keys_of(Loader)["on_error"].kind)) == set(loader.POLICIES)
    assert set(typing.get_args(source_checks.Check)) == set(source_checks.CHECKS)
    (each, _) = typing.get_args(settings["writers"].kind)
    assert set(typing.get_args(each)) == set(plug.names("writers"))
    assert Settings().writers == writers.DEFAULT


def test_every_key_is_explained():
    config = quickstart.get_config().to_dict()
    for package, where in (
        ("models", "model"),
        ("tasks", "task"),
        ("data.recipes", "data.recipe"),
        ("data.sources", "data.train"),
    ):
        for name in plug.names(package):
            found = schema.named_keys(package, {"name": name}, where)
            assert [
                k for k, key in found.items() if not key.meaning or not describe(key.kind)
            ] == []
    assert [k for k, key in schema.keys(config).items() if not key.meaning] == []


def test_groups_of_batch_normalization_divide_the_batch():
    config = slowonly_k400.get_config()
    config.batch, config.accumulate = 32, 4
    config.model = dict(config.model, bn_groups=8)
    schema.check(config)
    config.accumulate = 8
    words = r"config.model.bn_groups=8 must divide the 4 samples that go through the model at once"
    with pytest.raises(UserError, match=words):
        schema.check(config)
