"""The keys that a config may have, and the check of a config before a run."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

from jaxvid import plug
from jaxvid.config import flat, former_keys, unknown_key
from jaxvid.config.keys import REQUIRED, Key, Keys, keys_of, prefixed, settable
from jaxvid.config.settings import Settings
from jaxvid.config.values import EXAMPLE_CLASSES, describe, mismatch, nested_spec
from jaxvid.errors import UserError, did_you_mean

SECTIONS = ("model", "task", "data", "optim", "schedule")
SPLITS = ("train", "val", "test")
NAMES = {
    "models": "Family of the model, a file of jaxvid/models.",
    "tasks": "Task, a file of jaxvid/tasks.",
    "data.recipes": "Recipe of transforms, a file of jaxvid/data/recipes.",
    "data.sources": "Source of annotations, a file of jaxvid/data/sources.",
}
BASE = "; configs.base.config() has the keys of every run with their defaults"


def check(config: Any, only: Iterable[str] | None = None) -> None:
    """Check the keys and values of a config (a ConfigDict or a mapping), before data are read.

    Args:
      only: names of the keys to check, where the others came with a checkpoint; None checks all of
        them, that none is missing and that they fit together.

    Raises:
      UserError: a key that nothing takes, one that is missing, or a value of a wrong type or out of
        range; names the key, the value, what is allowed and the nearest valid choice.
    """
    config = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    if only is None:
        _check_sections(config)
    known, given = keys(config), flat(config)
    former_keys.check(given, known)
    for name, value in given.items():
        if only is not None and not any(f"{name}.".startswith(f"{key}.") for key in only):
            continue
        if name not in known:
            raise UserError(_refusal(name, known, given))
        if wrong := mismatch(value, known[name].kind):
            raise UserError(known[name].refuse(name, value, wrong.hint))
    if only is None:
        _check_missing(known, given)
        _check_together(config)


def _check_sections(config: Mapping) -> None:
    """The top level: nothing else, and nothing missing."""
    top = dict.fromkeys((*(name.partition(".")[0] for name in run_keys()), *SECTIONS))
    for name in config:
        if name not in top:
            raise UserError(unknown_key(name, top))
    for name in top:
        if name not in config:
            raise UserError(f"config.{name} is missing{BASE if name not in SECTIONS else ''}")
    data = _spec(config["data"], "data")
    for name in ("recipe", "train", "val"):
        _spec(data.get(name), f"data.{name}")


def _check_missing(known: Keys, given: Mapping) -> None:
    run = run_keys()
    for name, key in known.items():
        if name not in given and (name in run or key.default is REQUIRED):
            hint = BASE if name in run else f": {key.meaning} It must be {describe(key.kind)}."
            raise UserError(f"config.{name} is missing{hint}")


def _refusal(name: str, known: Keys, given: Mapping) -> str:
    """Return the message for a key that holds a value and is not known."""
    names = [*known, *(f"data.{split}.name" for split in SPLITS)]
    message = unknown_key(name, names)
    if not message:
        inside = [key for key in names if key.startswith(f"{name}.")]
        return f"config.{name} must be a dict, with keys such as {inside[0]}"
    specs = [key for key in given if key.endswith(".name") and name.startswith(key[:-4])]
    # The key may be right, and the name in the spec be that of another family.
    return f"{message} config.{specs[-1]} is {given[specs[-1]]!r}." if specs else message


def _check_together(config: Mapping) -> None:
    """Check what depends on several keys: the recipe, the task, its metrics, parts of a batch."""
    if config["batch"] % config["accumulate"]:
        raise UserError(
            f"config.batch={config['batch']} must divide by"
            f" config.accumulate={config['accumulate']}"
        )
    rows = config["batch"] // config["accumulate"]
    for name, groups in flat(config["model"]).items():
        if name.split(".")[-1] == "bn_groups" and rows % groups:
            raise UserError(
                f"config.model.{name}={groups} must divide the {rows} samples that go through the"
                " model at once (config.batch / config.accumulate)"
            )
    for split in SPLITS:
        plug.load("data.recipes", config["data"]["recipe"], split=split)
    count = config["data"].get("num_classes")
    try:
        task = plug.load("tasks", config["task"], num_classes=count or EXAMPLE_CLASSES)
    except UserError:
        if count:
            raise
        return
    metrics = [f"val/{name}" for metric in task.metrics() for name in metric.larger_is_better]
    if config["best"] and config["best"] not in metrics:
        near = did_you_mean(config["best"], metrics)
        raise UserError(f'config.best="{config["best"]}": it must be a metric of the task.{near}')


def keys(config: Mapping) -> Keys:
    """All keys that a config may have, with the names of its own model, task, recipe and sources.

    Raises:
      UserError: one of these names does not exist.
    """
    data = _spec(config["data"], "data")
    found = run_keys() | prefixed("data", data_keys())
    specs = [
        *((f"{part}s", part, config[part]) for part in ("model", "task") if part in config),
        *_specs_of_data(data),
    ]
    for package, where, spec in specs:
        if spec is not None:
            found |= prefixed(where, named_keys(package, _spec(spec, where), where))
    return found | prefixed("optim", optim_keys()) | prefixed("schedule", schedule_keys())


def _spec(spec: Any, where: str) -> Mapping:
    if not isinstance(spec, Mapping):
        given = " is missing" if spec is None else f"={spec!r}"
        raise UserError(f'config.{where}{given}: it must be a dict with a "name"')
    return spec


def run_keys() -> Keys:
    """The keys of every run, with those of its parts, such as "mesh.data"."""
    return settable(keys_of(Settings))


def data_keys() -> Keys:
    """The keys of `config.data` besides its recipe and its sources."""
    from jaxvid.data import dataset

    return settable(keys_of(dataset.build), without=("splits", "known_names", "task"))


def optim_keys() -> Keys:
    """The keys of `config.optim`."""
    from jaxvid.train import optim

    own = settable(keys_of(optim.build), without=("params", "factor", "epoch"))
    return own | settable(keys_of(optim.scaled), without=("lr", "batch"))


def schedule_keys() -> Keys:
    """The keys of `config.schedule`."""
    from jaxvid.train import optim

    return settable(keys_of(optim.schedule), without=("steps_per_epoch", "epochs"))


def beside_model(given: Mapping) -> dict[str, Any]:
    """Return the keys that a config may have besides those of its model, with their defaults.

    The keys are names such as "optim.freeze" and "data.train.manifest", in the sections that the
    config has. Those that have no default are None.
    """
    data = given.get("data")
    data = data if isinstance(data, Mapping) else {}
    found = run_keys() | prefixed("data", data_keys())
    found |= prefixed("optim", optim_keys()) | prefixed("schedule", schedule_keys())
    for package, where, spec in [("tasks", "task", given.get("task")), *_specs_of_data(data)]:
        if isinstance(spec, Mapping):
            with suppress(UserError):  # which the check of the config reports
                found |= prefixed(where, named_keys(package, spec, where))
    sections = {name for name, value in given.items() if isinstance(value, Mapping)}
    return {
        name: None if key.default is REQUIRED else key.default
        for name, key in found.items()
        if "." not in name or name.partition(".")[0] in sections
    }


def _specs_of_data(data: Mapping) -> list[tuple[str, str, Any]]:
    """Return the package, the key and the spec of the recipe and of each source."""
    sources = [("data.sources", f"data.{split}", data.get(split)) for split in (*SPLITS, "images")]
    return [("data.recipes", "data.recipe", data.get("recipe")), *sources]


def named_keys(package: str, spec: Mapping, where: str, attr: str = "build") -> Keys:
    """The keys of a model, a task, a recipe or a source, by the name in its spec.

    Args:
      package: a key of NAMES.
      spec: a mapping with a "name".
      where: the key of the spec in a config, for messages.
      attr: the function that the spec has the arguments of.

    Raises:
      UserError: there is no such name.
    """
    kind = Literal[tuple(plug.names(package, attr))]  # type: ignore[valid-type]
    name = Key(kind, REQUIRED, NAMES[package])
    if "name" not in spec:
        raise UserError(f"config.{where}.name is missing: it must be {describe(name.kind)}")
    if wrong := mismatch(spec["name"], name.kind):
        raise UserError(name.refuse(f"{where}.name", spec["name"], wrong.hint))
    if package == "models" and (new := former_keys.migrate({"model": spec})["model"]) != spec:
        raise UserError(f"config.{where} is that of an earlier version; write it as {new}")
    module = plug.module(package, spec["name"])
    if spec["name"] == "concat":
        return {"name": name, **_part_keys(module, spec, where)}
    own, _ = plug.options(module, attr, spec)
    found = settable(own, without=plug.RESERVED)
    for key in own:
        inner, value = nested_spec(own[key].kind), spec.get(key)
        if inner and isinstance(value, Mapping):
            del found[key]
            nested = named_keys(inner.package, value, f"{where}.{key}", inner.attr)
            found |= prefixed(key, nested)
    return {"name": name, **found}


def _part_keys(source: Any, spec: Mapping, where: str) -> Keys:
    """The keys of the sources that a "concat" joins, under names of one's own."""
    found: Keys = {}
    for part, inner in spec.items():
        if part != "name":
            inside = f"{where}.{part}"
            found |= prefixed(part, named_keys("data.sources", _spec(inner, inside), inside))
            found |= prefixed(part, keys_of(source.Weight))
    return found
