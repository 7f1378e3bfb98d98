"""Heads for other classes: each class takes the parameters of the class with the same name.

The classes are the last axis of the parameters of a classifier.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from jax.sharding import NamedSharding, PartitionSpec

from jaxvid import param_rules

HEAD = "head/.*"  # parameters that depend on the classes, in every family
CLASSIFIER = "head/fc/.*"  # the same in heads with the normalization "fc_norm", which does not


def head(variables: Mapping, pattern: str = "") -> tuple[str, list[str]]:
    """Return the pattern of the parameters that depend on the classes, and their paths."""
    paths = list(param_rules.flatten(variables["params"]))
    if not pattern:
        normalized = any(path.startswith("head/fc_norm/") for path in paths)
        pattern = CLASSIFIER if normalized else HEAD
    return pattern, [path for path in paths if re.fullmatch(pattern, path)]


def shapes(variables: Mapping, heads: Iterable[str], here: int, there: int) -> dict:
    """Return variables whose heads are shapes for the classes of the weights, on every device.

    Args:
      variables: Of a model with `here` classes.
      heads: Paths of the parameters of its head. Those without an axis of classes are kept.
      there: Number of classes of the weights.
    """
    flat = param_rules.flatten(variables)
    for key in (f"params/{path}" for path in heads):
        leaf = flat[key]
        if leaf.shape[-1] == here:
            whole = leaf.sharding
            if isinstance(whole, NamedSharding):  # the other number may not be divisible
                whole = NamedSharding(whole.mesh, PartitionSpec())
            shape = (*leaf.shape[:-1], there)
            flat[key] = jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=whole)
    return unflatten_dict(flat, sep="/")


def select(loaded: Mapping, variables: Mapping, places: Sequence[int]) -> dict:
    """Return loaded variables with the classes at `places`, and the shardings of `variables`."""
    chosen = np.asarray(places)

    def fitted(leaf, like):
        if leaf.shape == like.shape:
            return leaf
        return jax.jit(lambda x: x[..., chosen], out_shardings=like.sharding)(leaf)

    return jax.tree.map(fitted, loaded, variables)
