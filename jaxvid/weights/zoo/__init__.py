"""Published weights by name: the rows of FAMILY.json, and the class names of the data sets.

A name is `<family>_<variant>[_<sampling>][_<tag>]_<dataset>`, such as `swin_tiny_32x2_k400`.
Sampling is frames x stride, or u8 for 8 frames spread over the whole video. A tag tells apart rows
that would share a name. The name without its sampling stands for the best of the rows that differ
in nothing else: `swin_tiny_k400`.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from jaxvid.errors import UserError, did_you_mean

SHARED_NAMES = ("model.safetensors", "pytorch_model.bin")  # that many published files have


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published checkpoint.

    Attributes:
      name: unique, by the grammar above.
      model: the spec of the model, as a config has it.
      upstream: whose tensor names the file has, a key of the family's WEIGHTS.
      kind: what it was trained for, such as "recognition", "skeleton" or "detection". "image"
        networks and backbones from a "pretraining" only start the training of other models.
      task: the spec of the task, as a config has it.
      dataset: what it was trained on; `class_names.of` has its classes, where they are known.
      num_classes: 0 where there are none; a background class is not counted.
      frames, stride: of a clip, as published; stride 0 spreads the frames over the whole video.
        SlowFast counts its slow path.
      recipe: how it was evaluated, the spec of a data recipe; {} where not known yet.
      metrics: as published, fractions 0..1 (ranks are ranks).
      params_m, flops_g: millions of parameters, 1e9 multiply-adds of one view; None if unknown.
      licence: of the weights, by its SPDX name, or "see PAGE" (see `licences`).
      url, mirrors: where the file is, and where else.
      sha256: the first 8 hex digits, "" where none are published.
      config: the config that trains it, FILE:VARIANT, or "".
      default_for: the shorter name that stands for this row, or "".
      published: what upstream calls it.
      note: what to know about it, such as an error upstream.
      bank: the row of the detector that makes its feature bank, or "".
    """

    name: str
    model: Mapping[str, Any]
    upstream: str
    kind: str
    task: Mapping[str, Any]
    dataset: str
    num_classes: int
    frames: int
    stride: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float]
    params_m: float | None = None
    flops_g: float | None = None
    licence: str
    url: str
    mirrors: tuple[str, ...] = ()
    sha256: str = ""
    config: str = ""
    default_for: str = ""
    published: str
    note: str = ""
    bank: str = ""

    @property
    def backbone(self) -> Mapping[str, Any]:
        """The part of `model` that computes the features, which may be all of it."""
        return self.model.get("backbone", self.model)

    @property
    def family(self) -> str:
        """The family that the name begins with: of the model, or of the backbone of a detector."""
        return (self.backbone if self.kind == "detection" else self.model)["name"]

    @property
    def variant(self) -> str:
        """The variant in the name. If the model has none, it names the backbone, as "swin-base"."""
        return self.name.split("_")[1]

    @property
    def is_start(self) -> bool:
        """True if these weights only start the training of other models."""
        return self.kind in ("image", "pretraining")

    @property
    def has_texts(self) -> bool:
        """True if the samples of the data set have texts instead of classes."""
        return self.kind in ("grounding", "question_answering", "retrieval")

    @property
    def finds_people(self) -> bool:
        """True for detectors and pose estimators, whose classes have no names."""
        kinds = "hand_detection", "object_detection", "person_detection", "pose_estimation"
        return self.kind in kinds

    @property
    def is_encoder(self) -> bool:
        """True for a backbone from pre-training whose features are of use without a classifier."""
        return self.kind == "pretraining" and bool(self.recipe)

    @property
    def file(self) -> str:
        """The file's published name, see `file_name`."""
        return file_name(self.url)


@functools.cache
def rows() -> tuple[Row, ...]:
    """All published checkpoints, in the order of their names."""
    folder = resources.files("jaxvid.weights.zoo")
    files = (file for file in folder.iterdir() if file.name.endswith(".json"))
    found = (row for file in files for row in json.loads(file.read_text(encoding="utf-8")))
    read = (Row(**{**row, "mirrors": tuple(row.get("mirrors", ()))}) for row in found)
    return tuple(sorted(read, key=lambda row: row.name))


def get(name: str) -> Row:
    """Return the row of a name, or of a short name.

    Raises:
      UserError: no such row; suggests the nearest name.
    """
    known = by_name()
    if name in known:
        return known[name]
    family = name.partition("_")[0].lower()
    families = {name.partition("_")[0] for name in known}
    repository = rf"https://huggingface\.co/[^/]+/{re.escape(name)}/"
    if same := [row.name for row in rows() if re.match(repository, row.url)]:
        hint = f' Did you mean "{same[0]}"?'
    elif family in families:
        hint = did_you_mean(name, [n for n in known if n.partition("_")[0] == family])
    else:
        hint = did_you_mean(family, families)
    raise UserError(
        f'there are no published weights named "{name}".{hint} `python -m jaxvid.tools.zoo` lists'
        " all of them"
    )


def by_name() -> dict[str, Row]:
    """Rows by their names, and by the short names that they are the default for."""
    short = {row.default_for: row for row in rows() if row.default_for}
    return short | {row.name: row for row in rows()}


def default(model: Mapping[str, Any]) -> Row | None:
    """Return the checkpoint that `init.weights="published"` stands for.

    It is one of Kinetics-400, or else an encoder that is trained without labels.

    Args:
      model: The spec of a model. Only names and variants in it count.
    """
    alike = [row for row in rows() if _alike(row.model, model)]
    names = (f"{row.family}_{row.variant}_k400" for row in alike)
    encoders = sorted((row for row in alike if row.is_encoder), key=lambda row: not row.config)
    names = (*names, *(row.name for row in encoders))
    return next((by_name()[name] for name in names if name in by_name()), None)


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two specs have the same names and variants, also of their backbones."""
    same = all(one.get(key) == other.get(key) for key in ("name", "variant"))
    inside = one.get("backbone", {}), other.get("backbone", {})
    return same and (not any(inside) or _alike(*inside))


def file_name(url: str) -> str:
    """Return the name that the file of a link gets on this machine.

    All repositories of Hugging Face call their weights model.safetensors or pytorch_model.bin. Such
    a file gets the name of its repository.
    """
    *_, repository, _, _, name = ["", "", "", *url.split("/")]
    return f"{repository}{Path(name).suffix}" if name in SHARED_NAMES else name


def of_file(path: Path) -> Row | None:
    """The row that a file is named after: its published name with any hash, or a zoo name.

    A file with one of `SHARED_NAMES` is in a folder of the name instead.
    """
    if path.name in SHARED_NAMES:
        path = path.with_name(f"{path.absolute().parent.name}{path.suffix}")
    for row in rows():
        if row.file == path.name:
            return row

    def stem(name):
        return re.sub(r"(-[0-9a-f]{8})?\.\w+$", "", name)

    published = {row.published: row for row in reversed(rows())}
    published |= {stem(row.file): row for row in reversed(rows())}
    return published.get(stem(path.name)) or by_name().get(stem(path.name))
