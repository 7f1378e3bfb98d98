"""PoseC3D on UCF101, split 1, from weights of Kinetics-400, 120 epochs: top-1 86.8."""

from configs import base, datasets


def get_config():
    return base.heatmap_finetune(datasets.poses("ucf101", 101, ("train1", "test1")))
