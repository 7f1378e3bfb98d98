"""Keys of earlier versions: what to write now, and migration of the configs of checkpoints."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxvid.errors import UserError, problems

AUGMENT = ("flip", "flip_labels", "flow", "crop", "color", "erasing", "mixup", "cutmix")
HEATMAP = ("size", "sigma", "limbs")
# Former key -> the key that has its value now.
RENAMED = {
    **{f"task.{key}": f"task.augment.{key}" for key in AUGMENT},
    **{f"task.heatmap_{key}": f"task.heatmap.{key}" for key in HEATMAP},
    "task.multi_label": "task.name",
    "data.recipe.uniform": "data.recipe.sampler",
    "data.recipe.exact": "data.recipe.sampler",
    "data.recipe.dense": "data.recipe.sampler",
    "data.recipe.every": "data.recipe.sampler",
    "data.recipe.target_fps": "data.recipe.sampler",
    "data.recipe.area": "data.recipe.crop",
    "data.recipe.places": "data.recipe.crop",
    "data.recipe.scales": "data.recipe.crop",
    "data.recipe.scale_gap": "data.recipe.crop",
    "data.recipe.randaugment": "data.recipe.policy",
    "data.recipe.color_jitter": "data.recipe.policy",
    "data.recipe.grayscale": "data.recipe.policy",
}
# Arguments of the former crop "scales", and what they were by default.
SCALES = {"places": 5, "scales": (1.0, 0.875, 0.75, 0.66), "scale_gap": 1}
AREA = (0.08, 1.0)
# Keys of a detector that are not those of its backbone.
DETECTION_HEAD = ("background", "pool", "context", "mlp", "dropout")


def check(given: Mapping[str, Any], known: Iterable[str], where: str = "config.") -> None:
    """Check that a config has no keys of earlier versions.

    Args:
      given: keys with dots and their values.
      known: keys that the config has today. A former name of one task can be a name of another.
      where: what is written before a key: "config.", or "--config." for flags.

    Raises:
      UserError: there are such keys; lists all of them, and the keys and values to write instead.
    """
    former = {key: given[key] for key in RENAMED if key in given.keys() - set(known)}
    if former:
        lines = [f"{where}{key}={former[key]!r} is now {now}" for key, now in today(former, where)]
        raise problems("keys of an earlier version:", lines) if lines[1:] else UserError(lines[0])


def today(former: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    """Return former keys, each with today's key and value."""
    recipe: dict[str, Any] = {"name": "clip"}
    if former.keys() & {f"data.recipe.{key}" for key in SCALES}:
        recipe["crop"] = "scales"
    config: dict[str, Any] = {"task": {"name": "recognition"}, "data": {"recipe": recipe}}
    for key, value in former.items():
        part, _, name = key.rpartition(".")
        (recipe if part == "data.recipe" else config["task"])[name] = value
    found = []
    for key in former:
        value = migrate(config)
        for name in RENAMED[key].split("."):
            value = value[name]
        found.append((key, f"{where}{RENAMED[key]}={value!r}"))
    return found


def migrate(config: Mapping) -> dict[str, Any]:
    """Return the config of a checkpoint with today's keys; one that has them is the same.

    Args:
      config: with tuples for the lists of JSON.
    """
    found = dict(config)
    if "task" in found:
        found["task"] = _task(found["task"])
    recipe = found["data"].get("recipe") if "data" in found else None
    if recipe and recipe.get("name") in ("clip", "segments"):
        found["data"] = {**found["data"], "recipe": _recipe(recipe)}
    if "model" in found:
        found["model"] = _model(found["model"])
    return found


def _model(spec: Mapping) -> dict[str, Any]:
    """Return the spec of a model with today's keys: a detector's holds that of its backbone."""
    if spec.get("name") != "fast_rcnn" or "variant" not in spec:
        return dict(spec)
    head = {key: spec[key] for key in DETECTION_HEAD if key in spec}
    options = {k: v for k, v in spec.items() if k not in ("name", "variant", "backbone", *head)}
    family, _, size = spec["variant"].partition("_")
    if family == "test":  # "test" on SlowOnly, or "test_slowfast"
        family, size = size or "slowonly", "test"
    else:
        options = {"strides": (1, 2, 2, 1), **options}
    return {"name": "fast_rcnn", "backbone": dict(name=family, variant=size, **options), **head}


def _task(spec: Mapping) -> dict[str, Any]:
    """Return the spec of a task with today's keys."""
    task = dict(spec)
    if task.get("name") != "recognition":
        return task
    augment = {key: task.pop(key) for key in AUGMENT if key in task}
    heatmap = {key: task.pop(f"heatmap_{key}") for key in HEATMAP if f"heatmap_{key}" in task}
    task |= {"augment": augment} if augment else {}
    task |= {"heatmap": heatmap} if heatmap else {}
    if task.pop("multi_label", False):
        task |= {"name": "multi_label", "smoothing": 0.0}  # which had no effect on several labels
    elif "multi_label" in spec:
        task = {k: v for k, v in task.items() if k not in ("categories", "category_weights")}
    return task


def _recipe(spec: Mapping) -> dict[str, Any]:
    """Return the spec of the recipe clip or segments with today's keys."""
    recipe = {k: v for k, v in spec.items() if f"data.recipe.{k}" not in RENAMED}
    former = {k: v for k, v in spec.items() if k not in recipe}
    if former.keys() & {"uniform", "exact", "dense", "every", "target_fps"}:
        recipe["sampler"] = _sampler(former, recipe["name"])
    if former.keys() & {"area", *SCALES} or isinstance(recipe.get("crop"), str):
        crop = recipe.get("crop", "resized" if recipe["name"] == "clip" else "scales")
        recipe["crop"] = _crop(former, crop)
    if former.keys() & {"randaugment", "color_jitter", "grayscale"}:
        recipe["policy"] = _policy(former, recipe.get("policy", ()))
    return recipe


def _sampler(former: Mapping, recipe: str) -> tuple:
    if former.get("uniform"):
        return ("uniform", True) if former.get("exact") else ("uniform",)
    if former.get("dense"):
        return ("dense",)
    if former.get("every"):
        return ("every", former["every"])
    if former.get("target_fps"):
        return ("clip", former["target_fps"])
    return ("clip",) if recipe == "clip" else ("segments",)


def _crop(former: Mapping, name: str) -> tuple:
    if name == "resized":
        arguments, usual = [former.get("area", AREA)], [AREA]
    elif name == "scales":
        arguments, usual = [former.get(k, v) for k, v in SCALES.items()], [*SCALES.values()]
    else:
        arguments, usual = [], []
    while arguments and arguments[-1] == usual[len(arguments) - 1]:  # defaults are left out
        arguments.pop()
    return (name, *arguments)


def _policy(former: Mapping, policy: tuple) -> tuple:
    randaugment = _arguments(former.get("randaugment", ()))
    jitter = _arguments(former.get("color_jitter", ()))
    calls = [
        *([("randaugment", *randaugment)] if randaugment and randaugment[0] else []),
        *([policy] if policy else []),
        *([("color_jitter", *jitter)] if jitter else []),
        *([("grayscale", former["grayscale"])] if former.get("grayscale") else []),
    ]
    return calls[0] if len(calls) == 1 else tuple(calls)


def _arguments(value: Any) -> tuple:
    """Return a former value as arguments; the value of a flag may be any text or number."""
    if isinstance(value, tuple | list):
        return tuple(value)
    return (value,) if value else ()
