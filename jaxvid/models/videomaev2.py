"""VideoMAE v2 (Wang et al., 2023), https://arxiv.org/abs/2303.16727.

The network is that of VideoMAE. It was pre-trained on a million videos, with a decoder that
restores only a part of what is hidden. "small" and "base" were distilled from "giant".
"""

from jaxvid.models.videomae import VARIANTS, WEIGHTS, backbone, build, example

__all__ = ["VARIANTS", "WEIGHTS", "backbone", "build", "example"]
