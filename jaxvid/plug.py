"""From a spec to an object: the name in a config is the name of a file."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any

from jaxvid.errors import UserError, did_you_mean


def load(package: str, spec: Mapping, attr: str = "build", **extra) -> Any:
    """`{"name": "swin", "variant": "tiny"}` -> `jaxvid.models.swin.build(variant="tiny", **extra)`.

    Args:
      package: sub-package of jaxvid, with dots: "models", "data.sources".
      spec: a mapping with "name" (the file) and the keyword arguments of its `attr`.
      attr: the function to call.
      **extra: arguments that do not come from the spec; the spec may not repeat them.

    Raises:
      UserError: no such file, an argument it does not take (the nearest name is suggested), one
        that it lacks, or one that is also in `extra`.
    """
    arguments = dict(spec)
    name = arguments.pop("name", None)
    if name is None:
        raise UserError(f'a {package} spec needs a "name": {dict(spec)}')
    source = module(package, name)
    variants = getattr(source, "VARIANTS", {})
    if "variant" in arguments and arguments["variant"] not in variants:
        variant = arguments["variant"]
        raise UserError(
            f'{package}/{name} has no variant "{variant}".{did_you_mean(variant, variants)}'
        )
    for key in extra.keys() & arguments.keys():
        raise UserError(f'{package}/{name}: leave "{key}" out of the spec, it is settled elsewhere')
    return call(getattr(source, attr), f"{package}/{name}", **arguments, **extra)


def spec(package: str, name: str, **given) -> dict[str, Any]:
    """A spec that spells out every default of `build`, so that flags can reach all of them.

    Raises:
      UserError: no such file, or an argument it does not take.
    """
    parameters = inspect.signature(module(package, name).build).parameters
    for key in given:
        if key not in parameters:
            raise UserError(f'{package}/{name} takes no "{key}".{did_you_mean(key, parameters)}')
    defaults = {k: p.default for k, p in parameters.items() if p.default is not p.empty}
    return {"name": name, **defaults, **given}


def module(package: str, name: str):
    """The module `jaxvid.<package>.<name>`, or an error that lists the names there are."""
    known = names(package)
    if name not in known:
        raise UserError(f'there is no {package} named "{name}".{did_you_mean(str(name), known)}')
    return importlib.import_module(f"jaxvid.{package}.{name}")


def names(package: str) -> list[str]:
    """What the name in a spec of `package` may be."""
    path = importlib.import_module(f"jaxvid.{package}").__path__
    return [m.name for m in pkgutil.iter_modules(path) if m.name != "base"]


def call(function: Callable, where: str, /, **arguments) -> Any:
    """`function(**arguments)`; arguments it does not take or lacks are a UserError."""
    signature = inspect.signature(function).parameters
    parameters = {key: p for key, p in signature.items() if p.kind is not p.VAR_KEYWORD}
    open_ended = len(parameters) < len(signature)
    for key in arguments:
        if key not in parameters and not open_ended:
            raise UserError(f'{where} takes no "{key}".{did_you_mean(key, parameters)}')
    for key, p in parameters.items():
        if p.default is p.empty and key not in arguments:
            raise UserError(f'{where} needs "{key}"')
    try:
        return function(**arguments)
    except TypeError as error:
        # `**overrides` go on to a class; its complaint names the class and the argument.
        found = re.match(
            r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", f"{error}"
        )
        if not found:
            raise
        own = vars(inspect.getmodule(function))
        places = [own, *(vars(value) for value in own.values() if inspect.ismodule(value))]
        targets = [place[found[1]] for place in places if found[1] in place][:1]
        known = {*parameters, *(p for t in targets for p in inspect.signature(t).parameters)}
        raise UserError(f'{where} takes no "{found[2]}".{did_you_mean(found[2], known)}') from None
