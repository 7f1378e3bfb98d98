"""Rename tables: published PyTorch tensors into Flax variables, strictly, and back.

A table maps module prefixes, `("backbone.layers.{s}.blocks.{b}", "backbone/stage{s}_block{b}")`:
`{s}` stands for a number or a word, the longest matching row wins, what follows the prefix is kept.
The leaf and its memory layout follow from what the model has under that path.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxvid.errors import UserError, did_you_mean

# torch leaf -> the Flax leaves it may be, each in its collection
LEAVES = {
    "weight": ("params/kernel", "params/scale", "params/embedding"),
    "bias": ("params/bias",),
    "running_mean": ("batch_stats/mean",),
    "running_var": ("batch_stats/var",),
}


@dataclass(frozen=True)
class Weights:
    """How one upstream names the tensors of a family.

    Attributes:
      rename: rows (torch prefix, jax prefix), a bijection.
      skip: patterns of whole torch names that hold nothing to load, such as index buffers.
    """

    rename: tuple[tuple[str, str], ...]
    skip: tuple[str, ...] = ()


def convert(tensors: Mapping[str, np.ndarray], variables: Mapping, weights: Weights) -> dict:
    """Fill the tree of `variables` (arrays or shapes) from torch-named `tensors`.

    Returns:
      {"params": ..., "batch_stats": ...} in the dtypes of `variables`.

    Raises:
      UserError: a tensor without a place, a leaf without a tensor or a shape that differs; the
        message lists all of them.
    """
    want: dict[str, Any] = flatten_dict(variables, sep="/")  # type: ignore[assignment]
    got, problems = {}, []
    for name, tensor in tensors.items():
        if any(re.fullmatch(pattern, name) for pattern in weights.skip):
            continue
        path = rename(name, weights.rename)
        key = path and _find_leaf(path, want)
        if not key:
            near = did_you_mean(path or name, want) if len(problems) < 20 else ""
            problems.append(f"no place for {name} {tuple(tensor.shape)}.{near}")
            continue
        value = to_flax(tensor, key)
        if value.shape != want[key].shape:
            problems.append(f"{name} {value.shape} does not fit {key} {want[key].shape}")
        elif key in got:
            problems.append(f"{name} and another tensor both map to {key}")
        got[key] = value.astype(want[key].dtype)
    problems += [f"nothing to load into {key} {want[key].shape}" for key in want if key not in got]
    if problems:
        raise UserError("the weights do not fit the model:\n  " + "\n  ".join(problems))
    return unflatten_dict({key: got[key] for key in want}, sep="/")


def rename(name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    """'cls_head.fc_cls.weight' -> 'head/fc/weight'; None when no row matches."""
    best = None
    for source, target in table:
        found = re.match(_pattern(source), name)
        if found and (best is None or len(source) > best[0]):
            rest = name[found.end() :].replace(".", "/")
            best = len(source), target.format(**found.groupdict()) + rest
    return best and best[1]


def to_flax(tensor: np.ndarray, key: str) -> np.ndarray:
    """Torch (out, in, *space) -> Flax (*space, in, out) for kernels; all else is kept."""
    if not key.endswith("/kernel") or tensor.ndim < 2:
        return tensor
    return tensor.transpose(*range(2, tensor.ndim), 1, 0)


def _pattern(prefix: str) -> str:
    parts = re.split(r"\{(\w+)\}", prefix)
    body = "".join(f"(?P<{p}>\\w+)" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    return body + r"(?=\.|$)"


def _find_leaf(path: str, want: Mapping) -> str | None:
    module, _, leaf = path.rpartition("/")
    for candidate in LEAVES.get(leaf, (f"params/{leaf}",)):
        collection, _, flax_leaf = candidate.partition("/")
        key = f"{collection}/{module}/{flax_leaf}"
        if key in want:
            return key
    return None
