"""CTR-GCN on NTU RGB+D 60, cross-subject: 100 frames of 2 people, 80 epochs, tested on 10 clips.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j (top-1 89.60), 2d_b, 2d_jm,
2d_bm, 3d_j (top-1 89.00), 3d_b, 3d_jm, 3d_bm. Weights of the joints are published.
"""

from configs import base


def get_config(variant="2d_j"):
    return base.skeleton_run("ctrgcn", 60, variant)
