"""Flags and Python change keys of a config by the same rules."""

import pytest

from configs import quickstart
from jaxvid import cli
from jaxvid.config import flat, loading, overrides, plain
from jaxvid.errors import UserError


def changed(name: str, *arguments: str) -> dict:
    """The checked config of a command line."""
    return plain(cli.config(name, arguments))


@pytest.mark.parametrize("name", ["finetune:mini", "fast_rcnn_own", "swin_k400"])
@pytest.mark.parametrize("text,value", [("10", 10), ("None", None)])
def test_a_key_that_may_be_none_takes_a_number_and_none(name, text, value):
    config = changed(name, f"--config.data.num_classes={text}")
    assert config["data"]["num_classes"] == value


@pytest.mark.parametrize("text", ["0", "many", "1.5", "(3,)"])
def test_a_key_that_may_be_none_takes_nothing_else(text):
    message = r"config\.data\.num_classes=.*: it must be an integer of at least 1, or None"
    with pytest.raises(UserError, match=message):
        changed("finetune:mini", f"--config.data.num_classes={text}")


@pytest.mark.parametrize(
    "arguments,key,value",
    [
        (["--config.batch=8"], "batch", 8),
        (["--config.batch", "8"], "batch", 8),
        (["-config.batch=8"], "batch", 8),
        (["--config.batch=4", "--config.batch=8"], "batch", 8),
        (["--config.epochs=7"], "epochs", 7.0),
        (["--config.deterministic"], "deterministic", True),
        (["--config.deterministic=true"], "deterministic", True),
        (["--noconfig.deterministic"], "deterministic", False),
        (["--config.best="], "best", ""),
        (["--config.init.weights=a=b"], "init.weights", "a=b"),
        (["--config.init.skip=('a', 'b')"], "init.skip", ["a", "b"]),
        (["--config.writers=jsonl", "--config.writers=wandb"], "writers", ["jsonl", "wandb"]),
        (["--config.writers", "jsonl"], "writers", ["jsonl"]),
    ],
)
def test_a_flag_is_written_in_several_ways(arguments, key, value):
    found = changed("quickstart", *arguments)
    assert (flat(found) | found)[key] == value


@pytest.mark.parametrize(
    "section,inside,changes",
    [
        (
            "model={'name': 'tsm'}",
            "model.variant=r50",
            {"model.variant": "r50", "model.name": "tsm"},
        ),
        ("optim={'name': 'sgd'}", "optim.lr=1", {"optim.lr": 1.0, "optim.name": "sgd"}),
        ("loader.workers=3", "loader={}", {"loader.workers": 3}),
        (
            "data.recipe={'name': 'clip', 'stride': 2}",
            "data.recipe.frames=4",
            {"data.recipe.frames": 4, "data.recipe.stride": 2},
        ),
        ("task={'name': 'recognition'}", "task.augment.flip=0.1", {"task.augment.flip": 0.1}),
        ("data.train={'name': 'video_list'}", "data.train.file=a", {"data.train.file": "a"}),
    ],
)
def test_a_section_is_set_before_the_keys_inside_it(section, inside, changes):
    for both in ([section, inside], [inside, section]):
        config = loading.load("tsn_k400")
        overrides.set_flags(config, [f"--config.{flag}" for flag in both])
        found = flat(plain(config))
        assert {key: found[key] for key in changes} == changes


def test_a_key_inside_a_new_section_is_checked():
    flags = ["--config.data.recipe={'name': 'clip'}", "--config.data.recipe.frames=4"]
    with pytest.raises(UserError, match=r"config\.data\.recipe\.stride is missing"):
        changed("tsn_k400", *flags)
    with pytest.raises(UserError, match=r"config\.data\.recipe\.stride='x': it must be an integer"):
        changed("tsn_k400", *flags, "--config.data.recipe.stride=x")
    with pytest.raises(UserError, match=r'no config key "model\.segments"'):
        changed("tsn_k400", "--config.model={'name': 'c3d'}", "--config.model.segments=8")
    config = loading.load("tsn_k400")
    overrides.set_values(config, {"optim.lr": 2.0, "optim": {"name": "adamw"}})
    assert config.optim.to_dict() == {"name": "adamw", "lr": 2.0}


