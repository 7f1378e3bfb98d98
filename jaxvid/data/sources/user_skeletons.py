"""A user's own skeletons: train.pkl and val.pkl, or skeletons.pkl with splits of these names.

`data/annotations/skeleton_files.py` describes the format of the pickles. If the folder has a file
classes.txt with one class name per line, it names the labels.
"""

from pathlib import Path

from jaxvid.data.annotations import lists
from jaxvid.data.sources import skeleton
from jaxvid.data.sources.user_clips import CLASSES
from jaxvid.errors import UserError

ENDINGS = (".pkl", ".pickle")


def build(
    split: str,
    *,
    root: str,
    file: str = "skeletons",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> skeleton.Skeletons:
    """Read one split.

    Args:
      file: Name, without extension, of the file that contains all splits, if there is one.

    Raises:
      UserError: the file is missing in `root`, or an annotation is invalid.
    """
    if not names and root and Path(root, CLASSES).is_file():
        names = tuple(name for _, name in lists.lines(Path(root, CLASSES)))
    whole = lists.find_split(root, file, ENDINGS) if root else ""
    path = whole or lists.expect_split(root, split, ENDINGS, "skeletons")
    if whole and lists.find_split(root, split, ENDINGS):
        raise UserError(f"{root}: has {whole} and files of splits; remove one of them")
    return skeleton.build(
        split,
        root=root,
        file=path,
        subset=split if whole else "",
        names=names,
        num_classes=num_classes,
    )


def holds(root: str, split: str) -> bool:
    """Return whether `root` has a file of this split."""
    return bool(lists.find_split(root, split, ENDINGS))
