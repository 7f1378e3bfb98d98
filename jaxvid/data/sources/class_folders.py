"""A folder with one sub-folder of videos for each class.

`data/video/video_files.py` lists the file extensions of videos.
"""

import hashlib
import logging
from pathlib import Path

import numpy as np

from jaxvid.config.values import Probability
from jaxvid.data.annotations.labels import in_order
from jaxvid.data.sources.video_list import Videos, scanned
from jaxvid.data.video import video_files
from jaxvid.errors import UserError, did_you_mean
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)


def build(
    split: str,
    *,
    root: str,
    folder: str = "",
    share: Probability = 1.0,
    manifest: str = "",
    sounds: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Videos:
    """List the videos in `root/folder/CLASS/`.

    Classes are in alphabetical order, or in numerical order if all names are numbers. A warning
    lists the files that are left out.

    Args:
      split: "train", or another name for the videos that are not used for training.
      folder: Folder of the classes, relative to `root`.
      share: Share of each class that is used for training, chosen by a hash of the file name. With
        1, every split contains all videos. A class with a single video is used for training only.
      manifest: Manifest of `python -m jaxvid.tools.scan`, relative to `root` (see video_list).
      sounds: Whether sounds, such as .wav, and their features, .npy, count like videos.
      names: class names by label, if another split determines them.

    Raises:
      UserError: the folder does not exist or has no sub-folders, or the name of a sub-folder is not
        in `names`, or is in it twice.
    """
    base = Path(root, folder)
    endings = video_files.VIDEOS + ((*video_files.SOUNDS, ".npy") if sounds else ())
    if not base.is_dir():
        raise UserError(f"{base}: no such folder; set config.data.root")
    there = [path for path in base.iterdir() if video_files.counts(path.name)]
    found = in_order(path.name for path in there if path.is_dir())
    if not found:
        raise UserError(f"{base}: no sub-folders; there must be one for each class")
    names = tuple(names) or found
    if twice := [name for name in found if names.count(name) > 1]:
        raise UserError(f'{base / twice[0]}: "{twice[0]}" is the name of two classes; rename one')
    paths, labels, others = [], [], []
    for name in found:
        if name not in names:
            raise UserError(f"{base / name}: no such class.{did_you_mean(name, names)}")
        within = base / name
        below = list(video_files.walk(within))
        files = [path for path in below if video_files.has_ending(path.name, endings)]
        others += [path for path in below if not video_files.has_ending(path.name, endings)]
        # The order of hashes is random but reproducible, and added files move few others.
        files.sort(key=lambda p: hashlib.sha1(p.relative_to(within).as_posix().encode()).digest())
        if share < 1:
            kept = len(files) - round(len(files) * (1 - share)) if len(files) > 1 else len(files)
            files = files[:kept] if split == "train" else files[kept:]
        paths += sorted(str(p) for p in files)
        labels += [names.index(name)] * len(files)
    if ignored := video_files.left_out(others, endings):
        warn_once(logger, f"{base}: left out {ignored}")
    videos = (path for path in there if video_files.has_ending(path.name, endings))
    if outside := [path.name for path in videos if path.is_file()]:
        example = f"such as {min(outside)}"
        warn_once(logger, f"{base}: {len(outside):,} videos are in no class folder, {example}")
    labels = np.array(labels, np.int32)
    return Videos(paths, labels, names, str(base), **scanned(root, manifest, paths))
