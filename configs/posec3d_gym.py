"""PoseC3D on FineGYM, 99 classes: 48 frames of heat maps, 240 epochs, tested on 10 clips.

Variants are what is drawn: keypoint (mean class accuracy 93.5) and limb (93.6), which
`jaxvid.tools.fuse` joins.
"""

from configs import base, datasets

VARIANTS = {"keypoint": False, "limb": True}


def get_config(variant="keypoint"):
    data = datasets.poses("gym99", 99, ("train", "val"), "gym_2d.pkl")
    return base.heatmap_run(data, base.pick(VARIANTS, variant))
