"""A folder with one sub-folder of videos for each class."""

import hashlib
from pathlib import Path

import numpy as np

from jaxvid.data.sources.video_list import Videos, scanned
from jaxvid.errors import UserError, did_you_mean

EXTENSIONS = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".gif", ".wmv", ".flv",
    ".3gp", ".ts",
)  # fmt: skip


def build(
    split: str,
    *,
    root: str,
    folder: str = "",
    share: float = 1.0,
    manifest: str = "",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Videos:
    """List the videos under `root/folder/CLASS/`, classes in alphabetical order.

    Args:
      split: "train", or another name for what training leaves over.
      share: the part of each class, by a hash of the file's name, that is training; 1 takes all
        for any split. A class of one video is training only.
      manifest: relative to `root`; see video_list.
      names: the classes and their order, when another split has settled them.

    Raises:
      UserError: no such folder, no sub-folders, or a class that `names` does not have.
    """
    base = Path(root, folder)
    if not base.is_dir():
        raise UserError(f"{base}: no such folder; set config.data.root")
    found = sorted(d.name for d in base.iterdir() if d.is_dir() and not d.name.startswith("."))
    if not found:
        raise UserError(f"{base}: no sub-folders; there must be one for each class")
    names = tuple(names) or tuple(found)
    paths, labels = [], []
    for name in found:
        if name not in names:
            raise UserError(f"{base / name}: no such class.{did_you_mean(name, names)}")
        within = base / name
        files = [p for p in within.rglob("[!.]*") if p.suffix.lower() in EXTENSIONS]
        # The order of hashes is random but the same everywhere, and adding files moves few.
        files.sort(key=lambda p: hashlib.sha1(p.relative_to(within).as_posix().encode()).digest())
        if share < 1:
            kept = len(files) - round(len(files) * (1 - share)) if len(files) > 1 else len(files)
            files = files[:kept] if split == "train" else files[kept:]
        paths += sorted(str(p) for p in files)
        labels += [names.index(name)] * len(files)
    labels = np.array(labels, np.int32)
    return Videos(paths, labels, names, str(base), (), *scanned(root, manifest, paths))
