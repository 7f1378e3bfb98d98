"""The options that a config file does not spell, which flags can set all the same.

They are those of the model, the optimizer and the schedule.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ml_collections import ConfigDict

from jaxvid import plug
from jaxvid.config import flat
from jaxvid.config.settings import Settings
from jaxvid.errors import UserError


def completed(config: Mapping) -> dict:
    """Return a config whose model has all its options, with their defaults where it had none.

    A config without a model, or with one that this version does not know, is returned as it is.
    """
    if not isinstance(model := dict(config).get("model"), Mapping) or "name" not in model:
        return dict(config)
    try:
        return {**config, "model": plug.spec("models", **model)}
    except UserError:
        return dict(config)


def filled(config: Mapping) -> dict:
    """Return a config with all options of its model, task and recipe, and with all keys of a run.

    A config of an earlier version lacks those that are new. They get their defaults.
    """
    found = _merged(asdict(Settings()), completed(config))
    data = found.get("data")
    specs = [("tasks", found, "task")]
    if isinstance(data, Mapping):
        found["data"] = data = dict(data)
        specs.append(("data.recipes", data, "recipe"))
    for package, section, key in specs:
        if isinstance(spec := section.get(key), Mapping) and "name" in spec:
            with suppress(UserError):  # this version does not know it
                section[key] = plug.spec(package, **spec)
    return found


def _merged(defaults: Mapping, given: Mapping) -> dict:
    """Return a nested mapping with the defaults for the keys that are not given."""

    def value(key: str) -> Any:
        usual, own = defaults.get(key), given.get(key, defaults.get(key))
        if isinstance(usual, Mapping) and isinstance(own, Mapping):
            return _merged(usual, own)
        return own

    return {key: value(key) for key in (*defaults, *(k for k in given if k not in defaults))}


def complete(config: ConfigDict) -> None:
    """Give the model of a config all its options, as `completed` does."""
    if "model" in config:
        model = completed(config.to_dict())["model"]
        with config.unlocked(), config.ignore_type():
            config.model = model


def admit(config: ConfigDict, changes: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Add the options among `changes`, such as "model.window", with their defaults.

    All others stay out, so that they follow a change of the variant. Where the changes name another
    family or variant, its options are those that are added.

    Args:
      others: further options with their defaults, such as "optim.freeze".
    """
    _set_backbone(config, changes)
    given = config.to_dict()
    names = {k: v for k, v in changes.items() if re.fullmatch(r"model\..*\b(name|variant)", k)}
    spec = given
    if names and isinstance(given.get("model"), Mapping):
        chosen = ConfigDict({"model": _named(given["model"])})
        chosen.update_from_flattened_dict(names)
        spec = chosen.to_dict()
    options = {**flat(completed(spec)), **others}
    added = {k: options[k] for k in changes if k in options.keys() - flat(given).keys()}
    with config.unlocked():
        for name, value in added.items():
            *sections, key = name.split(".")
            inside: Any = config
            for section in sections:
                if section not in inside:
                    inside[section] = ConfigDict()
                inside = inside[section]
            inside[key] = value


def _set_backbone(config: ConfigDict, changes: Mapping[str, Any]) -> None:
    """Put the model on the backbone that `changes` name, if it has another one or its own.

    Only those options of the model are kept that it has on the backbone of another family.
    """
    model, name = config.to_dict().get("model"), changes.get("model.backbone.name")
    if not name or not isinstance(model, Mapping) or "name" not in model:
        return
    source = plug.module("models", changes.get("model.name", model["name"]))
    takes, _ = plug.options(source, "build", {"backbone": {}})
    if "backbone" not in takes or name == (model.get("backbone") or {}).get("name"):
        return
    variant = changes.get("model.backbone.variant")
    inner = {"name": name, **({"variant": variant} if variant else {})}
    kept = {k: v for k, v in model.items() if k == "name" or k in takes}
    with config.unlocked(), config.ignore_type():
        config.model = {**kept, "backbone": inner}


def change(config: ConfigDict, changes: Mapping[str, Any]) -> None:
    """Set keys of a config, by names with dots.

    With another variant of the model, those of its options change, too, that the variant settled.
    """
    if any(key.startswith("model.") and key.endswith(".variant") for key in changes):
        spec = config.to_dict()["model"]
        usual = plug.spec("models", **_named(spec))
        with config.unlocked():
            config.model = _chosen(spec, usual)
    with config.ignore_type():  # a key may take values of several types, such as `remat`
        config.update_from_flattened_dict(dict(changes))
    complete(config)


def _named(spec: Mapping) -> dict:
    """Only the names and variants of a spec and of those inside."""
    inner = {k: _named(v) for k, v in spec.items() if isinstance(v, Mapping)}
    return {k: v for k, v in spec.items() if k in ("name", "variant")} | inner


def _chosen(spec: Mapping, usual: Mapping) -> dict:
    """A spec, and those inside, without the options that are as usual."""
    return {
        k: _chosen(v, usual[k]) if isinstance(v, Mapping) else v
        for k, v in spec.items()
        if isinstance(v, Mapping) or k in ("name", "variant") or v != usual.get(k)
    }
