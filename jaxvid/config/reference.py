"""Reference of the config keys: meaning, type, range and default of each, as `schema` has them."""

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxvid import plug
from jaxvid.config import flat, schema
from jaxvid.config.keys import BY_VARIANT, REQUIRED, Keys, keys_of, prefixed
from jaxvid.config.values import describe

PACKAGE = Path(__file__).resolve().parents[1]
INTRO = """\
# Config keys

This page lists the keys of a config with their meanings, allowed values and defaults. It is
generated from the code that checks a config before a run reads data. `--config.KEY=VALUE` changes
a key on the command line.

This file is written by `python -m jaxvid.tools.show_config --explain --markdown > docs/config.md`.
For the keys of one config with their values, add `--config NAME`.
"""
RUN = "Every run"
DATA = "Data"
PARTS = (
    ("data.recipes", "data.recipe", "Recipes"),
    ("data.sources", "data.train", "Sources of annotations"),
    ("models", "model", "Models"),
    ("tasks", "task", "Tasks"),
)
ABOUT = {
    RUN: "The keys of `configs.base.config()`.",
    DATA: "The keys of `config.data` besides its recipe and its sources.",
    "Recipes": "`config.data.recipe`: the transforms of a sample, for training and evaluation.",
    "Sources of annotations": "`config.data.train`, `config.data.val` and, if there is one,"
    " `config.data.test`.",
    "Models": "`config.model`; for the defaults of a variant, add `--config NAME`.",
    "Tasks": "`config.task`: the loss, the predictions and the metrics.",
    "Optimizer": "`config.optim`.",
    "Schedule": "`config.schedule`: the factor of the learning rate.",
}
WIDTH = 100


class Section(NamedTuple):
    """Keys that belong together.

    Attributes:
      title: with a "/" for a part of a larger section, such as "Models/swin".
      about: a sentence.
      keys: by full name.
      values: those of a config, by the same names; empty for the reference of all keys.
    """

    title: str
    about: str
    keys: Keys
    values: Mapping[str, Any]


def of_config(config: Mapping) -> list[Section]:
    """Return the keys of one config, with their values."""
    values = flat(config)
    return [Section("", "", schema.keys(config), values)]


def everything() -> list[Section]:
    """Return all keys that there are."""
    found = [
        Section(RUN, ABOUT[RUN], schema.run_keys(), {}),
        Section("Optimizer", ABOUT["Optimizer"], prefixed("optim", schema.optim_keys()), {}),
        Section("Schedule", ABOUT["Schedule"], prefixed("schedule", schema.schedule_keys()), {}),
        Section(DATA, ABOUT[DATA], prefixed("data", schema.data_keys()), {}),
    ]
    for package, where, title in PARTS:
        found.append(Section(title, ABOUT[title], {}, {}))
        found += (_part(package, where, title, name) for name in plug.names(package))
    return found


def _part(package: str, where: str, title: str, name: str) -> Section:
    """The section of a model, a task, a recipe or a source."""
    keys = schema.named_keys(package, {"name": name}, where)
    del keys["name"]
    if name == "concat":
        weights = keys_of(plug.module(package, name).Weight)
        keys = {f"PART.{key}": value for key, value in weights.items()}
    path = PACKAGE.joinpath(*package.split("."), f"{name}.py")
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return Section(f"{title}/{name}", _sentence(doc), prefixed(where, keys), {})


def _sentence(doc: str) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join(doc.partition("\n\n")[0].split())


def text(sections: Sequence[Section]) -> str:
    """Return the reference for a terminal."""
    return "\n".join(line for section in sections for line in _text(section))


def _text(section: Section) -> Iterator[str]:
    if section.title:
        yield f"\n{section.title.replace('/', ': ')}"
        yield from textwrap.wrap(section.about, WIDTH)
        yield ""
    for name, key in section.keys.items():
        value = f" = {section.values[name]!r}" if name in section.values else ""
        yield f"config.{name}{value}"
        allowed = describe(key.kind)
        default = "" if key.default is REQUIRED else f" Default: {key.default!r}."
        words = f"{key.meaning} {allowed[:1].upper()}{allowed[1:]}.{default}"
        yield from textwrap.wrap(words, WIDTH, initial_indent="    ", subsequent_indent="    ")


def markdown(sections: Sequence[Section]) -> str:
    """Return the reference as Markdown, without a newline at the end."""
    return "\n".join([INTRO, *(line for s in sections for line in _markdown(s))]).rstrip()


def _markdown(section: Section) -> Iterator[str]:
    if section.title:
        yield f"{'###' if '/' in section.title else '##'} {section.title.rpartition('/')[2]}\n"
        yield f"{section.about}\n"
    if section.keys:
        has = ["Value"] if section.values else []
        head = ["Key", "Meaning", "Allowed", "Default", *has]
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        for name, key in section.keys.items():
            default = "required" if key.default is REQUIRED else f"`{_cell(repr(key.default))}`"
            default = default if key.default is not BY_VARIANT else repr(BY_VARIANT)
            value = [f"`{_cell(repr(section.values.get(name, key.default)))}`"] if has else []
            cells = [f"`{name}`", _cell(key.meaning), _cell(describe(key.kind)), default, *value]
            yield f"| {' | '.join(cells)} |"
        yield ""


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
