"""Video Swin-L on Kinetics-700, from ImageNet-22K: MMAction2's recipe (top-1 75.92)."""

from configs import datasets
from configs.swin_k400 import swin_run


def get_config():
    return swin_run("large", datasets.kinetics(700), "swin2d_large_in22k", 0.4, 0.05, batch=128)
