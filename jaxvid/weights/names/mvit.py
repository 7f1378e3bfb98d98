"""Names of the tensors of MViT in published files."""

from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights

# "backbone.blocks.1.attn.pool_q.weight" -> "backbone/block1/attn/pool_q/kernel"
OPENMMLAB = (
    ("backbone.cls_token", "backbone/cls_token"),
    ("backbone.patch_embed.projection", "backbone/patch_embed"),
    ("backbone.blocks.{b}", "backbone/block{b}"),
    ("backbone.blocks.{b}.proj", "backbone/block{b}/shortcut"),
    ("backbone.norm3", "backbone/norm"),
    ("cls_head.fc_cls", "head/fc"),
)
ORDER = (
    "backbone cls_head cls_token patch_embed blocks norm1 attn norm2 mlp blocks.proj norm3"
    " rel_pos_h rel_pos_w rel_pos_t qkv attn.proj pool_q norm_q pool_k norm_k pool_v norm_v"
    " projection fc1 fc2 fc_cls weight bias"
)


def for_size(net, path, value, shape):
    """A table of relative positions for clips of another size."""
    return inflate.offset_table(value, shape[0]) if "/rel_pos_" in path else value


MMACTION = Weights(OPENMMLAB, order=ORDER, adapt=for_size)
# MMSelfSup's pre-training, whose last stage does not halve the grid.
MASKFEAT = Weights(
    OPENMMLAB,
    ("backbone.mask_token", "backbone.norm2.*", "neck.*", "head.*", "target_generator.*"),
    ORDER,
    adapt=for_size,
)
