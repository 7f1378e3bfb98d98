"""BMN on ActivityNet v1.3, features rescaled to 100 rows a video, 9 epochs.

Variants are the features' channels: 400 are CUHK's two-stream TSN (AUC 67.25, AR@100 75.29), 2048
SlowOnly's trained on Kinetics-700 (AUC 68.04, AR@100 75.77).
"""

from configs import base, datasets
from jaxvid import plug

FOLDERS = {"400": "activitynet_feature_cuhk/csv_mean_100", "2048": "slowonly_k700_feature"}


def get_config(variant="400"):
    features = base.pick(FOLDERS, variant)
    c = base.config()
    c.dtype = "float32"
    c.epochs = 9.0
    c.batch = 16
    c.model = dict(name="bmn", variant=variant, remat=False)
    c.task = plug.spec("tasks", "localization")
    c.data = datasets.activitynet(features, channels=int(variant))
    c.optim = dict(name="adam", lr=1e-3, weight_decay=1e-4, clip=40.0)
    c.schedule = dict(name="multistep", milestones=(7.0,), by="epoch")
    c.best = "val/auc"
    return c
