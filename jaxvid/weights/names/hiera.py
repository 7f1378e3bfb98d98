"""Names of the tensors of Hiera in published files."""

from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import fixes

# "blocks.2.attn.qkv.weight" -> "backbone/block2/attn/qkv/kernel"
BACKBONE = (
    ("pos_embed_spatial", "backbone/pos_embed_spatial/table"),
    ("pos_embed_temporal", "backbone/pos_embed_temporal/table"),
    ("patch_embed.proj", "backbone/patch_embed"),
    ("blocks.{b}", "backbone/block{b}"),
    ("blocks.{b}.proj", "backbone/block{b}/shortcut"),
)
HEAD = (("norm", "head/norm"), ("head.projection", "head/fc"))
FIX = fixes.without_batch("pos_embed_(spatial|temporal)")
PUBLISHED = (8, 56, 56)  # grid of files


def resize(net, path, value, shape):
    """A position table for clips of another size (`Weights.adapt`)."""
    t, h, w = net.backbone.grid
    if path.endswith("pos_embed_spatial/table"):
        return inflate.position_table(value, (1, h, w), (1, *PUBLISHED[1:]))
    if path.endswith("pos_embed_temporal/table"):
        return inflate.position_table(value, (t, 1, 1), (PUBLISHED[0], 1, 1))
    return value


DECODER = ("mask_token", "encoder_norm.*", "decoder_.*", "multi_scale_fusion_heads.*")
ORDER = (
    "pos_embed pos_embed_spatial pos_embed_temporal mask_token decoder_pos_embed patch_embed blocks"
    " norm1 attn qkv attn.proj norm2 mlp fc1 fc2 proj norm encoder_norm multi_scale_fusion_heads"
    " decoder_embed decoder_blocks decoder_norm decoder_pred head projection weight bias"
)
OFFICIAL = Weights(BACKBONE + HEAD, order=ORDER, adapt=resize, fix=FIX)
# Files of masked pre-training, to start from.
PRETRAINING = Weights(BACKBONE + HEAD, DECODER, adapt=resize, fix=FIX)
