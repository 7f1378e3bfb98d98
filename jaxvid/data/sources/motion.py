"""The motion clips of `data/synthetic/motion.py`, made on first use and read as a video list."""

from jaxvid.config.values import Count, Natural
from jaxvid.data.sources import video_list
from jaxvid.data.sources.video_list import Videos
from jaxvid.data.synthetic import motion


def build(
    split: str,
    *,
    root: str = "",
    train: Count = 1600,
    val: Count = 400,
    seed: Natural = 0,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Videos:
    """The "train" or "val" clips.

    Args:
      root: folder to keep them in; by default a cache folder of the user.
      train: Number of clips for training.
      val: Number of clips for validation.
      seed: Seed of the generator.
    """
    folder = motion.ensure(root or None, train=train, val=val, seed=seed)
    names = names or motion.CLASSES
    return video_list.build(split, root=str(folder), file=f"{split}.txt", names=names)
