"""Video Swin on Kinetics-400: 32 frames at stride 2, 30 epochs, tested on 4 clips x 3 crops.

Variants: tiny (top-1 78.90), small (80.54), base (80.57), large (83.46). They are MMAction2's
recipes. `:tiny,official` (78.8) is that of the official repository: larger batches, divided into
micro-batches of 64, and other parameter groups. It also has small (80.6), base (80.6) and, from
ImageNet-22K, base_in22k (82.7); `:large,official` is ours, after its base.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from jaxvid import plug

# The 2-D weights to start from, drop path, weight decay.
RECIPES = {
    "tiny": ("swin2d_tiny_in1k", 0.1, 0.02),
    "small": ("swin2d_small_in1k", 0.2, 0.02),
    "base": ("swin2d_base_in1k", 0.3, 0.05),
    "large": ("swin2d_large_in22k", 0.4, 0.05),
}
# The same of the official repository, then learning rate and number of micro-batches.
OFFICIAL = {
    "tiny": ("swin2d_tiny_in1k", 0.1, 0.02, 1e-3, 4),
    "small": ("swin2d_small_in1k", 0.1, 0.02, 1e-3, 8),
    "base": ("swin2d_base_in1k", 0.3, 0.05, 1e-3, 8),
    "base_in22k": ("swin2d_base_in22k", 0.2, 0.05, 3e-4, 8),
    "large": ("swin2d_large_in22k", 0.4, 0.05, 1e-3, 8),
}
# Parameter groups. MMAction2 multiplies the rules that match: the backbone learns at a tenth of the
# rate, norms and bias tables have no decay, other biases keep theirs.
GROUPS = dict(
    lr_scale=(("backbone/.*", 0.1),),
    decay_scale=((".*norm[12]?/.*", 0.0), (".*relative_position_bias_table", 0.0)),
)
# The official repository takes the first rule that matches: norms of the backbone keep their decay,
# and bias tables learn at the full rate.
GROUPS_OFFICIAL = dict(
    lr_scale=((".*relative_position_bias_table", 1.0), ("backbone/.*", 0.1)),
    decay_scale=((".*relative_position_bias_table", 0.0),),
)


def swin_run(
    variant: str,
    data: dict,
    weights: str,
    drop_path: float,
    weight_decay: float,
    batch: int = 64,
) -> ConfigDict:
    """Return the run of a Video Swin on Kinetics, as MMAction2 trains all of them.

    Args:
      variant: A variant of the model.
      data: A data set.
      weights: The 2-D weights to start from.
      drop_path: Probability of skipping the last residual branch.
      weight_decay: Weight decay of AdamW.
      batch: Samples of a step; the learning rate is proportional to it.
    """
    c = base.config()
    c.batch = batch
    c.model = dict(name="swin", variant=variant, drop_path=drop_path, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average="prob")
    c.data = data
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=32, stride=2, size=224, clips=4, crops=3
    )
    c.init.weights = weights
    c.init.skip = ("head/.*",)
    c.optim = adamw(1e-3 * batch / 64, batch, weight_decay, GROUPS)
    c.schedule = dict(name="cosine", by="epoch", warmup=2.5, warmup_by="step", warmup_factor=0.1)
    c.eval_every = 3.0
    c.keep = 5
    return c


def official_run(
    variant: str,
    data: dict,
    weights: str,
    drop_path: float,
    weight_decay: float = 0.05,
    lr: float = 3e-4,
    parts: int = 8,
) -> ConfigDict:
    """Return the run of a Video Swin as the official repository trains it.

    Args:
      variant: A variant of the model.
      data: A data set.
      weights: The weights to start from.
      drop_path: Probability of skipping the last residual branch.
      weight_decay: Weight decay of AdamW.
      lr: Learning rate, for the batch.
      parts: Number of micro-batches of 64 in a batch.
    """
    batch = 64 * parts
    c = swin_run(variant, data, weights, drop_path, weight_decay, batch)
    c.accumulate = parts
    c.optim = adamw(lr, batch, weight_decay, GROUPS_OFFICIAL)
    c.eval_every = 1.0
    c.keep = 3
    return c


def adamw(lr: float, batch: int, weight_decay: float, groups: dict) -> dict:
    """Return the optimizer of all Video Swins; `lr` is for that `batch`."""
    rates = dict(lr=lr, base_batch=batch, weight_decay=weight_decay, clip=0.0)
    return dict(name="adamw", **rates, **groups)


def get_config(variant="tiny"):
    name, _, source = variant.partition(",")
    if name == "base_in22k":
        source = "official"
    sources = {"": (swin_run, RECIPES), "official": (official_run, OFFICIAL)}
    run, recipes = base.pick(sources, source)
    size = name.partition("_")[0]
    return run(size, datasets.kinetics(400), *base.pick(recipes, name))
