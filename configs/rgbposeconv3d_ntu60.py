"""RGBPose-Conv3D on NTU RGB+D 60, cross-subject: videos and 2-D key points, tested on 10 clips.

Variants: both (8 frames of the video and 32 of heat maps, 20 epochs, scores of both fused 1:1) and
pose (its pose pathway alone, 180 epochs). Upstream starts from a file in which the weights of both
pathways are merged, `rgbpose_conv3d_init`. With that file, set `config.init.weights` to its path.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="both"):
    return base.pick(dict(both=both, pose=pose), variant)()


def data(**source) -> dict:
    """Return key points of NTU RGB+D 60; sources have further options, such as those of videos."""
    return datasets.poses("ntu60", 60, ("xsub_train", "xsub_val"), **source)


def both():
    """Return the run of the network with two pathways."""
    c = base.config()
    c.epochs = 20.0
    c.batch = 48
    c.model = dict(name="rgbposeconv3d", variant="r50", dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "rgbpose")
    videos = dict(prefix="../nturgbd_videos", suffix=".mp4")
    c.data = data(**videos) | dict(recipe=plug.spec("data.recipes", "rgbpose"))
    c.optim = base.sgd(0.0075, 48)
    c.schedule = base.multistep(12.0, 16.0)
    return c


def pose():
    """Return the run of the pose pathway, which keeps the number of frames."""
    c = base.heatmap_run(data(), frames=32, crop=False, double=False)
    c.epochs = 180.0
    c.model.time_strides = (1, 1, 1)
    return c
