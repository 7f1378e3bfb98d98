"""RGBPose-Conv3D on NTU RGB+D 60, cross-subject: videos and 2-D key points, tested on 10 clips.

Variants: both (8 frames of the video and 32 of heat maps, 20 epochs, scores of both fused 1:1),
pose (its pose pathway alone, 180 epochs) and rgb (its RGB pathway alone, 180 epochs). For `both`,
upstream starts from a file in which the weights of both pathways are merged,
`rgbpose_conv3d_init`. With that file, set `config.init.weights` to its path.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="both"):
    return base.pick(dict(both=both, pose=pose, rgb=rgb), variant)()


def data(**source) -> dict:
    """Return key points of NTU RGB+D 60; sources have further options, such as those of videos."""
    return datasets.poses("ntu60", 60, ("xsub_train", "xsub_val"), **source)


def videos(**recipe) -> dict:
    """Return the videos of NTU RGB+D 60 with their key points; `recipe` are its options."""
    found = data(prefix="../nturgbd_videos", suffix=".mp4")
    return found | dict(recipe=plug.spec("data.recipes", "rgbpose", **recipe))


def both():
    """Return the run of the network with two pathways."""
    c = base.config()
    c.epochs = 20.0
    c.batch = 48
    c.model = dict(name="rgbposeconv3d", variant="r50", dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "rgbpose")
    c.data = videos()
    c.optim = base.sgd(0.0075, 48)
    c.schedule = base.multistep(12.0, 16.0)
    return c


def pose():
    """Return the run of the pose pathway, which keeps the number of frames."""
    c = base.heatmap_run(data(), frames=32, crop=False, double=False)
    c.epochs = 180.0
    c.model.time_strides = (1, 1, 1)
    return c


def rgb():
    """Return the run of the RGB pathway, which sees the part of the frames with people in it."""
    c = base.config()
    c.epochs = 180.0  # upstream repeats the data ten times in each of 18 epochs
    c.batch = 96
    c.model = dict(name="slowonly", variant="r50", dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition")
    c.data = videos(pose_frames=0, test_size=224)
    c.optim = base.sgd(0.15, 96)
    c.schedule = dict(name="cosine", by="step")
    c.eval_every = 10.0
    return c
