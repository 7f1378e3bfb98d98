"""A pickle of skeletons as MMAction2 and pyskl publish them.

`data/annotations/skeleton_files.py` describes the format.

MMAction2's `RepeatDataset(times=k)` makes an epoch k times as long. E of these epochs, with an
evaluation after each, are `epochs=k*E, eval_every=k` here.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from jaxvid.config.values import Probability
from jaxvid.data.annotations import lists, skeleton_files
from jaxvid.data.sample import Sample, Source
from jaxvid.errors import UserError, did_you_mean
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Skeletons(Source):
    """Annotations of one split.

    Only paths and labels are sent to workers. Each worker maps the arrays into memory itself.

    Attributes:
      folder: folder of the arrays, see `skeleton_files.ensure`.
      rows: int (n,), rows of this split in the file.
      labels: int32 (n,), class of each sample.
      origin: the pickle.
      names: class names by label.
      prefix, suffix: the file of a sample is `prefix/NAME` + suffix. Without a suffix, samples have
        no file.
      box_thr: minimum score of the box of a pose. Other poses are left out.
    """

    tried: ClassVar[bool] = True

    folder: str
    rows: np.ndarray
    labels: np.ndarray
    origin: str
    names: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    box_thr: float = 0.0

    def __getitem__(self, index: int) -> Sample:
        file, row = skeleton_files.read(self.folder), self.rows[index]
        sample: Sample = {"label": self.labels[index], **file.arrays(row)}
        if "size" in file.table:
            sample["size"] = file.table["size"][row]
        if (score := sample.pop("box_score", None)) is not None:
            sample["frame_inds"] = np.where(score >= self.box_thr, sample["frame_inds"], -1)
        if self.suffix:
            sample["path"] = os.path.join(self.prefix, self.id(index) + self.suffix)
        return sample

    def id(self, index: int) -> str:
        return str(skeleton_files.read(self.folder).table["id"][self.rows[index]])

    def where(self, index: int) -> str:
        return f'{self.origin}: annotation {self.rows[index]} ("{self.id(index)}")'


def build(
    split: str,
    *,
    root: str,
    file: str,
    subset: str = "",
    prefix: str = "",
    suffix: str = "",
    valid_ratio: Probability = 0.0,
    box_thr: Probability = 0.5,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Skeletons:
    """Read one split of a pickle.

    Args:
      split: "train" or "val".
      root: folder that contains `file` and `prefix`.
      file: Annotations, a pickle. "{split}" in its name stands for the name of the split.
      subset: Name of the split in the file, such as "xsub_train". "" uses the name of the split in
        the config. All samples are used if the file has no splits.
      prefix: With a `suffix`, the folder of the files of samples.
      suffix: With a suffix, each sample also reads the file `root/prefix/NAME` + suffix. This is
        its video, or a file of key points (".pkl", ".npz") if the pickle has none.
      valid_ratio: For the compact form: minimum share of frames with a person. 0 uses all samples
        and all poses.
      box_thr: For the compact form, if `valid_ratio` is given: minimum score of the box of a
        person.

    Raises:
      UserError: the file or split does not exist, or an annotation is invalid.
    """
    path = lists.file_of(root, file, split)
    folder = skeleton_files.ensure(path)
    found = skeleton_files.read(str(folder))
    if not suffix and "keypoint" not in found.flat:
        raise UserError(
            f'{path}: no "keypoint" in it; if each sample has its own file, set'
            f' config.data.{split}.prefix="FOLDER" and suffix=".pkl"'
        )
    first = f'{path}: annotation 0 ("{found.table["id"][0]}")'
    flat = "frame_inds" in found.flat or found.table.get("keypoint.shape", [[0]])[0][-1] == 2
    if not suffix and flat and "size" not in found.table:
        raise UserError(
            f'{first}: no "img_shape" in it; 2-D key points need the {skeleton_files.IMAGE}'
        )
    rows = _subset(found, subset, split, path)
    rows = _with_people(found, rows, split, path)
    _warn_of_nan(found, rows, path)
    if not suffix and flat and not {"keypoint_score", "frame_inds"} & found.flat.keys():
        warn_once(
            logger,
            f'{path}: no "keypoint_score" in it; the score of a joint is 1, and 0 at (0, 0)',
        )
    if valid_ratio:
        rows = rows[_valid(found, rows, box_thr, path) >= valid_ratio]
        if not len(rows):
            raise UserError(f"{path}: no sample of {split} has valid_ratio={valid_ratio}")
    return Skeletons(
        str(folder),
        rows,
        found.table["label"][rows].astype(np.int32),
        str(path),
        names,
        str(Path(root, prefix)),
        suffix,
        box_thr if valid_ratio else 0.0,
    )


def _subset(found: skeleton_files.Poses, subset: str, split: str, path: Path) -> np.ndarray:
    """Return the rows of a split of the file."""
    splits = [key[6:] for key in found.table if key.startswith("split.")]
    if not splits and not subset:
        return np.arange(len(found.table["id"]))
    name = subset or split
    if name not in splits:
        raise UserError(
            f'{path}: no split "{name}" in it; set config.data.{split}.subset.'
            f"{did_you_mean(name, splits)}"
        )
    rows, absent = found.table[f"split.{name}"], found.table[f"absent.{name}"]
    if not len(rows):
        raise UserError(f'{path}: no annotation belongs to the split "{name}"')
    if len(absent):
        warn_once(
            logger,
            f'{path}: {len(absent):,} of {len(absent) + len(rows):,} samples of the split "{name}"'
            f' have no annotation and are left out, such as "{absent[0]}"',
        )
    return rows


def _with_people(
    found: skeleton_files.Poses, rows: np.ndarray, split: str, path: Path
) -> np.ndarray:
    """Return the rows with at least one pose; warn about those of the compact form without any."""
    if "frame_inds.shape" not in found.table:
        return rows
    empty = rows[found.table["frame_inds.shape"][rows, 0] == 0]
    if len(empty) == len(rows):
        raise UserError(f"{path}: no annotation of {split} has a person")
    if len(empty):
        warn_once(
            logger,
            f"{path}: {len(empty):,} of {len(rows):,} annotations have nobody in them and are left"
            f' out, such as annotation {empty[0]} ("{found.table["id"][empty[0]]}")',
        )
    return np.setdiff1d(rows, empty)


def _warn_of_nan(found: skeleton_files.Poses, rows: np.ndarray, path: Path) -> None:
    """Warn about NaN values, which count as missing joints."""
    some = rows[found.table["nan"][rows] > 0]
    if len(some):
        warn_once(
            logger,
            f"{path}: {len(some):,} of {len(rows):,} annotations have NaN among their numbers, such"
            f' as annotation {some[0]} ("{found.table["id"][some[0]]}"); these joints count as'
            " missing",
        )


def _valid(found: skeleton_files.Poses, rows: np.ndarray, box_thr: float, path: Path) -> np.ndarray:
    """Return the share of frames that show a person, for each row."""
    if f"valid.{box_thr}" not in found.table or "box_score" not in found.flat:
        known = ", ".join(key[6:] for key in found.table if key.startswith("valid.")) or "none"
        raise UserError(
            f'{path}: valid_ratio needs "box_score", and "valid" with the number of frames for'
            f" box_thr={box_thr}; the file has: {known}"
        )
    return found.table[f"valid.{box_thr}"][rows] / found.table["total_frames"][rows]
