"""Flags and Python change keys of a config by the same rules."""

import pytest

from configs import quickstart
from jaxvid import cli
from jaxvid.config import loading, overrides, plain
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
        (["--config.init.weights=a=b"], "init", {"weights": "a=b", "skip": []}),
        (["--config.init.skip=('a', 'b')"], "init", {"weights": "", "skip": ["a", "b"]}),
        (["--config.writers=jsonl", "--config.writers=wandb"], "writers", ["jsonl", "wandb"]),
        (["--config.writers", "jsonl"], "writers", ["jsonl"]),
    ],
)
def test_a_flag_is_written_in_several_ways(arguments, key, value):
    assert changed("quickstart", *arguments)[key] == value


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
