"""Build objects from specs: the name in a config is the name of a file."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from types import ModuleType
from typing import Any, Literal

from jaxvid.config import former_keys
from jaxvid.config.keys import BY_VARIANT, REQUIRED, Key, Keys, keys_of, takes_any
from jaxvid.config.values import describe, is_section, nested_spec
from jaxvid.errors import UserError, did_you_mean

RESERVED = ("split", "root", "names", "num_classes", "dtype")  # set by the program, in no spec
INJECTED = ("num_classes", "dtype", "multi_label")  # passed only to functions that take them
# What a module of a package is called.
NOUNS = {
    "models": "model",
    "tasks": "task",
    "data.recipes": "recipe",
    "data.sources": "source of data",
    "writers": "writer",
}
# Where configs have the specs of a package.
SPECS = {"models": "model", "tasks": "task", "data.recipes": "data.recipe"}


def load(package: str, spec: Mapping, attr: str = "build", **known) -> Any:
    """`{"name": "swin", "variant": "tiny"}` -> `jaxvid.models.swin.build(variant="tiny", **known)`.

    A spec inside the spec, such as the backbone of a detector, is built first. A mapping for an
    argument that is a dataclass, such as `augment` of a task, becomes one.

    Args:
      package: Sub-package of jaxvid, with dots: "models", "data.sources".
      spec: A mapping with "name" (the file) and the keyword arguments of its `attr`.
      attr: The function to call.
      **known: Arguments that do not come from the spec, which may not repeat them. Those of
        INJECTED are passed only to functions that take them, also to those of specs inside.

    Raises:
      UserError: no such file, an argument it does not take (the nearest name is suggested), one
        that it lacks, or one that is also in `known`.
    """
    arguments = getattr(spec, "to_dict", lambda: dict(spec))()  # also inside a ConfigDict
    name = arguments.pop("name", None)
    if name is None:
        raise UserError(f'the spec of a {NOUNS[package]} needs a "name": {dict(spec)}')
    where = f"{package}/{name}"
    source = module(package, name, attr)
    takes, others = _options(source, attr, arguments, where)
    for key in known.keys() & arguments.keys():
        raise UserError(f'{where}: leave "{key}" out of the spec, it is settled elsewhere')
    for key, option in takes.items():
        value = arguments.get(key)
        if not isinstance(value, Mapping):
            continue
        if inner := nested_spec(option.kind):
            injected = {k: v for k, v in known.items() if k in INJECTED}
            arguments[key] = load(inner.package, value, inner.attr, **injected)
        elif is_section(option.kind):
            arguments[key] = call(option.kind, f"{where}: {key}", **value)
    arguments |= {k: v for k, v in known.items() if k in takes or k not in INJECTED}
    _check(arguments, takes, others, where)
    return getattr(source, attr)(**arguments)


def spec(package: str, name: str, attr: str = "build", **given) -> dict[str, Any]:
    """Return a spec that spells out every option, so that flags can reach all of them.

    Raises:
      UserError: no such file or variant, or an argument it does not take.
    """
    where = f"{package}/{name}"
    takes, others = _options(module(package, name, attr), attr, given, where)
    _check(given, takes, others, where, needed=False)
    found: dict[str, Any] = {"name": name}
    for key, option in takes.items():
        value: Any = given.get(key, option.default)
        if (inner := nested_spec(option.kind)) and isinstance(value, Mapping) and "name" in value:
            found[key] = spec(inner.package, attr=inner.attr, **value)
        elif is_section(option.kind):
            settings = given[key] if key in given else asdict(option.default)
            found[key] = asdict(call(option.kind, f"{where}: {key}", **settings))
        elif value is not REQUIRED and (key in given or key not in RESERVED):
            found[key] = value
    return found | {key: value for key, value in given.items() if key not in found}


def of_variant(family: str, variant: str) -> dict[str, Any]:
    """Return the spec of a variant of a family of models.

    The variants of a model on the backbone of another family are specs of that backbone.
    """
    source = module("models", family)
    if "variant" in keys_of(source.build):
        return {"name": family, "variant": variant}
    return {"name": family, **source.VARIANTS[variant]}


def options(source: ModuleType, attr: str, spec: Mapping) -> tuple[Keys, bool]:
    """Return the options of a spec, and whether its function takes any others, too.

    Args:
      source: the module that the spec names.
      attr: the function of it that the spec has the arguments of.

    Returns:
      The arguments of the function. Where that of a family has `**options`, these are the fields of
      its backbone, with the defaults of the variant that the spec names, or BY_VARIANT. Where it
      has both "variant" and "backbone", a spec with a backbone has no variant and no `**options`.
    """
    function, variants = getattr(source, attr), getattr(source, "VARIANTS", {})
    found, others = keys_of(function), takes_any(function)
    if "variant" in found:
        meaning = "Size of the model. It sets the keys that are not given."
        found["variant"] = Key(Literal[tuple(variants)], REQUIRED, meaning)  # type: ignore[valid-type]
    if {"variant", "backbone"} <= found.keys():  # a head on its own backbone, or on another
        if "backbone" in spec:
            return {key: option for key, option in found.items() if key != "variant"}, False
        if "variant" in spec:
            del found["backbone"]
    if not (others and variants):
        return found, others
    named = spec.get("variant")
    tried = [named] if named in variants else [v for v in variants if "test" not in v]
    fields = _fields([source.backbone(variant) for variant in tried])
    # The order is that of the signature, then of the fields; what both have is the signature's.
    return found | fields | found, False


def _fields(backbones: Sequence[Any]) -> Keys:
    """Return the fields of modules of one class that a config or the program can set."""
    found: Keys = {}
    for net in backbones:
        for name, key in keys_of(type(net)).items():
            if name in ("name", "parent") or not (name in RESERVED or describe(key.kind)):
                continue
            value = getattr(net, name)
            differs = name in found and found[name].default != value
            found[name] = replace(key, default=BY_VARIANT if differs else value)
    return found


def _options(source: ModuleType, attr: str, given: Mapping, where: str) -> tuple[Keys, bool]:
    """Return `options`, for a function and a variant that exist; otherwise a UserError."""
    if not hasattr(source, attr):
        raise UserError(f'{where} has no "{attr}" of its own')
    found = options(source, attr, given)
    if "backbone" in found[0] and "variant" in given.keys() - found[0].keys():
        raise UserError(f'{where} takes a "variant" or a "backbone", not both')
    variant, variants = str(given.get("variant")), getattr(source, "VARIANTS", {})
    if "variant" in found[0].keys() & given.keys() and variant not in variants:
        raise UserError(f'{where} has no variant "{variant}".{did_you_mean(variant, variants)}')
    return found


def module(package: str, name: str, attr: str = "build") -> ModuleType:
    """The module `jaxvid.<package>.<name>`, or an error that names those with an `attr`."""
    if name in names(package):
        return importlib.import_module(f"jaxvid.{package}.{name}")
    known = names(package, attr)
    hint = did_you_mean(str(name), known)
    if attr == "backbone" and " Known: " not in hint:  # a network of another library, perhaps
        hint += f" Known: {', '.join(sorted(known))}."
    raise UserError(f'there is no {NOUNS[package]} named "{name}".{hint}')


def names(package: str, attr: str = "build") -> list[str]:
    """Return the names that a spec of `package` may have, where it has the arguments of `attr`."""
    path = importlib.import_module(f"jaxvid.{package}").__path__
    found = [m.name for m in pkgutil.iter_modules(path) if m.name != "base"]
    if attr == "build":
        return found
    return [name for name in found if hasattr(module(package, name), attr)]


def call(function: Callable, where: str, /, **arguments) -> Any:
    """`function(**arguments)`; arguments it does not take or lacks are a UserError."""
    _check(arguments, keys_of(function), takes_any(function), where)
    return function(**arguments)


def _check(arguments: Mapping, takes: Keys, others: bool, where: str, needed=True) -> None:
    """Raise a UserError for an argument that a function does not take, or one that it lacks."""
    unknown = [] if others else [key for key in arguments if key not in takes]
    package, _, _ = where.partition("/")
    former_keys.check({f"{SPECS.get(package)}.{key}": arguments[key] for key in unknown}, ())
    for key in unknown:
        raise UserError(f'{where} takes no "{key}".{did_you_mean(key, takes)}')
    for key, option in takes.items():
        if needed and option.default is REQUIRED and key not in arguments:
            raise UserError(f'{where} needs "{key}"')
