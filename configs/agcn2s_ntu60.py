"""2s-AGCN on NTU RGB+D 60, cross-subject: 100 frames of 2 people, 80 epochs, tested on 10 clips.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j (top-1 88.60), 2d_b (91.59),
2d_jm (88.02), 2d_bm (88.82), 3d_j (88.26), 3d_b (89.22), 3d_jm (86.73), 3d_bm (86.41).
"""

from configs import base


def get_config(variant="2d_j"):
    return base.skeleton_run("agcn2s", 60, variant)
