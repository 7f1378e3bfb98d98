"""Traces of published models, which several tests share."""

import functools
import json

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.config import hashable
from jaxvid.ops import conv as convs


@functools.cache
def traced(model, num_classes):
    """Return the number of parameters of a model, and its convolutions."""
    used, choose = set(), convs.choose

    def record(shape, what):
        used.add(what)
        return choose(shape, what)

    spec = hashable(json.loads(model))
    net = plug.load("models", spec, num_classes=num_classes)
    example = plug.module("models", spec["name"]).example(spec.get("variant", "test"))
    if frames := spec.get("frames", spec.get("span")):  # layers of the network depend on it
        b, _, *frame = example["video"].shape
        example["video"] = jax.ShapeDtypeStruct((b, frames, *frame), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convs, "choose", record)
        shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), example)
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes["params"])), used
