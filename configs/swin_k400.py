"""Video Swin on Kinetics-400: 32 frames at stride 2, 30 epochs, tested on 4 clips x 3 crops.

Variants: tiny (top-1 78.90), small (80.54), base (80.57), large (83.46); `:tiny,official` takes the
parameter groups of the official repository instead of MMAction2's.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from jaxvid import plug

# Weight decay, drop path and the 2-D weights to start from.
RECIPES = {
    "tiny": (0.02, 0.1, "swin2d_tiny_in1k"),
    "small": (0.02, 0.2, "swin2d_small_in1k"),
    "base": (0.05, 0.3, "swin2d_base_in1k"),
    "large": (0.05, 0.4, "swin2d_large_in22k"),
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
    groups: dict = GROUPS,
) -> ConfigDict:
    """Return the run of a Video Swin on Kinetics, as MMAction2 trains all of them.

    Args:
      variant: A variant of the model.
      data: A data set.
      weights: The 2-D weights to start from.
      drop_path: Probability of skipping the last residual branch.
      weight_decay: Weight decay of AdamW.
      batch: Samples of a step; the learning rate is proportional to it.
      groups: Parameter groups.
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
    c.optim = adamw(1e-3 * batch / 64, batch, weight_decay, groups)
    c.schedule = dict(name="cosine", by="epoch", warmup=2.5, warmup_by="step", warmup_factor=0.1)
    c.eval_every = 3.0
    c.keep = 5
    return c


def adamw(lr: float, batch: int, weight_decay: float, groups: dict) -> dict:
    """Return the optimizer of all Video Swins; `lr` is for that `batch`."""
    rates = dict(lr=lr, base_batch=batch, weight_decay=weight_decay, clip=0.0)
    return dict(name="adamw", **rates, **groups)


def get_config(variant="tiny"):
    variant, _, groups = variant.partition(",")
    decay, drop_path, weights = base.pick(RECIPES, variant)
    groups = base.pick({"": GROUPS, "official": GROUPS_OFFICIAL}, groups)
    return swin_run(variant, datasets.kinetics(400), weights, drop_path, decay, groups=groups)
