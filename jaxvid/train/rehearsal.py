"""A run without its data, for what compiles a step and wants to know what that takes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import mesh as meshes
from jaxvid import plug
from jaxvid.data.sample import Sample
from jaxvid.train.begin import Plan, plan

CLASSES = 400  # where data would have told; hardly matters here
STEPS = 1000.0  # of an epoch


def rehearse(config: Any, mesh: jax.sharding.Mesh) -> tuple[Plan, Sample, dict[str, Any]]:
    """How to train by this config, a sample of training, and the shapes of a batch with shardings.

    Raises:
      UserError: a part that `config` names does not exist, or does not take what it is given.
    """
    classes, recipe = config.data.num_classes or CLASSES, config.data.recipe
    model = plug.load("models", config.model, num_classes=classes, dtype=jnp.dtype(config.dtype))
    task = plug.load("tasks", config.task, num_classes=classes)
    # What the recipe leaves to the data, such as the channels of features, the model may settle.
    settled = {k: config.model[k] for k, v in recipe.items() if not v and config.model.get(k)}
    sample = plug.load("data.recipes", {**recipe, **settled}, "example", num_classes=classes)
    sample = {"label": np.zeros(task.label_shape, np.int32), **sample}
    rng = np.random.default_rng(0)
    for transform in plug.load("data.recipes", recipe, split="train"):
        sample = transform(sample, rng)
    sample |= {"mask": np.float32(1), "index": np.int32(0)}
    rows = meshes.over_data(mesh)
    shapes = {
        key: jax.ShapeDtypeStruct((config.batch, *np.shape(x)), np.asarray(x).dtype, sharding=rows)
        for key, x in sample.items()
    }
    return plan(config, model, task, mesh, shapes, STEPS), sample, shapes
