"""PoseC3D on NTU RGB+D 120, cross-subject, by the recipe of NTU RGB+D 60.

Variants are what is drawn: keypoint and limb, which `jaxvid.tools.fuse` joins.
"""

from configs import base, datasets

VARIANTS = {"keypoint": False, "limb": True}


def get_config(variant="keypoint"):
    data = datasets.poses("ntu120", 120, ("xsub_train", "xsub_val"))
    return base.heatmap_run(data, base.pick(VARIANTS, variant))
