"""A list with a sound per line and the number of frames of its video: `path frames label`.

This is the list of MMAction2's audio models, whose paths are files of features. They can also be
files of sound, or videos with sound. Labels, comments and csv files are as in video_list, which
reads lists without the number of frames.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.labels import to_numbers
from jaxvid.data.audio import waveform
from jaxvid.data.sample import Sample
from jaxvid.data.sources.frame_folders import read_counted
from jaxvid.data.sources.video_list import Videos
from jaxvid.data.video import video_files
from jaxvid.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Sounds(Videos):
    """Sounds, of which some can be missing.

    Attributes:
      silent: rows whose file is missing, which silence replaces.
    """

    silent: frozenset[int] = frozenset()

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if index in self.silent:
            del sample["path"]
            # The features of this second, and clips of it, have the size that the recipe says.
            sample |= {"waveform": np.zeros(waveform.RATE, np.float32), "rate": waveform.RATE}
        return sample


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    suffix: str = "",
    missing: Literal["error", "silence"] = "error",
    multi_label: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Sounds:
    """Read a list.

    Args:
      split: name of the split, for `file` and for messages.
      root: folder that contains `file` and `prefix`.
      file: The list. "{split}" in its name stands for the name of the split.
      prefix: Folder of the sounds.
      suffix: File extension that is added to paths without one, such as ".npy".
      missing: What a missing file means: "error", or "silence" as in MMAction2, where videos
        without sound have no file of features. The run prints how many there are.
      multi_label: Whether a sample can have any number of labels. Its label is then a vector with 0
        or 1 for each class.
      names: class names by label, for lists whose labels are names.

    Raises:
      UserError: the file does not exist, a line cannot be read, or all sounds are missing.
    """
    path = lists.file_of(root, file, split, "list")
    found, counts, raw, lines = read_counted(path, ("path", "frames"), multi_label)
    paths = [video_files.with_ending(str(Path(root, prefix, name)), suffix) for name in found]
    labels, names = to_numbers(raw, names, multi_label, num_classes, path, lines)
    total = np.array(counts, np.int64)[:, 0]
    silent = frozenset(video_files.missing(paths) if missing == "silence" else ())
    if silent:
        if len(silent) == len(paths):
            raise UserError(f"{path}: none of its files exists, such as {paths[0]}")
        logger.info(
            f"{path}: {len(silent):,} of {len(paths):,} sounds are missing and count as silence,"
            f" such as {paths[min(silent)]}"
        )
    return Sounds(paths, labels, names, str(path), lines, total, silent=silent)
