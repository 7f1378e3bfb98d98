"""Reads the sheet of published recipes: resolved configs of MMAction2, written as text.

A block of the sheet is a base config, and each of its variants is a list of differences. `read`
returns one record per config, in which the differences are applied.
"""

import copy
import re
from typing import Any

Record = dict[str, Any]

BASE = re.compile(r"^Base config `(?:\S*/)?(\S+)\.py`:$")
VARIANT = re.compile(r"^- `(\S+)\.py`: (.*)$")
ENTRY = re.compile(r"^(?P<indent> *)- (?P<key>\w+): `(?P<value>.*)`$")
# Short forms of paths in the differences.
ALIASES = {
    "bb": ("model", "backbone"),
    "head": ("model", "cls_head"),
    "prep": ("model", "data_preprocessor"),
    "optw": ("optim_wrapper",),
    "opt": ("optim_wrapper", "optimizer"),
}
SPLITS = ("train", "val", "test")
# Differences that are no paths: what they say is done by hand.
TRAINING = ("train", "optim_wrapper", "param_scheduler", "train_cfg")
NOTES = {
    "identical apart from data paths": (),
    "absent: auto_scale_lr": ("auto_scale_lr",),
    "absent: param_scheduler": ("param_scheduler",),
    "TEST-ONLY (no training sections)": ("val", *TRAINING),
    "MODEL-ONLY (no data/train sections)": ("val", "test", *TRAINING),
}


class _Parser:
    """A reader of one value: lists, {dicts}, Calls(key=value), numbers, words."""

    def __init__(self, text: str):
        self.text, self.at = text, 0

    def value(self) -> Any:
        rest = self.text[self.at :]
        if rest.startswith("["):
            return self._items("]", self.value)
        if re.match(r"\{(\}(?=$|[,;)\]}])|[^\s{}=]+=)", rest):
            return dict(self._items("}", self._pair))
        if call := re.match(r"[\w.]+\(", rest):
            self.at += call.end() - 1
            pairs = self._items(")", self._argument)
            return {"type": call[0][:-1], **dict(pairs)}
        return _scalar(self._word())

    def _items(self, end: str, read) -> list:
        self.at += 1
        found = []
        while self.text[self.at] != end:
            found.append(read())
            while self.text[self.at] in ",; ":
                self.at += 1
        self.at += 1
        return found

    def _pair(self) -> tuple[str, Any]:
        key, _, _ = self.text[self.at :].partition("=")
        self.at += len(key) + 1
        return key, self.value()

    def _argument(self) -> tuple[str, Any]:
        if re.match(r"\w+=", self.text[self.at :]):
            return self._pair()
        return "", self.value()

    def _word(self) -> str:
        start, depth = self.at, 0
        while self.at < len(self.text):
            letter = self.text[self.at]
            if depth == 0 and letter in ",;)]}":
                break
            depth += (letter == "{") - (letter == "}")
            self.at += 1
        return self.text[start : self.at]


def _scalar(word: str) -> Any:
    known = {"True": True, "False": False, "None": None}
    if word in known:
        return known[word]
    try:
        return float(word) if re.search(r"[.e]", word) else int(word)
    except ValueError:
        return word


def parse(text: str) -> Any:
    """Return the value that `text` is, or the text where it is none of the grammar."""
    parser = _Parser(text)
    try:
        found = parser.value()
    except IndexError:
        return text
    return found if parser.at == len(text) else text


def _pipeline(text: str) -> list[Record]:
    steps = (parse(step) for step in text.split(" → "))
    return [step if isinstance(step, dict) else {"type": step} for step in steps]


def _base(lines: list[str]) -> Record:
    record: Record = {}
    section: Any = record
    for line in lines:
        if model := re.fullmatch(r"- model \*\*(\w+)\*\*", line):
            section = record["model"] = {"type": model[1]}
        elif line == "- test data = val data (identical)":
            record["test"] = record["val"]  # also in copies of the record
        elif entry := ENTRY.match(line):
            key, value = entry["key"], entry["value"]
            if not entry["indent"]:
                section = record
            if key in SPLITS:
                size, _, dataset = value.partition(" ds=")
                section = record[key] = dict(dataset=parse(dataset))
                section["batch_size"] = int(re.findall(r"bs=(\d+)", size)[0])
            elif key == "pipeline":
                section["pipeline"] = _pipeline(value)
            else:
                section[key] = parse(value)
    return record


def _differ(record: Record, difference: str) -> None:
    """Apply one difference: `path=value`, `+path=value`, or `path` after a minus sign."""
    if difference in NOTES:
        for key in NOTES[difference]:
            record.pop(key, None)
        return
    path, equal, value = difference.lstrip("+\N{MINUS SIGN}").partition("=")
    if step := re.fullmatch(r"(\w+)\.(.*)pipe(line)?<(\w+)(#2)?>", path):
        split, inner, full, name, second = step.groups()
        if full and not inner:  # an attribute of the loader, which nothing reads
            return
        _differ_step(record[split]["pipeline"], name, bool(second), parse(value) if equal else None)
        return
    first, *rest = path.split(".")
    keys = [*ALIASES.get(first, (first,)), *rest]
    node = record
    for key in keys[:-1]:
        if not isinstance(node.get(key), dict):  # absent, or a type without arguments
            node[key] = {"type": node[key]} if node.get(key) else {}
        node = node[key]
    if equal:
        node[keys[-1]] = parse(value)
    else:
        node.pop(keys[-1], None)


def _differ_step(steps: list[Record], name: str, second: bool, value: Record | None) -> None:
    same = [i for i, step in enumerate(steps) if step["type"] == name]
    if value is None:
        del steps[same[-1]]
    elif same:
        steps[same[1 if second else 0]] = {"type": name, **value}
    else:
        steps.append({"type": name, **value})


def read(text: str) -> dict[str, Record]:
    """Return a record for each config of the sheet, by the name of its file without ".py".

    A record has the keys model, train, val, test (batch_size, dataset, pipeline), optim_wrapper,
    param_scheduler, train_cfg, auto_scale_lr; what a config lacks is absent.
    """
    found: dict[str, Record] = {}
    for block in re.split(r"^## ", text, flags=re.M):
        lines = block.splitlines()
        starts = [i for i, line in enumerate(lines) if BASE.match(line)]
        if not starts:
            continue
        name = BASE.match(lines[starts[0]])[1]  # type: ignore[index]
        base = found[name] = _base(lines[starts[0] + 1 :])
        for line in lines[starts[0] + 1 :]:
            if row := VARIANT.match(line):
                record = found[row[1]] = copy.deepcopy(base)
                for difference in re.findall(r"`([^`]+)`", row[2]) or [row[2]]:
                    _differ(record, difference)
    return found
