"""Comparison of a checkpoint with the run that uses it: classes, preprocessing and data.

A difference that would make results meaningless is an error. Harmless differences are logged.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from jaxvid import plug
from jaxvid.class_names import OTHER_NAMES
from jaxvid.config import changes, hashable
from jaxvid.errors import UserError, first

logger = logging.getLogger(__name__)

# Keys of data recipes that change only the augmentation of training.
AUGMENTATION = ("crop", "area", "policy", "policy_first", "repeats", "short_side_max", "amplify")
# Keys that only choose the views of a test, or their maximum number.
VIEWS = ("clips", "crops", "test_frames", "test_size", "test_short_side", "canvas", "average")
# Options of tasks that change the inputs of the model.
TASK_INPUTS = (
    "name", "keys", "mean", "std", "average", "multi_label", "heatmap",
)  # fmt: skip
# If a model was trained with other values of these keys, its results are meaningless.
DECISIVE = (
    "task.name", "task.keys", "task.mean", "task.std", "task.multi_label",
    "data.recipe.channels", "data.recipe.flow", "data.recipe.layout", "data.recipe.streams",
    "data.recipe.rate", "data.recipe.window", "data.recipe.hop", "data.recipe.bins",
    "data.recipe.fmin", "data.recipe.fmax",
)  # fmt: skip
LISTED = 3  # class names in one message


def classes(there: Sequence[str], here: Sequence[str]) -> str:
    """Return how two ordered lists of class names differ; "" if they agree.

    If one of them has numbers instead of names, only their lengths are compared. Spaces,
    underscores and case are ignored.
    """
    one, two = [[_simple(name) for name in names] for names in (there, here)]
    if len(one) == len(two) and (one == two or not (named(there) and named(here))):
        return ""
    found = [f"{len(one)} classes there, {len(two)} here"] if len(one) != len(two) else []
    if named(there) and named(here):
        for place, names, others in (("there", there, two), ("here", here, one)):
            if only := [f'"{name}"' for name in names if _simple(name) not in others]:
                found.append(f"only {place}: {', '.join(first(only, LISTED))}")
        moved = [
            f'class {i} is "{a}" there, "{b}" here'
            for i, (a, b) in enumerate(zip(there, here, strict=False))
            if _simple(a) != _simple(b)
        ]
        found += moved[:1]
    return "; ".join(found)


def places(there: Sequence[str], here: Sequence[str]) -> list[int]:
    """Return where the classes `here` are in the list `there`, by their names.

    Spaces, underscores and case are ignored. Kinetics-710 has other names for some classes.

    Raises:
      UserError: a class is not in the other list, or there are no names; the message lists them.
    """
    if not (named(there) and named(here)):
        raise UserError(
            "config.init.match_classes needs the class names of both the weights and the data, and"
            f" those of the {'data' if named(there) else 'weights'} are not known"
        )
    known = {_simple(name): i for i, name in enumerate(there)}
    found = [known.get(_simple(n), known.get(OTHER_NAMES.get(_simple(n), ""))) for n in here]
    if lost := [f'"{name}"' for name, place in zip(here, found, strict=True) if place is None]:
        raise UserError(
            f"config.init.match_classes: the weights have no class {', '.join(first(lost, LISTED))}"
        )
    return [place for place in found if place is not None]


def named(names: Sequence[str]) -> bool:
    """Return whether classes have names, and not only numbers."""
    first = int(names[0]) if names and names[0].isdecimal() else 0
    return list(names) != [str(i) for i in range(first, first + len(names))]


def preprocessing(there: Mapping, here: Mapping) -> dict[str, str]:
    """Return how the inputs of a model differ between two configs: {key: "8 there, 16 here"}.

    Defaults are filled in, and augmentation of training is left out. The result is empty if a
    config has no preprocessing, such as that of published weights of an image model.
    """
    one, two = seen(there), seen(here)
    if not one or not two:
        return {}
    keys = [key for key in one if key in two] + [
        key for key in DECISIVE if (key in one) != (key in two)
    ]
    return {
        key: f"{one.get(key)} there, {two.get(key)} here"
        for key in keys
        if one.get(key) != two.get(key)
    }


def seen(config: Mapping) -> dict[str, Any]:
    """Return the settings that decide the inputs of a model in evaluation, by config key."""
    recipe, task = config["data"]["recipe"], config["task"]
    if not recipe:
        return {}
    recipe = {
        f"data.recipe.{key}": value
        for key, value in plug.spec("data.recipes", **recipe).items()
        if key not in AUGMENTATION
    }
    task = {
        f"task.{key}": value
        for key, value in plug.spec("tasks", **task).items()
        if key in TASK_INPUTS
    }
    return {key: hashable(value) for key, value in (recipe | task).items()}


def resumed(where: Any, meta: Mapping, about: Mapping):
    """Compare a checkpoint with the run that continues from it. Logs harmless differences.

    Args:
      where: the checkpoint, for messages.
      meta: meta of the checkpoint.
      about: the same data for the run that continues.

    Raises:
      UserError: the classes, the config or the training videos differ; the message says how.
    """
    other = "use another --workdir, where --config.init.weights=WORKDIR starts from this run"
    names = about.get("names", ())
    if found := classes(meta.get("names", names), names):
        raise UserError(f"{where}: trained on other classes: {found}. Bring them back, or {other}")
    config = about.get("config", {})
    if lines := changes(meta.get("config", config), config):
        raise UserError("\n  ".join([f"{where}: trained with another config; {other}", *lines]))
    for split, text in data(meta.get("data", {}), about.get("data", {})).items():
        if split == "train":
            raise UserError(
                f"{where}: trained on other videos: {text}. Bring them back, or {other}"
            )
        step = meta.get("step", 0)
        logger.info(f"{split}: {text}; metrics before and after step {step} do not compare")


def evaluated(where: Any, there: Mapping, here: Mapping):
    """Compare the config of a checkpoint with the config of its evaluation. Logs differences.

    Args:
      where: the checkpoint, for messages.
      there: config of the checkpoint.
      here: config of the evaluation.

    Raises:
      UserError: the inputs differ from those that the model was trained on.
    """
    found = preprocessing(there, here)
    if lines := [f"config.{key}: {text}" for key, text in found.items() if key in DECISIVE]:
        hint = "without --config, or without these keys, the checkpoint's own are used"
        raise UserError("\n  ".join([f"{where}: trained on other inputs; {hint}", *lines]))
    for key, text in found.items():
        logger.info(f"not as the checkpoint was trained: config.{key}: {text}")


def data(there: Mapping, here: Mapping) -> dict[str, str]:
    """Return {split: how its videos differ} for two results of `data.identity`."""
    found = {}
    for split in (split for split in there if split in here and there[split] != here[split]):
        one, two = there[split], here[split]
        if one["set"] == two["set"]:
            found[split] = "the same videos and labels in another order"
        else:
            sizes = (f"{x['videos']:,} videos (sha256 {x['set']})" for x in (one, two))
            found[split] = "{} there, {} here".format(*sizes)
    return found


def _simple(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
