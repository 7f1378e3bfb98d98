"""A golden: what a published model computes from weights and inputs that follow from a rule.

NAME.npz holds its outputs, all arrays whose names start with `logits` but for `*_f64`; the mean and
start of the backbone's features; and constants, `keep:<tensor>`. NAME.json says what it is:

    input        shape after preprocessing, or {key: shape}; drawn by `draw` from `input_seed`, or 0
    state_dict   [name, shape, dtype, kind, ...] of each tensor; of kind `rand` (drawn by `weight`),
                 `keep` (a constant of the given sha1, here or in constants.npz; a large one in
                 neither), `skip` (nothing to load) or `tied:<name>` (that tensor again)
    base         the golden whose row in tests/parity/cases applies, if it has none of its own
    num_classes  if not the width of its output
    aux          names of arrays in NAME.npz that are inputs, too
    f32_vs_f64   {output: {rel: noise}} of upstream's own float32
    train        input, input_seed, labels, and what one step of training gave
"""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvid.errors import UserError, did_you_mean
from tests.parity.cases import CASES, Case

NOISE = 2e-5  # relative, of float32 against float32 where nothing was measured
LARGE = 60_000  # elements; of a constant that has more, only the hash is known


@dataclass(frozen=True)
class Golden:
    """One of them: `about` is NAME.json, `arrays` NAME.npz."""

    name: str
    folder: Path
    about: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @property
    def case(self) -> Case:
        """The row that applies.

        Raises:
          UserError: there is none.
        """
        row = self.about.get("base", self.name)
        if row not in CASES:
            raise UserError(
                f'{self.name}: tests/parity/cases has no row "{row}": add one, or name as "base"'
                f" in {self.name}.json the golden whose row applies.{did_you_mean(row, CASES)}"
            )
        return CASES[row]

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        """All that the model gives."""
        names = [k for k in self.arrays if k.startswith("logits") and not k.endswith("_f64")]
        if not names:
            raise UserError(
                f"{self.name}.npz has no output: an array whose name starts with logits"
            )
        return {name: self.arrays[name] for name in names}

    @property
    def features(self) -> dict[str, np.ndarray]:
        """Mean and start of what the backbone gives."""
        return {name: self.arrays[name] for name in self.arrays if name.startswith("backbone")}

    @property
    def num_classes(self) -> int:
        given = self.about.get("num_classes") or self.case.classes
        return given or next(iter(self.outputs.values())).shape[-1]

    @property
    def parameters(self) -> int:
        """Learned numbers that are in use, running statistics among them."""
        used = (row for row in self.rows if not re.fullmatch(self.case.unused, row[0]))
        return sum(int(np.prod(row[1])) for row in used if row[3] == "rand")

    @property
    def rows(self) -> list:
        """(name, shape, dtype, kind, ...) of each tensor, in upstream's order."""
        return self.about["state_dict"]

    @property
    def input(self):
        drawn = draw(self.about["input"], self.about.get("input_seed", 0))
        more = {
            name: self.arrays[name] for name in (*(self.about.get("aux") or ()), *self.case.arrays)
        }
        if "text_tokens" in self.arrays:
            more["text"] = self.arrays["text_tokens"]
        return {"video": drawn, **more} if more else drawn

    @property
    def train_input(self):
        """That of the step of training."""
        record = self.about["train"]
        drawn = draw(record["input"], record["input_seed"])
        names = record.get("aux") or ()
        more = {name.removeprefix("train_"): self.arrays[name] for name in names}
        return {"video": drawn, **more} if more else drawn

    @property
    def input_shapes(self):
        return jax.tree.map(lambda x: list(x.shape), self.input)

    def tolerance(self, output: str) -> float:
        """Of max|a - b| / max|b|."""
        noise = (self.about.get("f32_vs_f64") or {}).get(output) or {}
        return max(NOISE, 20 * noise.get("rel", 0))

    def tensors(self) -> dict[str, np.ndarray]:
        """The published model's tensors by their torch names; index buffers are left out."""
        found = dict(self.constants)
        for name, shape, _, kind, *_ in self.rows:
            if kind == "rand":
                found[name] = weight(name, shape)
            elif kind.startswith("tied:"):
                found[name] = found[kind.removeprefix("tied:")]
        return found

    @property
    def digests(self) -> dict[str, str]:
        """Hashes of the constants that are too large to be in a file."""
        rows = (row for row in self.rows if row[3] == "keep" and np.prod(row[1]) > LARGE)
        return {name: info["sha1"] for name, _, _, _, info in rows}

    @cached_property
    def constants(self) -> dict[str, np.ndarray]:
        """What the published model's constructor computed, such as a graph, by torch names."""
        rows = [row for row in self.rows if row[3] == "keep" and row[0] not in self.digests]
        known = {digest(value): value for value in self._kept()} if rows else {}
        for name, shape, _, _, info in rows:
            if info["sha1"] not in known:
                raise UserError(
                    f"{self.name}: {name} {shape} with sha1 {info['sha1']} is neither in"
                    f" {self.name}.npz nor in constants.npz; take them from where it comes from"
                )
        return {name: known[info["sha1"]].reshape(shape) for name, shape, _, _, info in rows}

    def _kept(self):
        """One copy of all that are equal, in the golden's own file or in that of all."""
        yield from (self.arrays[key] for key in self.arrays if key.startswith("keep:"))
        shared = self.folder / "constants.npz"
        yield from np.load(shared).values() if shared.exists() else ()


def names(folder: Path) -> list[str]:
    """The goldens of a folder."""
    return sorted(p.stem for p in folder.glob("*.npz") if p.with_suffix(".json").exists())


def read(folder: Path, name: str) -> Golden:
    """The golden `name`.

    Raises:
      UserError: no such files, or one of them lacks what a golden needs.
    """
    path = folder / f"{name}.json"
    if name not in names(folder):
        known = did_you_mean(name, names(folder))
        raise UserError(f"{folder} has no golden {name}: {name}.json and {name}.npz.{known}")
    about = json.loads(path.read_text())
    for key in ("input", "state_dict"):
        if key not in about:
            raise UserError(f'{path} has no "{key}"')
    return Golden(name, folder, about, np.load(path.with_suffix(".npz")))


def weight(name: str, shape) -> np.ndarray:
    """The tensor that the rule gives a name."""
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    leaf = name.split(".")[-1]
    if leaf == "running_var":
        z = 1 + 0.2 * np.abs(z)
    elif name.endswith("conv_out.bn.weight"):  # near its zero start, as in trained non-local blocks
        z = 0.01 * z
    elif leaf.endswith("weight") and len(shape) == 1:
        z = 1 + 0.1 * z
    elif leaf.endswith("weight") and len(shape) >= 2:
        z = z / np.sqrt(np.prod(shape[1:]))
    else:
        z = 0.1 * z
    return np.asarray(z, np.float32)


def draw(shapes, seed: int) -> Any:
    """An array, or for a dict of shapes a dict: drawn in its order from one generator."""
    rng = np.random.default_rng(seed)
    if isinstance(shapes, dict):
        return {key: rng.standard_normal(s).astype(np.float32) for key, s in shapes.items()}
    return rng.standard_normal(shapes).astype(np.float32)


def digest(array: np.ndarray) -> str:
    return hashlib.sha1(np.ascontiguousarray(array).tobytes()).hexdigest()
