"""The former name of base.py and datasets.py, for configs of your own that import it."""

from configs.base import STREAMS, config, pick, sgd
from configs.datasets import CHECKS, HVU, SSV2_MIRROR

base = config

__all__ = ["CHECKS", "HVU", "SSV2_MIRROR", "STREAMS", "base", "pick", "sgd"]
