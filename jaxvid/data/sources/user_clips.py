"""A user's own clips, in one of several folder layouts. The layout is detected automatically.

| `root`                                       | training           | validation                  |
|----------------------------------------------|--------------------|-----------------------------|
| has train.csv or .txt (and val.csv or .txt)  | the first          | the second                  |
| has folders train/ and val/                  | train/CLASS/*.mp4  | val/CLASS/*.mp4             |
| has one folder for each class                | 80 % of each class | the rest, by hash of names  |

For the task "multi_label", a line of a list can have several labels: `path,label,label`. If the
folder has a file classes.txt with one class name per line, it determines the classes and their
order. If there is also a list or folder called test, evaluations use it instead of val.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxvid.config.values import Probability
from jaxvid.data.annotations import lists
from jaxvid.data.sample import Sample
from jaxvid.data.sources import class_folders, video_list
from jaxvid.data.sources.video_list import Videos
from jaxvid.errors import UserError

CLASSES = "classes.txt"
LISTS = (".csv", ".txt")


def build(
    split: str,
    *,
    root: str,
    train_share: Probability = 0.8,
    manifest: str = "",
    multi_label: bool = False,
    texts: bool = False,
    all_texts: bool = False,
    sounds: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Videos:
    """Detect the layout of `root` and read one split.

    Args:
      train_share: Share of each class that is used for training, if one folder contains all videos.
      manifest: Manifest of `python -m jaxvid.tools.scan`, relative to `root` (see video_list).
      multi_label: Whether a line of the lists can have any number of labels.
      texts: Whether samples contain the name of their class, for models that compare videos with
        texts.
      all_texts: Whether samples contain the names of all classes, for models whose texts depend on
        the video, such as X-CLIP.
      sounds: Whether sounds, such as .wav, and their features, .npy, count like videos.

    Raises:
      UserError: `root` is missing or has none of the layouts.
    """
    if not root:
        raise UserError("set --config.data.root to the folder of your clips")
    base = Path(root)
    if not base.is_dir():
        raise UserError(f"{base}: no such folder; set --config.data.root to your clips")
    if not names and (base / CLASSES).is_file():
        names = tuple(name for _, name in lists.lines(base / CLASSES))
    known: dict[str, Any] = dict(manifest=manifest, names=names, num_classes=num_classes)
    found = _read(split, base, train_share, multi_label, sounds, known)
    if not texts and not all_texts:
        return found
    if not found.names:
        raise UserError(f"{found.origin}: classes need names as texts; write them to {CLASSES}")
    return (AllNamed if all_texts else Named)(**vars(found))


def _read(
    split: str,
    base: Path,
    train_share: float,
    multi_label: bool,
    sounds: bool,
    known: Mapping[str, Any],
) -> Videos:
    """Read a split in the layout that `base` has."""
    root = str(base)
    if file := lists.find_split(root, split, LISTS):
        return video_list.build(split, root=root, file=file, multi_label=multi_label, **known)
    for other in ("train", "val"):
        if lists.find_split(root, other, LISTS):
            raise UserError(f"{base}: has a list for {other} but no {split}.csv or {split}.txt")
    if multi_label:
        raise UserError(
            f"{base}: for several labels per video, write train.csv and val.csv with lines"
            " path,label,label; a folder gives a video one label only"
        )
    if (base / split).is_dir():
        return class_folders.build(split, root=root, folder=split, sounds=sounds, **known)
    for other in ("train", "val"):
        if (base / other).is_dir():
            raise UserError(f"{base}: has {other}/ but no {split}/")
    found = class_folders.build(split, root=root, share=train_share, sounds=sounds, **known)
    if not len(found) and split != "train" and train_share < 1:
        raise UserError(
            f"{base}: train_share={train_share:g} leaves no videos for {split}; lower it in"
            " --config.data.train.train_share and --config.data.val.train_share, or add videos"
        )
    return found


def holds(root: str, split: str) -> bool:
    """Return whether `root` has a list or a folder of this split next to that of training."""
    if lists.find_split(root, "train", LISTS):
        return bool(lists.find_split(root, split, LISTS))
    return Path(root, "train").is_dir() and Path(root, split).is_dir()


@dataclass(frozen=True, repr=False)
class Named(Videos):
    """Videos whose samples contain the name of their class as text."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return sample | {"labels": (self.names[sample["label"]],)}


@dataclass(frozen=True, repr=False)
class AllNamed(Videos):
    """Videos whose samples contain the names of all classes as texts."""

    def __getitem__(self, index: int) -> Sample:
        return super().__getitem__(index) | {"labels": self.names}
