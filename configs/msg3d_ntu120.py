"""MS-G3D on NTU RGB+D 120, cross-subject, by the recipe of NTU RGB+D 60.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j, 2d_b, 2d_jm, 2d_bm, 3d_j,
3d_b, 3d_jm, 3d_bm.
"""

from configs import base


def get_config(variant="2d_j"):
    return base.skeleton_run("msg3d", 120, variant)
