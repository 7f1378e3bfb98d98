"""Checks of the sources of a run: kinds of labels, wrong labels, missing files, overlapping splits.

Those in `CHECKS` yield a line for each problem. Each takes the sources by split, the number of
classes, and the names of the classes or ().
"""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxvid.data.annotations import feature_files
from jaxvid.data.annotations.labels import FOR_SEVERAL, MultiLabels
from jaxvid.data.sample import Source
from jaxvid.data.video.video_files import missing
from jaxvid.errors import UserError

Check = Literal["labels", "empty", "missing", "duplicates", "overlap"]
CHECKS = ("labels", "empty", "missing", "duplicates", "overlap")


def check_kind(source: Source, kind: str):
    """Raise a UserError if samples have several labels and the task needs one, or the reverse."""
    labels: Any = source.labels
    has_several = isinstance(labels, MultiLabels) or labels.ndim == 2
    if kind == "other" or has_several == (kind == "several"):
        return
    if has_several:
        raise UserError(f"{source.origin}: samples have several labels, which need {FOR_SEVERAL}")
    raise UserError(
        f"{source.origin}: samples have one label, but config.task.name=multi_label needs lists"
        " with several labels per line"
    )


def check_about(source: Source, about: Mapping):
    """Raise a UserError if facts about the data differ between a source and a checkpoint."""
    for key, value in source.about.items():
        if found := feature_files.differing(about.get(key, value), value):
            differ = ", ".join(f"{k} was {there}, now {here}" for k, there, here in found)
            raise UserError(f"{source.origin}: {key} differ from those of training: {differ}")


def check_width(source: Source, channels: int, where: str):
    """Raise a UserError if features have another number of channels than others, of `where`."""
    found = source.channels
    if channels and found and found != channels:
        raise UserError(
            f"{source.origin}: features of {found} channels, but {where} have {channels}: are they"
            " of another model?"
        )


def check_labels(sources: dict[str, Source], num_classes: int, names):
    """Yield labels that are out of range. JAX would silently clamp them or treat them as zeros."""
    for source in sources.values():
        labels = source.labels
        if not isinstance(labels, MultiLabels) and labels.ndim == 1:
            for i in np.flatnonzero((labels < 0) | (labels >= num_classes)).tolist():
                yield (
                    f"{source.where(i)}: label {labels[i]} is outside 0..{num_classes - 1}"
                    f" (config.data.num_classes={num_classes})"
                )


def check_empty(sources: dict[str, Source], num_classes: int, names):
    """Yield classes without a training video, because a model never learns to predict them."""
    if "train" in sources:
        for i in np.flatnonzero(counts(sources["train"].labels, num_classes) == 0):
            name = names[i] if names else str(i)
            rest = 'leave "empty" out of config.data.checks'
            if Path(sources["train"].origin, name).is_dir():
                rest = "remove the folder"
            if not name.isdecimal():  # a decimal name is the number in the file, possibly from 1
                name = f'{i} "{name}"'
            yield (
                f"{sources['train'].origin}: class {name} has no training video;"
                f" add some, or {rest}"
            )


def check_missing(sources: dict[str, Source], num_classes: int, names):
    """Yield files that do not exist."""
    for source in sources.values():
        paths = [source[i].get("path") for i in range(len(source))]
        for i in missing(paths):
            yield f"{source.where(i)}: no such file: {paths[i]}"


def check_duplicates(sources: dict[str, Source], num_classes: int, names):
    """Yield files that a split lists twice. They would count double, or have two labels."""
    for source in sources.values():
        seen: dict[str, int] = {}
        for i in range(len(source)):
            j = seen.setdefault(os.path.realpath(source.id(i)), i)
            if i != j:
                same = np.array_equal(source.labels[i], source.labels[j])
                other = "" if same else ", with another label"
                first = source.where(j)
                yield f"{source.where(i)}: {source.id(i)} is listed twice ({first}){other}"


def check_overlap(sources: dict[str, Source], num_classes: int, names):
    """Yield files that two splits have in common."""
    for (split, one), (_, two) in itertools.combinations(sources.items(), 2):
        seen = {os.path.realpath(one.id(i)): i for i in range(len(one))}
        where = "training" if split == "train" else split
        for i in range(len(two)):
            if (j := seen.get(os.path.realpath(two.id(i)))) is not None:
                yield f"{two.where(i)}: {two.id(i)} is also in {where} ({one.where(j)})"


def counts(labels: Any, num_classes: int) -> np.ndarray:
    """Return the number of samples of each class, int (classes,), without labels out of range."""
    if isinstance(labels, MultiLabels):
        return np.bincount(labels.values, minlength=num_classes)
    if labels.ndim == 2:
        return labels.sum(0).astype(int)
    return np.bincount(labels[(labels >= 0) & (labels < num_classes)], minlength=num_classes)
