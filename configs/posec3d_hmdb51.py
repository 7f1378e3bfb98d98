"""PoseC3D on HMDB51, split 1, from weights of Kinetics-400, 120 epochs: top-1 69.6."""

from configs import base, datasets


def get_config():
    return base.heatmap_finetune(datasets.poses("hmdb51", 51, ("train1", "test1")))
