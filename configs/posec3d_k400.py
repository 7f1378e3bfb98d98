"""PoseC3D on key points of Kinetics-400, one file for each video, 240 epochs: top-1 47.4."""

from configs import base, datasets


def get_config():
    files = dict(prefix="kpfiles", suffix=".pkl")
    data = datasets.poses("k400", 400, ("train", "val"), **files)
    c = base.heatmap_run(data, drawn=True, crop=False)
    c.batch = 256
    c.model.depths = (3, 4, 6)
    c.optim = base.sgd(0.4, 256)
    return c
