"""PoseC3D on NTU RGB+D 60, cross-subject: 48 frames of heat maps, 240 epochs, tested on 10 clips.

Variants are what is drawn, and the network where it is not SlowOnly: keypoint (top-1 93.6), limb
(93.5), c3d_keypoint, c3d_limb, x3d_keypoint, x3d_limb. `jaxvid.tools.fuse` joins keypoint and limb.
The light forms of C3D and X3D have the recipe of PYSKL.
"""

from configs import base, datasets

VARIANTS = {
    f"{prefix}{kind}": (network, kind == "limb")
    for prefix, network in (("", "r50"), ("c3d_", "c3d-light"), ("x3d_", "x3d-shallow"))
    for kind in ("keypoint", "limb")
}


def get_config(variant="keypoint"):
    network, limbs = base.pick(VARIANTS, variant)
    data = datasets.poses("ntu60", 60, ("xsub_train", "xsub_val"))
    return base.heatmap_run(data, limbs, network, crop=network == "r50")