@pytest.mark.parametrize(
    "name,arguments,message",
    [
        ("quickstart", ["--config.nope=1"], 'no config key "nope". Known: accumulate'),
        ("quickstart", ["--config.modle.name=a"], 'no config key "modle". Did you mean "model"'),
        ("quickstart", ["--config.batch"], "--config.batch needs a value: it must be an integer"),
        ("quickstart", ["--config.batch=x"], "config.batch='x': it must be an integer"),
        ("quickstart", ["--config.model=swin"], "config.model is not one value; set its keys"),
        ("quickstart", ["--config.batch=1", "x"], 'unexpected argument "x"'),
        (
            "fast_rcnn_own",
            ["--config.model.backbone=swin"],
            "config.model.backbone is not one value; .* --config.model.backbone.name",
        ),
        (
            "fast_rcnn_own",
            ["--config.model.name=swin"],
            "no config key \"model.backbone\".* config.model.name is 'swin'",
        ),
        (
            "quickstart",
            ["--config.task.name=detection"],
            r"no config key \"task\..* config.task.name is 'detection'",
        ),
    ],
)
def test_a_wrong_flag_names_the_key(name, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        changed(name, *arguments)
    assert "\n" not in str(error.value)


def test_all_former_keys_are_listed_with_the_given_values():
    with pytest.raises(UserError) as error:
        changed(
            "quickstart",
            *("--config.task.flip=0.25", "--config.task.multi_label", "--config.batch=8"),
            *("--config.data.recipe.uniform=True", "--config.data.recipe.exact", "True"),
        )
    assert str(error.value).splitlines() == [
        "keys of an earlier version:",
        "  --config.task.flip=0.25 is now --config.task.augment.flip=0.25",
        "  --config.task.multi_label=True is now --config.task.name='multi_label'",
        "  --config.data.recipe.uniform=True is now --config.data.recipe.sampler=('uniform', True)",
        "  --config.data.recipe.exact=True is now --config.data.recipe.sampler=('uniform', True)",
    ]


@pytest.mark.parametrize("text,value", [("dots", "dots"), ("True", True), ("false", False)])
def test_a_key_may_take_values_of_several_types(text, value):
    assert changed("timesformer_k400", f"--config.model.remat={text}")["model"]["remat"] == value
    config = loading.load("timesformer_k400")
    overrides.set_values(config, {"model.remat": value})
    assert config.model.remat == value
    with pytest.raises(UserError, match=r'remat=\'dot\': .* or "dots"\. Did you mean "dots"'):
        changed("timesformer_k400", "--config.model.remat=dot")
    with pytest.raises(UserError, match=r"remat='dots': it must be True or False"):
        changed("tsn_k400", "--config.model.remat=dots")


def test_values_of_python_may_have_the_prefix_of_flags():
    config = loading.load("quickstart")
    keys = overrides.set_values(config, {"config.optim.lr": 1, "data.num_classes": 4})
    assert keys == ["optim.lr", "data.num_classes"]
    assert (config.optim.lr, config.data.num_classes) == (1.0, 4)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"config.lr": 1.0}, 'no config key "lr"'),
        ({"seed": "x"}, "config.seed='x': it must be an integer"),
        ({"model": "swin"}, "config.model is not one value; set its keys"),
        ({"task.mixup": 0.5}, "^config.task.mixup=0.5 is now config.task.augment.mixup=0.5"),
    ],
)
def test_a_wrong_value_of_python_names_the_key(changes, message):
    with pytest.raises(UserError, match=message):
        overrides.set_values(quickstart.get_config(), changes)
