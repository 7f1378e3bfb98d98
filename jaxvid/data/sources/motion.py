"""The motion clips of `data/synthetic/motion.py`, generated on first use and read as a list."""

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
    """Return the clips of a split, "train" or "val". Generate them if necessary.

    Args:
      root: folder to store the clips in. By default, this is the cache folder of the user.
      train: Number of clips for training.
      val: Number of clips for validation.
      seed: Seed of the generator.
    """
    folder = motion.ensure(root or None, train=train, val=val, seed=seed)
    names = names or motion.CLASSES
    return video_list.build(split, root=str(folder), file=f"{split}.txt", names=names)
