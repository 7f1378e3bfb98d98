"""Changes of single keys of a config: by flags, whose values are text, and from Python."""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from absl import flags
from ml_collections import ConfigDict, FieldReference, config_flags

from jaxvid.config import flat, former_keys, options, plain, schema, unknown_key
from jaxvid.config.values import describe
from jaxvid.errors import UserError, did_you_mean


def set_values(config: ConfigDict, changes: Mapping[str, Any]) -> list[str]:
    """Give keys of a config other values.

    Args:
      changes: values by the names of keys with dots, such as {"data.root": "CLIPS"}. The prefix
        "config." of flags is allowed.

    Returns:
      The names of the keys, without a prefix.

    Raises:
      UserError: there is no such key, or its value has another type.
    """
    changes = {key.removeprefix("config."): value for key, value in changes.items()}
    for keys in _from_outside(changes):
        known = _known(config, {key: changes[key] for key in keys}, "config.")
        for key in keys:
            part, last = _part(config, key)
            _free_type(config, key, known)
            try:
                part[last] = changes[key]
            except TypeError as error:
                raise UserError(_refusal(key, changes[key], known, config) or str(error)) from None
    return list(changes)


def set_flags(
    config: ConfigDict, arguments: Sequence[str], others: Iterable[str] = ()
) -> list[str]:
    """Give keys of a config the values of --config.KEY=VALUE, --config.KEY VALUE, --noconfig.KEY.

    Args:
      arguments: what a parser of the command's own flags has left.
      others: the names of those flags, to suggest the nearest for one that is misspelled.

    Returns:
      The names of the keys.

    Raises:
      UserError: another argument, no such key, or a value of a wrong type.
    """
    words = by_key(arguments, config, others)
    texts = {key: _text(key, given) for key, given in words.items()}
    for keys in _from_outside(words):
        known = _known(config, {key: texts[key] for key in keys}, "--config.")
        for key in keys:
            _set_flag(config, key, words[key], texts[key], known)
    return list(words)


def _set_flag(
    config: ConfigDict, key: str, given: Sequence[str], text: str, known: schema.Keys
) -> None:
    _free_type(config, key, known)
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=list(given))
        values(["", *given])
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(_refusal(key, text, known, config) or str(error)) from None


def _free_type(config: ConfigDict, key: str, known: schema.Keys) -> None:
    """Let a key take values of all types that it may have, such as None or a number."""
    part, last = _part(config, key)
    kind = known[key].kind if key in known else None
    choices = {type(choice) for choice in get_args(kind)} if get_origin(kind) is Literal else ()
    if part[last] is None or NoneType in get_args(kind) or len(choices) > 1:
        with config.ignore_type():
            part[last] = FieldReference(part[last], field_type=object)


def _from_outside(keys: Iterable[str]) -> list[list[str]]:
    """Return keys in groups: that of a section, such as "model", comes before those inside it.

    A section may be another one by then, with other options.
    """
    groups: dict[int, list[str]] = {}
    for key in keys:
        outer = sum(key.startswith(f"{other}.") for other in keys)
        groups.setdefault(outer, []).append(key)
    return [groups[outer] for outer in sorted(groups)]


def by_key(
    arguments: Sequence[str], config: ConfigDict, others: Iterable[str]
) -> dict[str, list[str]]:
    """Return the arguments that set each key.

    Args:
      arguments: what a parser of the command's own flags has left.
      config: the config that they change, to suggest its keys.
      others: the names of the command's own flags, to suggest the nearest.

    Raises:
      UserError: an argument that sets no key.
    """
    found: dict[str, list[str]] = {}
    last: list[str] | None = None
    for word in arguments:
        flag = re.match(r"--?([A-Za-z][^=]*)", word)
        key = re.match(r"(?:no)?config\.(.+)", flag[1]) if flag else None
        if key:
            last = found.setdefault(key[1], [])
            last.append(word)
        elif flag is None and last and "=" not in last[-1]:
            last.append(word)
        else:
            raise UserError(_unexpected(word, flag[1] if flag else "", config, others))
    return found


def _unexpected(word: str, flag: str, config: ConfigDict, others: Iterable[str]) -> str:
    if not flag:
        return f'unexpected argument "{word}"; flags look like --name=value'
    if not unknown_key(flag, flat(plain(config))):
        return f'there is no flag "--{flag}". Did you mean --config.{flag}?'
    near = did_you_mean(flag, others)
    hint = near if near.startswith(" Did") else " --help lists the flags."
    return f'there is no flag "--{flag}".{hint}'


def _text(key: str, given: Sequence[str]) -> str:
    """Return the value of a key as text."""
    if given[0].lstrip("-").startswith("noconfig."):
        return "False"
    _, equals, value = given[-1].partition("=")
    is_flag = re.match(rf"--?config\.{re.escape(key)}\b", given[-1])
    return value if equals and is_flag else "" if is_flag else given[-1]


def _literal(value: Any) -> Any:
    """Return the value that a text stands for; a flag without one is True."""
    try:
        return True if value == "" else ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _known(config: ConfigDict, changes: Mapping[str, Any], where: str) -> schema.Keys:
    """Check the names of keys; options that the config does not spell are added.

    Returns:
      All keys that the config may have; none if the config itself is not complete.
    """
    others = schema.beside_model(plain(config))
    options.admit(config, changes, others)
    given = plain(config)
    there = others | flat(options.completed(given))
    former_keys.check({key: _literal(value) for key, value in changes.items()}, there, where)
    for key in changes:
        if wrong := unknown_key(key, there):
            raise UserError(wrong)
    try:
        return schema.keys(given)
    except (UserError, KeyError):  # which the check of the config reports
        return {}


def _part(config: ConfigDict, key: str) -> tuple[Any, str]:
    """Return the innermost part of a config that holds a key, and the last name of the key."""
    *folders, last = key.split(".")
    part: Any = config
    for folder in folders:
        part = part[folder]
    return part, last


def _refusal(key: str, value: Any, known: schema.Keys, config: ConfigDict) -> str:
    """Return why a key does not take a value; "" if this is not known."""
    if inside := [name for name in flat(plain(config)) if name.startswith(f"{key}.")]:
        return f"config.{key} is not one value; set its keys, such as --config.{inside[0]}"
    if key not in known:
        return ""
    if value == "":
        return f"--config.{key} needs a value: it must be {describe(known[key].kind)}"
    return known[key].refuse(key, value)
