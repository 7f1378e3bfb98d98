"""The keys of a config: what each means and may be, and the check before a run.

Nothing is listed here. Keys are the parameters of what a config is splatted into: types, ranges and
defaults come from signatures (see `jaxvid.config.values`), meanings from docstrings.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxvid import plug
from jaxvid.config import flat, renamed, unknown_key
from jaxvid.config.settings import Settings
from jaxvid.config.values import built, describe, is_section, wrong
from jaxvid.errors import UserError, did_you_mean
from jaxvid.plug import SETTLED

REQUIRED = inspect.Parameter.empty
BY_VARIANT = type("ByVariant", (), {"__repr__": lambda _: "by the variant"})()
SECTIONS = ("model", "task", "data", "optim", "schedule")
SPLITS = ("train", "val", "test")
SOME_CLASSES = 1000  # where only the data will say
NAMES = {
    "models": "Family of the model, a file of jaxvid/models.",
    "tasks": "Task, a file of jaxvid/tasks.",
    "data.recipes": "Recipe of transforms, a file of jaxvid/data/recipes.",
    "data.sources": "Source of annotations, a file of jaxvid/data/sources.",
}
BASE = "; configs.base.config() has the keys of every run with their defaults"


@dataclass(frozen=True)
class Key:
    """A key of a config.

    Attributes:
      kind: annotation of its value, see `jaxvid.config.values`.
      default: REQUIRED, if it has none; BY_VARIANT, if variants of a model have different ones.
      meaning: whole sentences.
    """

    kind: Any
    default: Any
    meaning: str

    def refuse(self, name: str, value: Any, hint: str = "") -> str:
        """The message for a value that is not allowed, with a hint at one that is."""
        usual = "" if self.default is REQUIRED else f" The default is {self.default!r}."
        return f"config.{name}={value!r}: it must be {describe(self.kind)}.{hint or usual}"


Keys = dict[str, Key]  # by name


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
    for name, value in given.items():
        if only is not None and not any(f"{name}.".startswith(f"{key}.") for key in only):
            continue
        if name not in known:
            raise UserError(_refusal(name, known))
        if (hint := wrong(value, known[name].kind)) is not None:
            raise UserError(known[name].refuse(name, value, hint))
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


def _refusal(name: str, known: Keys) -> str:
    """Return the message for a key that holds a value and is not known."""
    names = [*known, *(f"data.{split}.name" for split in SPLITS)]
    inside = [key for key in names if key.startswith(f"{name}.")]
    example = f"config.{name} must be a dict, with keys such as {''.join(inside[:1])}"
    return unknown_key(name, names) or example


def _check_together(config: Mapping) -> None:
    """What depends on several keys: the recipe, the task, its metrics, and parts of a batch."""
    if config["batch"] % config["accumulate"]:
        raise UserError(
            f"config.batch={config['batch']} must divide by"
            f" config.accumulate={config['accumulate']}"
        )
    for split in SPLITS:
        plug.load("data.recipes", config["data"]["recipe"], split=split)
    count = config["data"].get("num_classes")
    try:
        task = plug.load("tasks", config["task"], num_classes=count or SOME_CLASSES)
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
        ("data.recipes", "data.recipe", data.get("recipe")),
        *(("data.sources", f"data.{split}", data.get(split)) for split in SPLITS),
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


def prefixed(prefix: str, found: Keys) -> Keys:
    return {f"{prefix}.{name}": key for name, key in found.items()}


def run_keys() -> Keys:
    """The keys of every run, with those of its parts, such as "mesh.data"."""
    return parameters(Settings)


def data_keys() -> Keys:
    """The keys of `config.data` besides its recipe and its sources."""
    from jaxvid.data import dataset

    return parameters(dataset.build, without=("splits", "known_names", "task"))


def optim_keys() -> Keys:
    """The keys of `config.optim`."""
    from jaxvid.train import optim

    own = parameters(optim.build, without=("params", "factor"))
    return own | parameters(optim.scaled, without=("lr", "batch"))


def schedule_keys() -> Keys:
    """The keys of `config.schedule`."""
    from jaxvid.train import optim

    return parameters(optim.schedule, without=("steps_per_epoch", "epochs"))


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
    kind = Literal[tuple(plug.names(package))]  # type: ignore[valid-type]
    name = Key(kind, REQUIRED, NAMES[package])
    if "name" not in spec:
        raise UserError(f"config.{where}.name is missing: it must be {describe(name.kind)}")
    if (hint := wrong(spec["name"], name.kind)) is not None:
        raise UserError(name.refuse(f"{where}.name", spec["name"], hint))
    module = plug.module(package, spec["name"])
    if package == "models" and (new := renamed.migrate({"model": spec})["model"]) != spec:
        raise UserError(f"config.{where} is that of an earlier version; write it as {new}")
    if package == "models":
        own = _model_keys(module, spec, where, attr)
    elif spec["name"] == "concat":
        own = _part_keys(module, spec, where)
    else:
        own = parameters(module.build, without=SETTLED)
    return {"name": name, **own}


def _model_keys(family: Any, spec: Mapping, where: str, attr: str) -> Keys:
    """The options of a family's `build` or `backbone`, and those of a spec inside."""
    function = getattr(family, attr, None)
    if function is None:
        raise UserError(f"config.{where}.name={spec['name']!r}: this family has no {attr} alone")
    takes = inspect.signature(function).parameters
    own: Keys = {}
    if "variant" in takes:
        variants = tuple(family.VARIANTS)
        meaning = "Size of the model. It sets the keys that are not given."
        own["variant"] = Key(Literal[variants], REQUIRED, meaning)  # type: ignore[valid-type]
    own |= parameters(function, without=(*own, *SETTLED))
    for name, key in list(own.items()):
        inner, value = built(key.kind), spec.get(name)
        if inner and isinstance(value, Mapping):
            del own[name]
            found = named_keys(inner.package, value, f"{where}.{name}", inner.attr)
            own |= prefixed(name, found)
    if any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        own |= _backbone_keys(family, spec.get("variant"), without=own)
    return own


