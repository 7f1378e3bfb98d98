"""A run without its data, for what compiles a step and wants to know what that takes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import plug
from jaxvid.data.sample import Sample
from jaxvid.distributed import mesh as meshes
from jaxvid.tasks.base import Task
from jaxvid.train.begin import Plan, plan

CLASSES = 400  # where data would have told; hardly matters here
STEPS = 1000.0  # of an epoch


def rehearse(config: Any, mesh: jax.sharding.Mesh) -> tuple[Plan, Sample, dict[str, Any]]:
    """How to train by this config, a sample of training, and the shapes of a batch with shardings.

    Raises:
      UserError: a part that `config` names does not exist, or does not take what it is given.
    """
    classes = config.data.num_classes or CLASSES
    model = plug.load("models", config.model, num_classes=classes, dtype=jnp.dtype(config.dtype))
    task = plug.load("tasks", config.task, num_classes=classes)
    sample = example(config, "train", task)
    shapes = shapes_of(sample, config.batch, mesh)
    return plan(config, model, task, mesh, shapes, STEPS), sample, shapes


def example(config: Any, split: str, task: Task) -> Sample:
    """Return a sample of `split` after all transforms, made from no data."""
    recipe, classes = config.data.recipe, classes_of(task)
    # What the recipe leaves to the data, such as the channels of features, the model may settle.
    model = config.model if "model" in config else {}
    settled = {k: model[k] for k, v in recipe.items() if not v and model.get(k)}
    sample = plug.load("data.recipes", {**recipe, **settled}, "example", num_classes=classes)
    sample = {"label": np.zeros(task.label_shape, np.int32), **sample}
    rng = np.random.default_rng(0)
    for transform in plug.load("data.recipes", recipe, split=split):
        sample = transform(sample, rng)
    return sample | {"mask": np.float32(1), "index": np.int32(0)}


def classes_of(task: Task) -> int:
    """Return the number of classes of a task, or a usual one where it has none."""
    return getattr(task, "num_classes", 0) or CLASSES


def shapes_of(sample: Sample, rows: int, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """Return the shapes of a batch of such samples, with shardings."""
    place = meshes.over_data(mesh)
    return {
        key: jax.ShapeDtypeStruct((rows, *np.shape(x)), np.asarray(x).dtype, sharding=place)
        for key, x in sample.items()
    }
