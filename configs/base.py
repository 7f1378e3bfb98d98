"""Functions that the configs of all tasks share: the keys of a run, optimizers, schedules."""

from dataclasses import asdict

from ml_collections import ConfigDict

from configs import datasets
from jaxvid import plug
from jaxvid.config.settings import Settings
from jaxvid.data.recipes import heatmap
from jaxvid.errors import UserError, did_you_mean


def config() -> ConfigDict:
    """Return the keys of every run with their defaults; jaxvid/config/settings.py explains them.

    What is left to a config is the model, the task, the data, the optimizer and the schedule.
    """
    return ConfigDict(asdict(Settings()))


def pick(table: dict, variant: str):
    """Return the row of a config's variant.

    Raises:
      UserError: there is no such variant; names those there are.
    """
    if variant not in table:
        raise UserError(f'this config has no variant "{variant}".{did_you_mean(variant, table)}')
    return table[variant]


def sgd(lr: float, batch: int, weight_decay: float = 1e-4, clip: float = 40.0, **groups) -> dict:
    """Return the optimizer of most published convolutional networks; `lr` is for that `batch`."""
    found = dict(name="sgd", lr=lr, base_batch=batch, momentum=0.9, nesterov=False)
    return found | dict(weight_decay=weight_decay, clip=clip, **groups)


def multistep(*milestones: float, warmup: float = 0.0) -> dict:
    """Return a schedule that divides the rate by ten at each of `milestones`, in epochs.

    With `warmup` epochs, the rate first rises from a tenth, from epoch to epoch.
    """
    found = dict(name="multistep", by="epoch", milestones=milestones, gamma=0.1)
    return found | (dict(warmup=warmup, warmup_by="epoch", warmup_factor=0.1) if warmup else {})


def cosine_after_warmup(epochs: float) -> dict:
    """Return a schedule that rises from a tenth in `epochs`, then falls by a cosine to 0."""
    return dict(
        name="cosine", by="step", begin=epochs, warmup=epochs, warmup_by="step", warmup_factor=0.1
    )


# Vectors, which are biases and scales of normalizations, have no weight decay.
NO_DECAY_OF_VECTORS = ((".*/(bias|scale|gamma)", 0.0),)


def layer_decay(
    rate: float,
    depth: int,
    block: str = "backbone/block{}/.*",
    first: str = "backbone/patch_embed/.*",
) -> tuple[tuple[str, float], ...]:
    """Return the `lr_scale` of layer-wise decay: a block learns faster than the one before it.

    The scale is rate ** (depth + 1) for the parameters before the blocks, rate ** (depth - i) for
    block i, and 1 for those after the blocks (Clark et al., 2020, https://arxiv.org/abs/2003.10555).

    Args:
      rate: Scale of a layer as a share of the scale of the next layer.
      depth: Number of blocks; with fewer than the network has, the last ones have the scale 1.
      block: Pattern of the parameters of a block, with {} for its number.
      first: Pattern of the parameters before the blocks, such as "backbone/(patch_embed/.*|cls)".
    """
    blocks = ((block.format(i), rate ** (depth - i)) for i in range(depth))
    return ((first, rate ** (depth + 1)), *blocks)


def temporal_detection(epochs: float, lr: float, batch: int) -> ConfigDict:
    """Return the run of ActionFormer and the detectors after it, without model, task and data.

    Args:
      epochs: Number of epochs, with the five of the warm-up.
      lr: Learning rate for this batch.
      batch: Videos of a step.
    """
    c = config()
    c.dtype = "float32"
    c.epochs = epochs
    c.batch = batch
    c.ema = 0.999
    c.optim = dict(name="adamw", lr=lr, base_batch=batch, weight_decay=0.05, clip=1.0)
    c.optim["decay_scale"] = NO_DECAY_OF_VECTORS
    c.schedule = cosine_after_warmup(5.0) | dict(warmup_factor=0.0)
    c.best = "val/map"
    return c


# Variants of skeleton configs: joints and stream.
STREAMS = {f"{d}_{s}": (d, s) for d in ("2d", "3d") for s in ("j", "b", "jm", "bm")}


def skeleton_run(family: str, classes: int, variant: str) -> ConfigDict:
    """Return the run of a graph network on NTU RGB+D, as MMAction2 trains all of them.

    Args:
      family: a file of jaxvid/models.
      classes: 60 or 120, the classes of the data set.
      variant: a key of STREAMS.
    """
    dims, stream = pick(STREAMS, variant)
    return graph_run(dict(name=family, variant=dims), datasets.ntu(classes, dims, stream))


def graph_run(model: dict, data: dict) -> ConfigDict:
    """Return the run of a graph network on skeletons, by the recipe that all data sets share.

    Args:
      model: spec of the model.
      data: the data set, see `datasets.skeletons`.
    """
    c = config()
    c.dtype = "float32"
    c.epochs = 80.0
    c.batch = 128
    c.model = dict(**model, dropout=0.0, remat=False)
    c.task = plug.spec("tasks", "recognition", keys=("keypoint",))
    c.data = data
    c.optim = sgd(0.1, 128, weight_decay=5e-4, clip=0.0) | dict(nesterov=True)
    c.schedule = dict(name="cosine", by="step")
    c.eval_every = 5.0
    return c


def heatmap_run(data: dict, limbs: bool = False, variant: str = "r50", **recipe) -> ConfigDict:
    """Return the run of PoseC3D on heat maps, by the recipe that most data sets share.

    Heat maps of training are drawn on the device, unless the recipe has `drawn=True`.

    Args:
      data: the data set, see `datasets.poses`.
      limbs: limbs are drawn instead of joints.
      variant: of the model.
      recipe: options of the data recipe.
    """
    c = config()
    c.epochs = 240.0
    c.batch = 128
    c.model = dict(name="posec3d", variant=variant, dropout=0.5, remat=False)
    drawn = dict(drawn=False, limbs=limbs) | recipe
    size = dict(size=drawn["size"]) if "size" in drawn else {}
    drawing = dict(limbs=heatmap.LIMBS if limbs else (), **size)
    c.task = plug.spec("tasks", "recognition", keys=("heatmap",), heatmap=drawing)
    c.data = data | dict(recipe=plug.spec("data.recipes", "heatmap", **drawn))
    c.optim = sgd(0.2, 128, weight_decay=3e-4)
    c.schedule = dict(name="cosine", by="step")
    c.eval_every = 10.0
    return c


def heatmap_finetune(data: dict) -> ConfigDict:
    """Return the run of PoseC3D on a small data set, from its weights of Kinetics-400."""
    c = heatmap_run(data, drawn=True, size=48, test_size=56)
    c.epochs = 120.0
    c.model.depths = (3, 4, 6)
    c.init.weights = "posec3d_r50_u48_keypoint_k400"
    c.optim.lr = 0.01
    c.schedule = multistep(90.0, 110.0)
    return c


def audio_run(model: dict, lr: float, batch: int, **recipe) -> ConfigDict:
    """Return the run of a model of sounds on Kinetics-400, as MMAction2 trains both of its models.

    Args:
      model: spec of the model.
      lr: learning rate for `batch` sounds.
      recipe: options of the data recipe.
    """
    c = config()
    c.epochs = 100.0
    c.batch = batch
    c.model = dict(**model, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", keys=("audio",))
    c.data = datasets.kinetics_audio(**recipe)
    c.optim = sgd(lr, batch)
    c.schedule = dict(name="cosine", by="epoch")
    c.eval_every = 5.0
    return c
