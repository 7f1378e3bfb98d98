"""ST-GCN++ on NTU RGB+D 60, cross-subject: 100 frames of 2 people, 80 epochs, tested on 10 clips.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j (top-1 89.29), 2d_b (92.30),
2d_jm (87.30), 2d_bm (88.76), 3d_j (89.14), 3d_b (90.21), 3d_jm (86.67), 3d_bm (87.45).
"""

from configs import base


def get_config(variant="2d_j"):
    return base.skeleton_run("stgcnpp", 60, variant)
