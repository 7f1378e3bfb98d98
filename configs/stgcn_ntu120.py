"""ST-GCN on NTU RGB+D 120, cross-subject: 100 frames of 2 people, 80 epochs, tested on 10 clips.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j (top-1 83.19), 2d_b (83.36),
2d_jm (78.87), 2d_bm (79.55), 3d_j (82.15), 3d_b (84.28), 3d_jm (78.93), 3d_bm (80.02).
"""

from configs import base


def get_config(variant="2d_j"):
    return base.skeleton_run("stgcn", 120, variant)
