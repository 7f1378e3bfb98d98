"""Rename tables: they convert published PyTorch tensors into Flax variables, and back.

A row of a table maps the beginning of a name to that of a parameter path, as in
`("backbone.layers.{s}.blocks.{b}", "backbone/stage{s}_block{b}")`. `{s}` stands for a number or a
word. The longest row that matches is used, and the rest of the name is kept. The name of the leaf
and the order of its axes follow from the variable of the model at that path. Tables are bijective:
read backwards, they give the upstream's names of our parameters.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxvid import errors
from jaxvid.errors import UserError, nearest

Table = tuple[tuple[str, str], ...]
Fix = tuple[Callable[[Mapping], dict], Callable[[Mapping], dict]]

# PyTorch leaf -> the Flax leaves that it can become, each with its collection
LEAVES = {
    "weight": ("params/kernel", "params/scale", "params/embedding"),
    "bias": ("params/bias",),
    "running_mean": ("batch_stats/mean",),
    "running_var": ("batch_stats/var",),
}
TORCH_LEAVES = {flax: torch for torch, leaves in LEAVES.items() for flax in leaves}
SHOWN = 40  # problems in one error message


@dataclass(frozen=True)
class Weights:
    """The names of one upstream for the tensors of a family.

    Attributes:
      rename: Rows (PyTorch prefix, jaxvid prefix), a bijection; or a function of the model that
        returns them, if the names depend on options of the model.
      skip: Patterns of whole PyTorch names that are not loaded, such as index buffers.
      order: The words of the upstream's names in its order, for export. If the order of a word is
        different below some module, that module precedes it, as in "gcn.bn".
      buffers: A function of the model and the PyTorch names that returns the tensors that the
        upstream stores in addition to its parameters.
      adapt: A function (model, path, value, shape) -> value of that shape, for tensors of another
        shape, such as the kernels of an image model.
      fix: A pair of functions, for tensors that must be joined or split: from the upstream's
        tensors to those that the rows name, and back. They keep all other tensors as they are. Or a
        function of the model that returns the pair.
    """

    rename: Table | Callable[[Any], Table]
    skip: tuple[str, ...] = ()
    order: str = ""
    buffers: Callable[[Any, list[str]], dict[str, np.ndarray]] | None = None
    adapt: Callable[[Any, str, np.ndarray, tuple[int, ...]], np.ndarray] | None = None
    fix: Fix | Callable[[Any], Fix] | None = None

    def rows(self, net: nn.Module | None = None) -> Table:
        """Return the rename table of one model."""
        return self.rename(net) if callable(self.rename) else self.rename

    def fixes(self, net: nn.Module | None = None) -> Fix:
        """Return the pair of functions that change tensors for one model, and back."""
        fix = self.fix(net) if callable(self.fix) else self.fix
        return fix or (dict, dict)

    def with_head(self, head: "Weights | None", net: nn.Module | None) -> "Weights":
        """Return the table of a model that has this one's backbone and another head.

        Tensors of this one's head are skipped, so that training can start from its files.

        Args:
          head: A table with the upstream's names of that head; None if it has no such head.
          net: The model.
        """
        rows = self.rows(net)
        kept = tuple(row for row in rows if row[1].split("/")[0] == "backbone")
        named = head.rows(net) if head else ()
        named = tuple(row for row in named if row[1].split("/")[0] != "backbone")
        lost = (row[0] for row in rows if row not in kept + named)
        gone = [re.sub(r"{\w+}", r"\\w+", name) + ".*" for name in lost]
        fix = self.fixes(net)
        if head and head.fix:
            (there, back), (of_head, from_head) = fix, head.fixes(net)
            fix = (lambda x: of_head(there(x))), (lambda x: back(from_head(x)))
        # Words of the head: its order may rank those of another backbone differently.
        parts = {part for name, _ in named for part in re.sub(r"{\w+}", r"\\w+", name).split(".")}
        known = self.order.split()
        more = [
            word
            for word in (head.order.split() if head else ())
            if word not in known and any(re.fullmatch(part, word) for part in parts)
        ]
        order = " ".join([*known, *more])
        return replace(self, rename=kept + named, skip=(*self.skip, *gone), order=order, fix=fix)


@dataclass(frozen=True)
class Coverage:
    """The result of a conversion in numbers. `str()` is a line for the log.

    Attributes:
      tensors: Number of tensors that were loaded.
      leaves: Number of variables of the model.
      parameters: Number of loaded parameters.
      total: Number of parameters of the model.
      skipped: Patterns of variables that were not loaded.
      adapted: Paths of variables whose tensors had another shape.
    """

    tensors: int
    leaves: int
    parameters: int
    total: int
    skipped: tuple[str, ...]
    adapted: tuple[str, ...]

    def __str__(self) -> str:
        counts = f"{self.tensors}/{self.leaves} tensors"
        sizes = f"{self.parameters / 1e6:.1f}/{self.total / 1e6:.1f} M parameters"
        skips = f"; declared skips: {', '.join(self.skipped)}" if self.skipped else ""
        fits = f"; {len(self.adapted)} tensors adapted in shape" if self.adapted else ""
        return f"loaded {counts}, {sizes}{skips}{fits}"


def convert(
    tensors: Mapping[str, np.ndarray],
    variables: Mapping,
    weights: Weights,
    *,
    skip: tuple[str, ...] = (),
    net: nn.Module | None = None,
) -> tuple[dict, Coverage]:
    """Fill the variables of a model with the tensors of an upstream.

    Args:
      tensors: Tensors by the upstream's names.
      variables: {"params": ..., "batch_stats": ...}, arrays or shapes.
      weights: The table of the upstream.
      skip: Patterns of paths under "params" that keep their values of `variables`.
      net: The model, for tables and tensors that depend on its options.

    Returns:
      A tree like `variables`, with its dtypes, and the numbers of what was loaded.

    Raises:
      UserError: a tensor has no variable, a variable has no tensor, a shape differs, or values are
        no finite floating-point numbers. The message lists all of them.
    """
    want: dict[str, Any] = flatten_dict(variables, sep="/")  # type: ignore[assignment]
    stays = {key for key in want if any(re.fullmatch(p, key.partition("/")[2]) for p in skip)}
    got: dict[str, np.ndarray] = {}
    adapted, problems = [], []
    rows = weights.rows(net)
    tensors = weights.fixes(net)[0](tensors)
    for name, tensor in tensors.items():
        if any(re.fullmatch(pattern, name) for pattern in weights.skip):
            continue
        path = rename(name, rows)
        key = path and leaf_key(path, want)
        if not key:
            near = nearest(path or name, want) if len(problems) < SHOWN else ""
            problems.append(f"no place for {name} {tuple(tensor.shape)}.{near}")
            continue
        if key in stays:
            continue
        value, shape = to_flax(tensor, key), tuple(want[key].shape)
        if value.shape != shape and weights.adapt:
            value = weights.adapt(net, key, value, shape)
            adapted.append(key)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            problems.append(f"{name} is {value.dtype}: only floating-point numbers are weights")
        elif not np.isfinite(value).all():
            problems.append(f"{name} has values that are infinite or not a number")
        elif value.shape != shape:
            problems.append(f"{name} {value.shape} does not fit {key} {shape}")
        elif key in got:
            problems.append(f"{name} and another tensor both map to {key}")
        got[key] = value.astype(want[key].dtype)
    lacking = [key for key in want if key not in got and key not in stays]
    problems += [f"nothing to load into {key} {tuple(want[key].shape)}" for key in lacking]
    if problems:
        raise errors.problems("the weights do not fit the model:", problems, SHOWN)
    size = {k: int(np.prod(leaf.shape)) for k, leaf in want.items() if k.startswith("params/")}
    coverage = Coverage(
        len(got),
        len(want),
        sum(size.get(key, 0) for key in got),
        sum(size.values()),
        skip,
        tuple(adapted),
    )
    return unflatten_dict(
        {key: got.get(key, leaf) for key, leaf in want.items()}, sep="/"
    ), coverage


def export(
    variables: Mapping, weights: Weights, net: nn.Module | None = None
) -> dict[str, np.ndarray]:
    """Return variables as tensors with the names, axes, order and buffers of an upstream.

    Raises:
      UserError: the table has no row for a variable.
    """
    flat: dict[str, Any] = flatten_dict(variables, sep="/")  # type: ignore[assignment]
    back = tuple((target, source) for source, target in weights.rows(net))
    named = {}
    for key, leaf in flat.items():
        name = torch_name(key, back)
        if name is None:
            raise UserError(f"the rename table has no row for {key}")
        named[name] = np.asarray(to_torch(np.asarray(leaf), key), order="C")
    named = weights.fixes(net)[1](named)
    if weights.buffers:
        named |= weights.buffers(net, list(named))
    ranks = {word: i for i, word in enumerate(weights.order.split())}

    def rank(word, before):
        below = ranks.get(f"{before}.{word}", ranks.get(word, len(ranks)))
        return int(word) if word.isdigit() else below

    def ranked(name):
        words = name.split(".")
        return list(map(rank, words, ["", *words]))

    return {name: named[name] for name in sorted(named, key=ranked)}


def rename(name: str, table: Table) -> str | None:
    """Return 'head/fc/weight' for 'cls_head.fc_cls.weight'; None if no row matches."""
    best = _longest(name, table, r"(?=\.|$)")
    return best and best[0] + best[1].replace(".", "/")


def torch_name(key: str, back: Table) -> str | None:
    """Return 'cls_head.fc_cls.weight' for 'params/head/fc/kernel', by a table read backwards."""
    collection, _, path = key.partition("/")
    module, _, leaf = path.rpartition("/")
    leaf = TORCH_LEAVES.get(f"{collection}/{leaf}", leaf)
    best = _longest(f"{module}/{leaf}", back, r"(?=/|$)")
    return best and best[0] + best[1].replace("/", ".")


def to_flax(tensor: np.ndarray, key: str) -> np.ndarray:
    """Transpose kernels from (out, in, *space) to (*space, in, out); keep all other tensors."""
    if not key.endswith("/kernel") or tensor.ndim < 2:
        return tensor
    return tensor.transpose(*range(2, tensor.ndim), 1, 0)


def to_torch(leaf: np.ndarray, key: str) -> np.ndarray:
    """Transpose kernels from (*space, in, out) to (out, in, *space); keep all other variables."""
    if not key.endswith("/kernel"):
        return leaf
    return leaf.transpose(leaf.ndim - 1, leaf.ndim - 2, *range(leaf.ndim - 2))


def leaf_key(path: str, want: Mapping) -> str | None:
    """Return the key of `want` for a path: 'params/head/fc/kernel' for 'head/fc/weight'."""
    module, _, leaf = path.rpartition("/")
    for candidate in LEAVES.get(leaf, (f"params/{leaf}",)):
        collection, _, flax_leaf = candidate.partition("/")
        key = f"{collection}/{module}/{flax_leaf}"
        if key in want:
            return key
    return None


def _longest(name: str, table: Table, end: str) -> tuple[str, str] | None:
    """Return (translated prefix, rest of the name) by the row that matches most of the name.

    Of rows that match the same part, the one with the fewest placeholders is used.
    """
    best = None
    for source, target in table:
        match = re.match(_pattern(source) + end, name)
        if not match:
            continue
        rank = match.end(), -source.count("{")
        if best is None or rank > best[0]:
            best = rank, target.format(**match.groupdict()), name[match.end() :]
    return best and best[1:]


def _pattern(prefix: str) -> str:
    parts = re.split(r"\{(\w+)\}", prefix)
    # In our names, a word may follow a number directly, as in stage0_block1.
    return "".join(
        f"(?P<{p}>[0-9]+|[a-zA-Z]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts)
    )
