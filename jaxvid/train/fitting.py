"""Search for settings with which a training step fits into memory, by an estimate.

Changes that keep the recipe come first: more micro-batches, then layouts over several devices, then
changes that cost time, then shorter and smaller clips, and last a smaller variant of the model.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxvid import plug
from jaxvid.config import flat, options, schema
from jaxvid.config.values import mismatch
from jaxvid.data.sample import IMAGE_PREFIX
from jaxvid.train import estimate
from jaxvid.train.plan import STEPS, Plan, check_batch, classes_of, plan, rehearse
from jaxvid.weights import zoo

Changes = dict[str, Any]  # config keys -> values

USEFUL = 0.95  # a change that is not enough alone must reduce the memory to at most this share
MIN_FRAMES = 4
SIZES = (192, 160, 128, 112, 96, 64)  # of frames, in pixels


def search(planned: Plan, batch: Any, limit: int) -> tuple[Changes, int]:
    """Return the mildest changes with which a step fits, and the bytes that it then needs.

    Args:
      planned: the plan of the run.
      batch: shapes of a batch, with shardings.
      limit: bytes on a device.

    Returns:
      The changes, {} if nothing fits, and the bytes.
    """
    cache: dict[tuple, float] = {}

    def needs(steps: list[Changes]) -> float:
        changes = merged(steps)
        key = tuple(sorted(changes.items()))
        if key not in cache:
            cache[key] = needed(planned, batch, changes)
        return cache[key]

    rungs = [[{}, *choices] for choices in ladder(planned)]
    chosen: list[Changes] = [{} for _ in rungs]

    def mildest(i: int) -> Changes:
        """Return the first option of rung i with which it fits; the last one does."""
        low, high = 0, len(rungs[i]) - 1
        while low < high:
            middle = (low + high) // 2
            if needs([*chosen[:i], rungs[i][middle], *chosen[i + 1 :]]) <= limit:
                high = middle
            else:
                low = middle + 1
        return rungs[i][low]

    for i, choices in enumerate(rungs):
        before = needs(chosen)
        after = needs([*chosen[:i], choices[-1], *chosen[i + 1 :]])
        if after <= limit or after < USEFUL * before:
            chosen[i] = choices[-1]
        if after <= limit:
            # A later change may make an earlier one unnecessary.
            for j in range(i, -1, -1):
                if chosen[j]:
                    chosen[j] = mildest(j)
            return merged(chosen), int(needs(chosen))
    return {}, 0


def merged(steps: list[Changes]) -> Changes:
    """Return all changes together. If a key has several values, the last one is used."""
    return {key: value for step in steps for key, value in step.items()}


def ladder(planned: Plan) -> Iterator[list[Changes]]:
    """Yield the alternatives for each kind of change, from mild to severe."""
    config, devices = planned.config, planned.mesh.shape["data"]
    on_cpu = jax.default_backend() == "cpu"
    clips = config.batch // devices
    counts = [n for n in range(config.accumulate + 1, clips + 1) if clips % n == 0]
    if counts:
        yield [{"accumulate": n} for n in counts]
    if devices > 1 and config.sharding == "replicated":
        yield [{"sharding": "fsdp"}]
    # These save nothing on a CPU; see memory.py.
    if not on_cpu and not config.offload:
        yield [{"offload": "optimizer"}]
    if not on_cpu and (stronger := list(remat_policies(config))):
        yield stronger
    if not on_cpu and config.dtype != "bfloat16":
        yield [{"dtype": "bfloat16"}]
    if clips > 1:
        halves = [clips >> n for n in range(1, clips.bit_length())]
        yield [
            {"batch": n * devices, "accumulate": n, **fewer_images(config, n, devices)}
            for n in halves
        ]
    recipe = config.data.recipe if "recipe" in config.data else {}
    if (frames := recipe.get("frames", 0)) >= 2 * MIN_FRAMES:
        yield [{"data.recipe.frames": frames >> n} for n in range(1, 8) if frames >> n >= 4]
    if sizes := [size for size in SIZES if size < recipe.get("size", 0)]:
        yield [{"data.recipe.size": size} for size in sizes]
    if smaller := list(variants(config)):
        yield smaller


def fewer_images(config: Any, clips: int, devices: int) -> Changes:
    """Return the number of images beside `clips` clips on a device, in each own micro-batch."""
    if not config.data.get("images"):
        return {}
    of_clip = config.data.image_batch / config.batch
    return {"data.image_batch": max(round(of_clip), 1) * clips * devices}


def remats(config: Any) -> Changes:
    """Return the keys `remat` of the model, and of specs inside, with their values."""
    model = {"model": config.model.to_dict()} if "model" in config else {}
    return {k: value for k, value in flat(model).items() if k.endswith(".remat")}


def remat_policies(config: Any) -> Iterator[Changes]:
    """Yield values of `remat` that store less: first "dots", for models that know it, then True."""
    weaker = {key: value for key, value in remats(config).items() if value is not True}
    kinds = schema.named_keys("models", config.model.to_dict(), "model") if weaker else {}
    for policy in ("dots", True):
        takes = [
            key
            for key, value in weaker.items()
            if value != policy and not mismatch(policy, kinds[key.removeprefix("model.")].kind)
        ]
        if takes:
            yield dict.fromkeys(takes, policy)


def variants(config: Any) -> Iterator[Changes]:
    """Yield the smaller variants of the model's family, in their order, with their weights."""
    model = {"model": config.model.to_dict()} if "model" in config else {}
    for key, variant in flat(model).items():
        if not key.endswith(".variant"):
            continue
        name = flat(model)[f"{key.removesuffix('variant')}name"]
        names = list(plug.module("models", name).VARIANTS)
        for smaller in reversed(names[: names.index(variant)] if variant in names else ()):
            if smaller.startswith("test"):  # variants for tests of the code
                continue
            fresh = config.init.weights and not zoo.default(dict(name=name, variant=smaller))
            yield {key: smaller} | ({"init.weights": ""} if fresh else {})


