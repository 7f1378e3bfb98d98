"""Convert the features of BABEL to one pickle of 3-D skeletons.

    python -m data_prep.skeletons.babel --source BABEL --out babel60_3d.pkl
    python -m data_prep.skeletons.babel --source BABEL --out babel120_3d.pkl --classes 120

The authors publish two files for each split: `train_ntu_sk_60.npy` has the joints of NTU RGB+D as
float (n c t j m), and `train_label_60.pkl` has the pair (ids, (labels, sequences, chunks,
annotators)), each of n entries. The name of a sample joins its id, sequence, chunk and annotator
by "_", as in MMAction2. Coordinates are x, y, z, as float16. The splits are "train" and "val".

Shape letters: n samples, m people, t frames, j joints, c coordinates.
"""

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import cli, files
from jaxvid.data.annotations import skeleton_files
from jaxvid.data.annotations.entries import is_whole
from jaxvid.errors import UserError

SPLITS = ("train", "val")
COORDINATES, JOINTS = 3, 25


def convert(source: Path, out: Path, classes: int) -> None:
    """Write the pickle of a folder with the features of both splits.

    Args:
      classes: 60 or 120.

    Raises:
      UserError: a file is missing or has another format, or `out` cannot be written.
    """
    inputs = [source / f"{s}_{end}" for s in SPLITS for end in endings(classes)]
    if missing := [path for path in inputs if not path.is_file()]:
        raise UserError(f"{missing[0]}: no such file of BABEL-{classes}")
    files.probe_file(out, inputs)
    found = {split: annotations(source, split, classes) for split in SPLITS}
    content = {
        "split": {split: [a["frame_dir"] for a in each] for split, each in found.items()},
        "annotations": [annotation for each in found.values() for annotation in each],
    }
    with files.explained(out), files.replacing(out) as part, part.open("wb") as file:
        pickle.dump(content, file, protocol=4)
    counts = ", ".join(f"{len(each):,} for {split}" for split, each in found.items())
    print(f"{out}: {counts}")


def endings(classes: int) -> tuple[str, str]:
    """Return the endings of the names of both files of a split."""
    return f"ntu_sk_{classes}.npy", f"label_{classes}.pkl"


def annotations(source: Path, split: str, classes: int) -> list[dict[str, Any]]:
    """Return the annotations of a split.

    Raises:
      UserError: a file has another format, or a label is not a class.
    """
    points, table = (source / f"{split}_{end}" for end in endings(classes))
    try:
        joints = np.load(points, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{points}: not a .npy file ({error})") from None
    if joints.ndim != 5 or joints.shape[1] != COORDINATES or joints.shape[3] != JOINTS:
        raise UserError(
            f"{points}: has shape {joints.shape}; expected (samples, {COORDINATES}, frames,"
            f" {JOINTS}, people)"
        )
    ids, labels, *rest = columns(skeleton_files.load(table), table, len(joints))
    found = []
    for i, label in enumerate(labels):
        if not is_whole(label) or not 0 <= int(label) < classes:
            raise UserError(f"{table}: sample {i}: label {label} is outside 0..{classes - 1}")
        found.append(
            {
                "frame_dir": "_".join(str(column[i]) for column in (ids, *rest)),
                "label": int(label),
                "keypoint": np.array(joints[i].transpose(3, 1, 2, 0), np.float16),  # no np.memmap
                "total_frames": joints.shape[2],
            }
        )
    return found


def columns(content: Any, path: Path, count: int) -> list[Sequence]:
    """Return ids, labels, sequences, chunks and annotators of a file of labels, each (n,)."""
    pair = isinstance(content, list | tuple) and len(content) == 2
    if not pair or not isinstance(content[1], list | tuple) or len(content[1]) != 4:
        raise UserError(
            f"{path}: expected a pair (ids, (labels, sequences, chunks, annotators)) of BABEL"
        )
    found = [content[0], *content[1]]
    for column in found:
        if not isinstance(column, list | tuple | np.ndarray) or len(column) != count:
            size = len(column) if hasattr(column, "__len__") else column
            raise UserError(f"{path}: a column has {size} entries, but the joints have {count}")
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.skeletons.babel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", required=True, type=Path, help="folder of the features")
    parser.add_argument("--out", required=True, type=Path, help="the pickle")
    parser.add_argument("--classes", type=int, choices=(60, 120), default=60)
    given = parser.parse_args(arguments)
    convert(given.source, given.out, given.classes)


if __name__ == "__main__":
    sys.exit(cli.guard(main))
