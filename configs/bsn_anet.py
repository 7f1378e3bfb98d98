"""BSN on ActivityNet v1.3, features rescaled to 100 rows a video, 20 epochs (AUC 66.26).

    python -m jaxvid.main --config configs/bsn_anet.py
    python -m jaxvid.main --config configs/bsn_anet.py:400_tem
    python -m jaxvid.main --config configs/bsn_anet.py:400_pem --config.init.weights=runs/TEM

Variants are the features' channels, as in bmn_anet.py. The first command trains all stages
together. The others train them one by one, as published: first the boundaries, then the overlaps of
proposals, from the run of the first or from bsn_tem-400_anet.
"""

from configs import base, bmn_anet, datasets
from jaxvid import plug

TEM, PEM = ("backbone/.*", "conv3/.*"), ("fc1/.*", "fc2/.*")
# stage: learning rate, weight decay, milestones, parameters that stay as they are
STAGES = {
    "": (1e-3, 1e-4, (7.0, 14.0), ()),
    "tem": (1e-3, 1e-4, (7.0, 14.0), ()),
    "pem": (1e-2, 1e-5, (10.0,), TEM),
}
VARIANTS = {
    f"{channels}_{stage}".strip("_"): (channels, stage)
    for channels in bmn_anet.FOLDERS
    for stage in STAGES
}


def get_config(variant="400"):
    channels, stage = base.pick(VARIANTS, variant)
    lr, weight_decay, milestones, freeze = STAGES[stage]
    c = base.config()
    c.dtype = "float32"
    c.epochs = 20.0
    c.batch = 16
    c.model = dict(name="bsn", variant=channels, remat=False)
    c.task = plug.spec("tasks", "boundaries", stage=stage or "all")
    c.data = datasets.activitynet(bmn_anet.FOLDERS[channels], channels=int(channels))
    c.optim = dict(name="adam", lr=lr, weight_decay=weight_decay, clip=40.0, freeze=freeze)
    c.schedule = dict(name="multistep", milestones=milestones, by="epoch")
    c.best = "val/auc"
    c.init.skip = PEM if stage == "pem" else ()
    c.eval_every = 20.0
    return c