def _backbone_keys(family: Any, variant: str | None, without: Iterable[str]) -> Keys:
    """The fields of a family's backbone, of a variant or of all of them."""
    variants = family.VARIANTS
    tried = (variant,) if variant in variants else [v for v in variants if "test" not in v]
    found: Keys = {}
    for backbone in map(family.backbone, tried):
        for name, key in parameters(type(backbone), (*without, *SETTLED, "parent", "name")).items():
            default = getattr(backbone, name)
            differs = name in found and found[name].default != default
            found[name] = replace(key, default=BY_VARIANT if differs else default)
    return found


def _part_keys(source: Any, spec: Mapping, where: str) -> Keys:
    """The keys of the sources that a "concat" joins, under names of one's own."""
    found: Keys = {}
    for part, inner in spec.items():
        if part != "name":
            inside = f"{where}.{part}"
            found |= prefixed(part, named_keys("data.sources", _spec(inner, inside), inside))
            found |= prefixed(part, parameters(source.Weight))
    return found


def parameters(function: Callable, without: Iterable[str] = ()) -> Keys:
    """The keyword arguments of a function, or the fields of a class, that a config can set.

    Those that are a section, such as "mesh", stand for the keys of it, such as "mesh.data".
    """
    explained, kinds = meanings(function), _annotations(function)
    found: Keys = {}
    for name, p in inspect.signature(function).parameters.items():
        kind = kinds.get(name, Any)
        if name in without or p.kind is p.VAR_KEYWORD:
            continue
        if is_section(kind):
            found |= prefixed(name, parameters(kind))
        elif describe(kind):
            found[name] = Key(kind, p.default, explained.get(name, ""))
    return found


def _annotations(function: Callable) -> dict[str, Any]:
    if not inspect.isclass(function):
        return inspect.get_annotations(function)
    return {k: v for c in reversed(function.__mro__) for k, v in inspect.get_annotations(c).items()}


def meanings(function: Callable) -> dict[str, str]:
    """What a docstring says of arguments or attributes, by name.

    A class adds to what its bases say. A docstring may say that other arguments "are those of
    `module.function`".
    """
    if inspect.isclass(function):
        docs = [inspect.cleandoc(vars(c).get("__doc__") or "") for c in function.__mro__[::-1]]
    else:
        docs = [inspect.getdoc(function) or ""]
    found: dict[str, str] = {}
    for doc in docs:
        if other := re.search(r"are those of `(\w+)\.(\w+)`", doc):
            module = function.__globals__[other[1]]  # type: ignore[attr-defined]
            found |= meanings(getattr(module, other[2]))
        for section in re.findall(r"^(?:Args|Attributes):\n((?:  .*\n?|\n)+)", doc, re.M):
            for name, text in re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section, re.M):
                found[name] = " ".join(text.split())
    return found
