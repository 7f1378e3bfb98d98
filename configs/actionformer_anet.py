"""ActionFormer on ActivityNet v1.3: TSP features of 16 frames at 15 frames per second, 15 epochs.

It predicts segments without classes, as published: the mAP of 36.6 is with the classes of a
classifier of videos. The mAP of an evaluation is with the true class of each video.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="tsp"):
    base.pick({"tsp": None}, variant)
    c = base.temporal_detection(15.0, 1e-3, 16)
    c.model = dict(name="actionformer", variant="anet", agnostic=True, remat=False)
    c.task = plug.spec(
        "tasks",
        "temporal_detection",
        agnostic=True,
        smoothing=0.1,
        normalizer=400.0,
        shortest=0.1,
        sigma=0.8,
        by_class=False,
        vote=0.85,
        keep=100,
        thresholds=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    )
    c.data = datasets.activitynet("tsp_features", channels=512)
    for split in ("train", "val"):
        c.data[split].update(dict(suffix=".npy", prefix="v_"))
    c.data.recipe = plug.spec("data.recipes", "timeline", frames=768, channels=512, resample=False)
    return c
