"""Convert the `.skeleton` files of NTU RGB+D to one pickle of 3-D skeletons.

    python -m data_prep.skeletons.ntu --source nturgb+d_skeletons --out ntu60_3d.pkl
    python -m data_prep.skeletons.ntu --source nturgb+d_skeletons --out ntu120_3d.pkl --classes 120

The pickle has the content of MMAction2's ntu60_3d.pkl or ntu120_3d.pkl. Of up to four bodies in a
file, it contains the two that move most. Coordinates are x, y, z in meters, as float16. The samples
that the authors list as incomplete (ntu_missing.txt) are left out. The source `skeleton` reads it.

The name of a file is SsssCcccPpppRrrrAaaa: setup, camera, performer, replication and action. A file
begins with the number of frames. Each frame begins with the number of bodies. Each body has a line
of 10 numbers, the number of joints, and for each joint a line of 12 numbers, the first of which are
x, y, z (github.com/shahroudy/NTURGB-D, Matlab/read_skeleton_file.m).

Shape letters: m people, t frames, j joints.
"""

import argparse
import contextlib
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import cli, errors, files
from jaxvid.data.video.containers import VideoError
from jaxvid.errors import UserError
from jaxvid.tools import jobs

BODIES, JOINTS = 4, 25
BODY, JOINT = 10, 12  # numbers in the line of a body, and of a joint
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
MISSING = Path(__file__).with_name("ntu_missing.txt")

# Subjects, cameras and setups of the training splits: Shahroudy et al. 2016, Liu et al. 2019.
SUBJECTS = {
    60: (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38),
    120: (
        *(1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47),
        *(49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91),
        *(92, 93, 94, 95, 97, 98, 100, 103),
    ),
}
CAMERAS = (2, 3)
SETUPS_OF_60 = 17


def convert(source: Path, out: Path, classes: int) -> None:
    """Write the pickle of a folder of `.skeleton` files.

    Args:
      classes: 60 or 120. With 60, files of the setups that were added for 120 are left out.

    Raises:
      UserError: the folder has no such files, some of them are damaged, or `out` cannot be written.
    """
    incomplete = set(MISSING.read_text().split())
    listed = [path for path in sorted(source.rglob("*.skeleton")) if belongs(path.stem, classes)]
    kept = [path for path in listed if path.stem not in incomplete]
    if not kept:
        raise UserError(f"{source}: no .skeleton files of NTU RGB+D {classes} in it")
    files.probe_file(out, kept)
    print(f"{len(kept):,} files, {len(listed) - len(kept)} left out as incomplete")
    found, damaged = {}, []
    with contextlib.closing(jobs.run(annotate, kept, what="reading")) as done:
        for each in done:
            found[each.item] = each.result
            damaged += [f"{each.item}: {each.error}"] if each.error else []
    if damaged:
        raise errors.problems(f"{source}: some files cannot be used:", sorted(damaged))
    annotations = [found[path] for path in kept]
    content = {"split": splits([path.stem for path in kept], classes), "annotations": annotations}
    with files.explained(out), files.replacing(out) as part, part.open("wb") as file:
        pickle.dump(content, file, protocol=4)
    print(f"{out}: {len(annotations):,} samples")


def annotate(path: Path) -> dict[str, Any]:
    """Return the annotation of one file.

    Raises:
      VideoError: the file is damaged, or shows nobody.
    """
    keypoint = people(bodies(path)).astype(np.float16)
    if not len(keypoint):
        raise VideoError(str(path), f"there is nobody in it; add its name to {MISSING.name}")
    *_, action = _numbers(path.stem)
    return {
        "frame_dir": path.stem,
        "label": action - 1,
        "keypoint": keypoint,
        "total_frames": keypoint.shape[1],
    }


def bodies(path: Path) -> np.ndarray:
    """Read x, y, z of the joints of all bodies, as (m t j 3).

    The bodies are in the order in which Kinect lists them. A body that a frame does not list is
    zero there.

    Raises:
      VideoError: the file is truncated, or has another format.
    """
    try:
        numbers = np.array(path.read_text().split(), np.float64)
        found, at = np.zeros((BODIES, int(numbers[0]), JOINTS, 3)), 1
        for frame in range(found.shape[1]):
            count, at = int(numbers[at]), at + 1
            for body in range(count):
                joints = int(numbers[at + BODY])
                at += BODY + 1
                lines = numbers[at : at + joints * JOINT].reshape(joints, JOINT)
                at += joints * JOINT
                if body < BODIES:
                    found[body, frame] = lines[:JOINTS, :3]
    except (ValueError, IndexError):
        raise VideoError(str(path), "truncated, or not a .skeleton file") from None
    return found


def people(found: np.ndarray) -> np.ndarray:
    """Return the two bodies that move most, the one that moves more first, as (m t j 3).

    A body that is zero in all frames is left out.
    """
    spread = []
    for body in found:
        seen = body[body.sum((1, 2)) != 0]
        spread.append(seen.std((0, 1)).sum() if len(seen) else 0.0)
    best = found[np.argsort(spread)[::-1][:2]]
    return best[best.sum((1, 2, 3)) != 0]


def splits(names: list[str], classes: int) -> dict[str, list[str]]:
    """Return the names of the samples of each split of the benchmarks.

    "xsub" divides the samples by subject. "xview" divides those of NTU RGB+D 60 by camera, and
    "xset" those of NTU RGB+D 120 by setup.
    """
    other = "xview" if classes == 60 else "xset"
    found: dict[str, list[str]] = {
        f"{b}_{s}": [] for b in ("xsub", other) for s in ("train", "val")
    }
    for name in names:
        setup, camera, subject, *_ = _numbers(name)
        elsewhere = camera in CAMERAS if classes == 60 else setup % 2 == 0
        found[f"xsub_{'train' if subject in SUBJECTS[classes] else 'val'}"].append(name)
        found[f"{other}_{'train' if elsewhere else 'val'}"].append(name)
    return found


def _numbers(name: str) -> list[int]:
    match = NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name}.skeleton: names are like S001C002P003R002A013")
    return [int(number) for number in match.groups()]


def belongs(name: str, classes: int) -> bool:
    """Return whether a sample is part of NTU RGB+D 60 or 120, as `classes` says.

    The samples of NTU RGB+D 60 are those of the first 17 setups, and 120 contains all samples.
    """
    return classes == 120 or _numbers(name)[0] <= SETUPS_OF_60


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.skeletons.ntu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", required=True, type=Path, help="folder of .skeleton files")
    parser.add_argument("--out", required=True, type=Path, help="the pickle")
    parser.add_argument("--classes", type=int, choices=(60, 120), default=60)
    given = parser.parse_args(arguments)
    convert(given.source, given.out, given.classes)


if __name__ == "__main__":
    sys.exit(cli.guard(main))
