"""Checkpoints of runs that a run of another kind starts from: other clips, or masked pre-training.

Position tables are resized for clips of other frames or pixels. Files of weights are resized by the
same functions, `Weights.adapt`, when they are converted.
"""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from jax.sharding import NamedSharding, PartitionSpec

from jaxvid import param_rules
from jaxvid.checkpoints import store

logger = logging.getLogger(__name__)

Adapt = Callable[[Any, str, np.ndarray, tuple[int, ...]], np.ndarray]


def keep(net: Any, key: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return `value` as it is, for families that change no shapes (`Weights.adapt`)."""
    return value


def load_into(
    variables: Mapping, folder: Path, skip: tuple[str, ...], net: nn.Module, adapt: Adapt
) -> tuple[dict, list[str]]:
    """Do the same as `store.load_into`, and resize what has another shape in the checkpoint.

    Args:
      variables: Those of the model, with their shardings.
      folder: Folder of one checkpoint.
      skip: Patterns of paths that are not replaced.
      net: The model.
      adapt: The function that changes shapes for its family, as in `Weights`.

    Returns:
      The variables, and a line for each that was resized, with both shapes.

    Raises:
      UserError: the checkpoint does not fit, and cannot be resized.
    """
    flat, saved = param_rules.flatten(variables), store.saved_shapes(folder)
    like = dict(flat)
    for key, leaf in flat.items():
        if key not in saved or saved[key] == leaf.shape or store.skipped(key, skip):
            continue
        if key.endswith("/kernel"):  # it is that of another model
            continue
        shape = saved[key]
        if adapt(net, key, np.zeros(shape, leaf.dtype), leaf.shape).shape == leaf.shape:
            whole = leaf.sharding
            if isinstance(whole, NamedSharding):  # the other size may not be divisible
                whole = NamedSharding(whole.mesh, PartitionSpec())
            like[key] = jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=whole)
    loaded = param_rules.flatten(store.load_into(unflatten_dict(like, sep="/"), folder, skip))
    changed = [key for key in flat if like[key] is not flat[key]]
    for key in changed:
        value = adapt(net, key, np.asarray(loaded[key]), flat[key].shape)
        loaded[key] = jax.device_put(value, flat[key].sharding)
    lines = [f"{key} {like[key].shape} -> {flat[key].shape}" for key in changed]
    return unflatten_dict(loaded, sep="/"), lines


def pretraining_only(folder: Path, config: Mapping, variables: Mapping) -> tuple[str, ...]:
    """Return patterns of what a run of masked pre-training has and a recognizer does not.

    They are its decoder, and what else the model of `variables` lacks; () for other runs.

    Args:
      folder: Folder of one checkpoint.
      config: The config of its run, or {} if it is not known.
      variables: Of the recognizer.
    """
    if not config or config["task"]["name"] != "masked":
        return ()
    own = param_rules.flatten(variables)
    saved = (key for key in store.saved_shapes(folder) if key.startswith("params/"))
    left = [key.partition("/")[2] for key in saved if key not in own]
    modules = sorted({path.partition("/")[0] for path in left if not path.startswith("backbone/")})
    inside = [path for path in left if path.startswith("backbone/")]
    logger.info(f"left out, as the pre-training alone has them: {', '.join([*modules, *inside])}")
    return tuple(map(re.escape, left))