def needed(planned: Plan, batch: Any, changes: Changes) -> float:
    """Return the bytes that a step with `changes` needs; infinity if the model refuses them."""
    try:
        changed, shapes = replan(planned, batch, changes)
        return at_most(changed, shapes, estimate.training(changed, shapes))
    except Exception:  # any error of a model, such as one that needs more frames
        return math.inf


def at_most(planned: Plan, batch: Any, likely: int) -> int:
    """Return an upper estimate: on a CPU, XLA may store what `remat` should compute again.

    Args:
      planned: the plan of the run.
      batch: shapes of a batch, with shardings.
      likely: the estimate of the step as it is written.
    """
    config = planned.config
    keys = [key for key, value in remats(config).items() if value]
    if jax.default_backend() != "cpu" or not keys:
        return likely
    return max(likely, estimate.training(*replan(planned, batch, dict.fromkeys(keys, False))))


def replan(planned: Plan, batch: Any, changes: Changes) -> tuple[Plan, Any]:
    """Return a plan with changes of its config, and the shapes of its batch."""
    config = planned.config.copy_and_resolve_references()
    options.change(config, changes)
    check_batch(config, planned.mesh)
    if any(key.startswith("data.") for key in changes):
        config.data.num_classes = classes_of(planned.task)
        changed, _, shapes = rehearse(config, planned.mesh)
        return changed, shapes
    dtype = jnp.dtype(config.dtype)
    model = planned.model
    if "model" in config:
        model = plug.load("models", config.model, num_classes=classes_of(planned.task), dtype=dtype)

    def resized(key: str, x: Any) -> jax.ShapeDtypeStruct:
        rows = len(x) if key.startswith(IMAGE_PREFIX) else config.batch
        return jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=x.sharding)

    shapes = {key: resized(key, x) for key, x in batch.items()}
    return plan(config, model, planned.task, planned.mesh, shapes, STEPS), shapes
