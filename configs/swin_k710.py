"""Video Swin-S on Kinetics-710: 400, 600 and 700 as one set of 710 classes (top-1 76.90).

The lists hold the labels of K710; each of the three sets keeps its own folder of videos.
"""

from configs import datasets
from configs.swin_k400 import swin_run


def get_config():
    return swin_run("small", datasets.kinetics710(), "swin2d_small_in1k", 0.2, 0.02, batch=128)
