"""Names that parameters had in checkpoints of earlier versions."""

import re
from collections.abc import Iterable

# Earlier versions of CLIP4Clip and ActionCLIP named the parts of their transformers as OpenAI does.
# If a checkpoint has this name, its names are translated by rows of (pattern, replacement).
CLIP = "/attn/in_proj/"
CLIP_ROWS = (
    (r"/(block\d+)/attn/in_proj/", r"/\1/attn/qkv/"),
    (r"/(block\d+)/attn/out_proj/", r"/\1/attn/proj/"),
    (r"/(block\d+)/mlp/c_fc/", r"/\1/mlp/fc1/"),
    (r"/(block\d+)/mlp/c_proj/", r"/\1/mlp/fc2/"),
    (r"/(block\d+)/ln_([12])/", r"/\1/norm\2/"),
    (r"/backbone/conv1/", "/backbone/patch_embed/"),
    (r"/backbone/ln_pre/", "/backbone/norm_pre/"),
    (r"/backbone/ln_post/", "/backbone/norm/"),
    (r"/text/ln_final/", "/text/norm/"),
)


def saved_names(paths: Iterable[str]) -> dict[str, str]:
    """Return {current name: name in the checkpoint} for all arrays in a checkpoint.

    Args:
      paths: Names in the checkpoint, such as "params/text/block0/mlp/c_fc/bias".
    """
    paths = list(paths)
    rows = CLIP_ROWS if any(CLIP in path for path in paths) else ()
    found = {}
    for path in paths:
        name = path
        for pattern, replacement in rows:
            name = re.sub(pattern, replacement, name)
        found[name] = path
    return found
