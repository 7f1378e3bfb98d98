"""ST-GCN on NTU RGB+D 60, cross-subject: 100 frames of 2 people, 80 epochs, tested on 10 clips.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j (top-1 88.95), 2d_b (91.69),
2d_jm (86.90), 2d_bm (87.86), 3d_j (88.11), 3d_b (88.76), 3d_jm (86.06), 3d_bm (85.49).
"""

from configs import base


def get_config(variant="2d_j"):
    return base.skeleton_run("stgcn", 60, variant)
