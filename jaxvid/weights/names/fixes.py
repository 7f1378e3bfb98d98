"""Changes of published tensors that rename rows cannot express, each with its way back.

`Weights.fix` takes one of them, or several in `chain`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce

import numpy as np

from jaxvid.weights.convert import Fix

Tensors = dict[str, np.ndarray]
Change = Callable[[Mapping[str, np.ndarray]], Tensors]


def chain(*fixes: Fix) -> Fix:
    """Return one change that makes several, in their order."""

    def applied(changes: Iterable[Change]) -> Change:
        steps = tuple(changes)
        return lambda tensors: reduce(lambda found, change: change(found), steps, dict(tensors))

    return applied(there for there, _ in fixes), applied(back for _, back in reversed(fixes))


def renamed(rules: tuple[tuple[str, str], ...]) -> Fix:
    """Return a change of former names. The way back keeps the present ones.

    Args:
      rules: (pattern, replacement) for parts of names, applied one after the other.
    """

    def present(name: str) -> str:
        return reduce(lambda found, rule: re.sub(*rule, found), rules, name)

    return lambda tensors: {present(name): x for name, x in tensors.items()}, dict


def each(pattern: str, there: Callable, back: Callable) -> Fix:
    """Return a change of the values of tensors whose whole names match a pattern."""

    def applied(change: Callable) -> Change:
        return lambda tensors: {
            name: change(x) if re.fullmatch(pattern, name) else x for name, x in tensors.items()
        }

    return applied(there), applied(back)


def transposed(pattern: str) -> Fix:
    """Return a change of matrices whose rows are the inputs here and the outputs there."""
    return each(pattern, np.transpose, lambda x: np.ascontiguousarray(x.T))


def without_batch(pattern: str) -> Fix:
    """Return a change of tables and tokens that upstream stores as a batch of one."""
    return each(pattern, lambda x: x.reshape(x.shape[1:]), lambda x: x[None])


def without_ones(pattern: str, *axes: int) -> Fix:
    """Return a change of tensors that upstream stores with additional axes of length 1."""

    def squeezed(x):
        return x.squeeze(tuple(a for a in axes if a < x.ndim and x.shape[a] == 1))

    return each(pattern, squeezed, lambda x: np.expand_dims(x, axes))


def joined(parts: tuple[str, ...], whole: str) -> Fix:
    """Return a change that joins tensors along their first axis, as queries, keys and values.

    Args:
      parts: A word in the name of each, such as ("q_proj", "k_proj", "v_proj").
      whole: The word in the name of all together, such as "qkv".
    """
    first = _word(parts[0])

    def join(tensors: Mapping[str, np.ndarray]) -> Tensors:
        found = dict(tensors)
        for name in tensors:
            names = [first.sub(part, name) for part in parts]
            if first.search(name) and found.keys() >= set(names):
                found[first.sub(whole, name)] = np.concatenate([found.pop(n) for n in names])
        return found

    def split(tensors: Mapping[str, np.ndarray]) -> Tensors:
        found: Tensors = {}
        for name, x in tensors.items():
            if _word(whole).search(name):
                values = zip(parts, np.split(x, len(parts)), strict=True)
                found |= {_word(whole).sub(part, name): value for part, value in values}
            else:
                found[name] = x
        return found

    return join, split


def parted(pattern: str, whole: str, parts: Mapping[str, int]) -> Fix:
    """Return a change that splits tensors along their first axis.

    Args:
      pattern: Of the names of the tensors.
      whole: A word in these names, such as "in_proj_weight".
      parts: What replaces it in the names of the parts, with the relative lengths, such as
        {"q.weight": 1, "kv.weight": 2}.
    """
    names, ends = list(parts), np.cumsum(list(parts.values()))

    def split(tensors: Mapping[str, np.ndarray]) -> Tensors:
        found: Tensors = {}
        for name, x in tensors.items():
            if re.fullmatch(pattern, name):
                values = np.split(x, ends[:-1] * len(x) // ends[-1])
                found |= {_word(whole).sub(n, name): y for n, y in zip(names, values, strict=True)}
            else:
                found[name] = x
        return found

    def join(tensors: Mapping[str, np.ndarray]) -> Tensors:
        found, first = dict(tensors), _word(names[0])
        for name in tensors:
            every = [first.sub(n, name) for n in names]
            if first.search(name) and found.keys() >= set(every):
                found[first.sub(whole, name)] = np.concatenate([found.pop(n) for n in every])
        return found

    return split, join


def _word(word: str) -> re.Pattern[str]:
    """Return a pattern of a whole word of a name, between dots."""
    return re.compile(rf"(?<![^.]){re.escape(word)}(?![^.])")
