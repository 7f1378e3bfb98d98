"""From a spec to an object: the name in a config is the name of a file."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from inspect import Parameter
from types import ModuleType
from typing import Any

from jaxvid.config import renamed
from jaxvid.config.values import built, describe, is_section
from jaxvid.errors import UserError, did_you_mean

SETTLED = ("split", "root", "names", "num_classes", "dtype")  # arguments that no spec gives
OFFERED = ("num_classes", "dtype", "multi_label")  # for those functions that take them
# Where configs have the specs of a package.
SPECS = {"models": "model", "tasks": "task", "data.recipes": "data.recipe"}

Options = dict[str, Parameter]


def load(package: str, spec: Mapping, attr: str = "build", **known) -> Any:
    """`{"name": "swin", "variant": "tiny"}` -> `jaxvid.models.swin.build(variant="tiny", **known)`.

    A spec inside the spec, such as the backbone of a detector, is built first. A mapping for an
    argument that is a dataclass, such as `augment` of a task, becomes one.

    Args:
      package: Sub-package of jaxvid, with dots: "models", "data.sources".
      spec: A mapping with "name" (the file) and the keyword arguments of its `attr`.
      attr: The function to call.
      **known: Arguments that do not come from the spec, which may not repeat them. Those of OFFERED
        are for functions that take them, also for those of specs inside.

    Raises:
      UserError: no such file, an argument it does not take (the nearest name is suggested), one
        that it lacks, or one that is also in `known`.
    """
    arguments = getattr(spec, "to_dict", lambda: dict(spec))()  # also inside a ConfigDict
    name = arguments.pop("name", None)
    if name is None:
        raise UserError(f'a {package} spec needs a "name": {dict(spec)}')
    where = f"{package}/{name}"
    source = module(package, name)
    takes, others = options(source, attr, arguments, where)
    for key in known.keys() & arguments.keys():
        raise UserError(f'{where}: leave "{key}" out of the spec, it is settled elsewhere')
    for key, p in takes.items():
        inner, value = built(p.annotation), arguments.get(key)
        if inner and isinstance(value, Mapping):
            offered = {k: v for k, v in known.items() if k in OFFERED}
            arguments[key] = load(inner.package, value, inner.attr, **offered)
        elif is_section(p.annotation) and isinstance(value, Mapping):
            arguments[key] = call(p.annotation, f"{where}: {key}", **value)
    arguments |= {k: v for k, v in known.items() if k in takes or k not in OFFERED}
    _check(arguments, takes, others, where)
    return getattr(source, attr)(**arguments)


def spec(package: str, name: str, attr: str = "build", **given) -> dict[str, Any]:
    """Return a spec that spells out every option, so that flags can reach all of them.

    Raises:
      UserError: no such file or variant, or an argument it does not take.
    """
    where = f"{package}/{name}"
    takes, others = options(module(package, name), attr, given, where)
    _check(given, takes, others, where, needed=False)
    found: dict[str, Any] = {"name": name}
    for key, p in takes.items():
        inner, value = built(p.annotation), given.get(key, p.default)
        if inner and isinstance(value, Mapping) and "name" in value:
            found[key] = spec(inner.package, attr=inner.attr, **value)
        elif is_section(p.annotation):
            section = call(p.annotation, f"{where}: {key}", **given.get(key, asdict(p.default)))
            found[key] = asdict(section)
        elif value is not p.empty and (key in given or key not in SETTLED):
            found[key] = value
    return found | {key: value for key, value in given.items() if key not in found}


def options(source: ModuleType, attr: str, given: Mapping, where: str) -> tuple[Options, bool]:
    """Return the arguments that a module's function takes, and whether it takes any others, too.

    Where a function of a family has `**options`, these are the fields of what `source.backbone`
    returns for the variant, with the values of the variant as their defaults.

    Raises:
      UserError: the module has no such function or variant.
    """
    if not hasattr(source, attr):
        raise UserError(f'{where} has no "{attr}" of its own')
    signature = inspect.signature(getattr(source, attr)).parameters
    found = {k: p for k, p in signature.items() if p.kind is not p.VAR_KEYWORD}
    variants = getattr(source, "VARIANTS", {})
    variant: Any = given.get("variant")
    if "variant" in found and "variant" in given and variant not in variants:
        raise UserError(f'{where} has no variant "{variant}".{did_you_mean(variant, variants)}')
    others = len(found) < len(signature)
    if others and variant in variants:
        found |= {k: p for k, p in backbone_options(source, variant).items() if k not in found}
        others = False
    return found, others


def backbone_options(family: ModuleType, variant: str) -> Options:
    """The options of a family's backbone: fields that a config or `known` can set."""
    net = family.backbone(variant)
    return {
        f.name: Parameter(
            f.name, Parameter.KEYWORD_ONLY, default=getattr(net, f.name), annotation=f.type
        )
        for f in fields(net)
        if f.name not in ("name", "parent") and (f.name in SETTLED or describe(f.type))
    }


def module(package: str, name: str) -> ModuleType:
    """The module `jaxvid.<package>.<name>`, or an error that lists the names there are."""
    known = names(package)
    if name not in known:
        raise UserError(f'there is no {package} named "{name}".{did_you_mean(str(name), known)}')
    return importlib.import_module(f"jaxvid.{package}.{name}")


def names(package: str) -> list[str]:
    """What the name in a spec of `package` may be."""
    path = importlib.import_module(f"jaxvid.{package}").__path__
    return [m.name for m in pkgutil.iter_modules(path) if m.name != "base"]


def refusal(where: str, key: str, known: Iterable[str]) -> str:
    """Return the message for an argument that nothing takes, with its new or its nearest name."""
    package, _, _ = where.partition("/")
    now = renamed.hint(f"{SPECS.get(package, package)}.{key}")
    return f'{where} takes no "{key}".{now or did_you_mean(key, known)}'


def call(function: Callable, where: str, /, **arguments) -> Any:
    """`function(**arguments)`; arguments it does not take or lacks are a UserError."""
    takes = inspect.signature(function).parameters
    _check(arguments, takes, any(p.kind is p.VAR_KEYWORD for p in takes.values()), where)
    return function(**arguments)


def _check(
    arguments: Mapping, takes: Mapping[str, Parameter], others: bool, where: str, needed=True
) -> None:
    """Raise a UserError for an argument that a function does not take, or one that it lacks."""
    for key in arguments:
        if key not in takes and not others:
            raise UserError(refusal(where, key, takes))
    for key, p in takes.items():
        if needed and p.default is p.empty and p.kind is not p.VAR_KEYWORD and key not in arguments:
            raise UserError(f'{where} needs "{key}"')
