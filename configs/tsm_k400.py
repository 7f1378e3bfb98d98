"""TSM on Kinetics-400: ResNet-50 with temporal shift, 8 or 16 frames of the whole video, 10 crops.

Variants: r50_u8 (top-1 73.18, 50 epochs), r50_u8_100e (73.22), r50_u8_dense (73.38), r50_u16
(75.12), and with non-local blocks r50_u8_dot_product (74.49), r50_u8_gaussian (73.66),
r50_u8_embedded_gaussian (74.34). On other backbones, tested on 3 crops of 256: mobilenetv2_u8
(68.71), mobileone_s4_u16 (74.38); mobileone_s4_u16_deploy evaluates it in its form for inference.
"""

from configs import base, datasets
from jaxvid import plug

# frames, epochs, milestones, non-local blocks, dense sampling
RECIPES = {
    "r50_u8": (8, 50.0, (25.0, 45.0), "", False),
    "r50_u8_100e": (8, 100.0, (50.0, 90.0), "", False),
    "r50_u8_dense": (8, 50.0, (25.0, 45.0), "", True),
    "r50_u16": (16, 50.0, (25.0, 45.0), "", False),
    "r50_u8_dot_product": (8, 50.0, (25.0, 45.0), "dot_product", False),
    "r50_u8_gaussian": (8, 50.0, (25.0, 45.0), "gaussian", False),
    "r50_u8_embedded_gaussian": (8, 50.0, (25.0, 45.0), "embedded_gaussian", False),
}
MOBILENET = dict(name="mobilenetv2", variant="w100", remat=False)
MOBILEONE = dict(name="mobileone", variant="s4", remat=False)
DEPLOYED = dict(MOBILEONE, deploy=True)
# backbone, weights, frames, those that exchange channels (0: all), epochs, milestones, warmup
BACKBONES = {
    "mobilenetv2_u8": (MOBILENET, "mobilenetv2_w100_in1k", 8, 0, 100.0, (40.0, 80.0), 0.0),
    "mobileone_s4_u16": (MOBILEONE, "mobileone_s4_in1k", 16, 8, 50.0, (25.0, 45.0), 5.0),
    "mobileone_s4_u16_deploy": (DEPLOYED, "", 16, 8, 50.0, (25.0, 45.0), 5.0),
}


def groups(non_local: str = "") -> dict:
    """The head learns faster, biases twice as fast; biases and norms have no decay."""
    head = (("head/fc/kernel", 5.0), ("head/fc/bias", 10.0))
    biases = ((".*/non_local/(g|theta|phi)/bias", 2.0),) if non_local else ()
    return dict(lr_scale=(*head, *biases), decay_scale=((".*/bias", 0.0), (".*/scale", 0.0)))


def get_config(variant="r50_u8"):
    if variant in BACKBONES:
        return on_backbone(*BACKBONES[variant])
    frames, epochs, milestones, non_local, dense = base.pick(RECIPES | BACKBONES, variant)
    c = common(epochs)
    c.model = dict(name="tsm", variant="r50", non_local=non_local, dropout=0.5, remat=False)
    sampling = dict(sampler=("dense",), clips=10) if dense else {}
    c.data.recipe = plug.spec(
        "data.recipes", "segments", frames=frames, crop=("scales", 13), crops=10, **sampling
    )
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*", *([".*/non_local/.*"] if non_local else []))
    c.optim = base.sgd(0.02, 128, clip=20.0, **groups(non_local))
    c.schedule = base.multistep(*milestones, warmup=10.0 if epochs > 50 else 5.0)
    return c


def common(epochs):
    """Return the keys that all variants share."""
    c = base.config()
    c.epochs = epochs
    c.batch = 128
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(400)
    return c


def on_backbone(backbone, weights, frames, span, epochs, milestones, warmup):
    """Return the run of a backbone of another family."""
    c = common(epochs)
    c.model = dict(name="tsm", backbone=backbone, span=span, dropout=0.5)
    views = dict(crops=3, test_size=256)
    c.data.recipe = plug.spec(
        "data.recipes", "segments", frames=frames, crop=("scales", 13), **views
    )
    c.init.weights = weights
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.02, 128, weight_decay=2e-5, clip=20.0, **groups())
    if backbone["name"] == "mobileone":  # convolutions with a bias
        c.optim["lr_scale"] += ((".*/(se/fc.|reparam)/bias", 2.0),)
    if backbone.get("deploy"):  # no norms
        c.optim["decay_scale"] = ((".*/bias", 0.0),)
    c.schedule = base.multistep(*milestones, warmup=warmup)
    return c
