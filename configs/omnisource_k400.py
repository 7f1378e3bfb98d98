"""OmniSource: one SlowOnly-R50 learns from Kinetics-400 and from other sources, 256 epochs.

Variants: r50_8x8 (top-1 77.30) learns from the images of ImageNet with a second head, 85 of them
for 16 clips. `mixed` learns from web images, which become clips of a still image, and from
untrimmed web videos beside Kinetics, all with the classes of Kinetics. tools.filter keeps those
that a teacher recognizes.
"""

from configs import base, datasets
from jaxvid import plug

# Two loaders, or one stream of sources with their shares.
RECIPES = {"r50_8x8": True, "mixed": False}


def get_config(variant="r50_8x8"):
    two_heads = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 256.0
    c.batch = 128
    c.model = dict(name="omnisource" if two_heads else "slowonly", variant="r50", remat=False)
    c.model.dropout = 0.5
    c.task = plug.spec(
        "tasks", "omnisource" if two_heads else "recognition", augment=dict(flip=0.5)
    )
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=8, stride=8, clips=10, crops=3, test_size=256
    )
    if two_heads:
        c.model.image_classes, c.model.image_dropout = 1000, 0.2
        c.data.image_batch = 680
        c.data.images = dict(
            name="video_list", file="../imagenet/meta/train.txt", prefix="../imagenet/train"
        )
    else:
        c.data.train = dict(
            name="concat",
            kinetics=dict(c.data.train.to_dict(), ratio=2.0),
            images=dict(name="video_list", file="web_images.csv", prefix="web_images", ratio=1.0),
            videos=dict(name="video_list", file="web_videos.csv", prefix="web_videos", ratio=1.0),
        )
    c.optim = base.sgd(0.1, 128)
    warmup = dict(warmup=34.0, warmup_by="step", warmup_factor=0.1)
    c.schedule = dict(name="cosine", by="step", begin=34.0, **warmup)
    c.eval_every = 4.0
    return c
