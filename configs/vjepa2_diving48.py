"""The classifier of V-JEPA 2 on Diving48, on four layers of a frozen encoder: 100 epochs.

Variants: vitl (top-1 89.0), vitg (90.2; 384 pixels); 32 frames at stride 2.

The authors train three classifiers with learning rates of 0.0001 to 0.001 and report the best. See
vjepa2_ssv2.py for what else is theirs.
"""

from configs import base, datasets
from configs.vjepa2_ssv2 import clips, probe

# Layers whose tokens the classifier sees, size in pixels, weights to start from.
ENCODERS = {
    "vitl": ((17, 19, 21, 23), 256, "vjepa2_vitl_vm22m"),
    "vitg": ((24, 29, 34, 39), 384, "vjepa2_vitg_384_vm22m"),
}


def get_config(variant="vitl"):
    layers, size, weights = base.pick(ENCODERS, variant)
    c = probe(variant, weights, count=4, batch=128, weight_decay=0.8)
    c.epochs = 100.0
    c.model.layers = layers
    c.data = datasets.diving48()
    c.data.recipe = clips(4, frames=32, stride=2, size=size)
    return c
