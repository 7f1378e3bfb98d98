"""Video Swin-B on Kinetics-600, from ImageNet-22K: the official repository's recipe (top-1 84.0).

A batch of 512 clips is divided into 8 micro-batches of 64.
"""

from ml_collections import ConfigDict

from configs import datasets
from configs.swin_k400 import GROUPS_OFFICIAL, adamw, swin_run


def official_run(data: dict, weights: str, drop_path: float) -> ConfigDict:
    """Return the run of a Video Swin-B with a batch of 512, as the official repository trains it.

    Args:
      data: A data set.
      weights: The weights to start from.
      drop_path: Probability of skipping the last residual branch.
    """
    c = swin_run("base", data, weights, drop_path, weight_decay=0.05, batch=512)
    c.accumulate = 8
    c.optim = adamw(3e-4, 512, 0.05, GROUPS_OFFICIAL)
    c.schedule = dict(name="cosine", warmup=2.5, warmup_factor=0.1)
    c.eval_every = 1.0
    c.keep = 3
    return c


def get_config():
    return official_run(datasets.kinetics(600), "swin2d_base_in22k", drop_path=0.2)
