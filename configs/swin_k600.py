"""Video Swin-B on Kinetics-600, from ImageNet-22K: the official repository's recipe (top-1 84.0).

A batch of 512 clips is divided into 8 micro-batches of 64.
"""

from configs import datasets
from configs.swin_k400 import official_run


def get_config():
    return official_run("base", datasets.kinetics(600), "swin2d_base_in22k", drop_path=0.2)
