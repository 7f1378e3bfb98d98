"""The embedded motion clips of `data/motion.py`, generated on first use; read as any video list."""

from jaxvid.data import motion
from jaxvid.data.sources import video_list
from jaxvid.data.sources.video_list import Videos


def build(
    split: str,
    *,
    root: str = "",
    train: int = 1600,
    val: int = 400,
    seed: int = 0,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Videos:
    """The "train" or "val" clips.

    Args:
      root: folder to keep them in; by default a cache folder of the user.
      train, val: number of clips.
      seed: of the generator.
    """
    folder = motion.ensure(root or None, train=train, val=val, seed=seed)
    names = names or motion.CLASSES
    return video_list.build(split, root=str(folder), file=f"{split}.txt", names=names)
