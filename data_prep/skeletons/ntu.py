"""The pickle of NTU RGB+D's 3-D skeletons, from the `.skeleton` files of the data set itself.

    python -m data_prep.skeletons.ntu --source nturgb+d_skeletons --out ntu60_3d.pkl
    python -m data_prep.skeletons.ntu --source nturgb+d_skeletons --out ntu120_3d.pkl --classes 120

It has what MMAction2's ntu60_3d.pkl and ntu120_3d.pkl have, made by the same rules: of up to four
bodies that Kinect saw, the two that move most; x, y, z in metres as float16; without the samples
that the authors list as incomplete (ntu_missing.txt). `sources/skeleton.py` reads it.

Names are SsssCcccPpppRrrrAaaa: setup, camera, performer, replication, action. A `.skeleton` file is
the number of frames, and for each frame the number of bodies, and for each body a line of 10
numbers, the number of joints and a line of 12 for each, of which the first three are x, y, z
(github.com/shahroudy/NTURGB-D, Matlab/read_skeleton_file.m).

Shape letters: m people, t frames, j joints.
"""

import argparse
import pickle
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import cli
from jaxvid.errors import UserError
from jaxvid.tools.jobs import SPAWN

BODIES, JOINTS = 4, 25
BODY, JOINT = 10, 12  # numbers in a line
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
MISSING = Path(__file__).with_name("ntu_missing.txt")

# Who, where and from where training is: Shahroudy et al. 2016 and Liu et al. 2019.
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
    """Writes the pickle of a folder of `.skeleton` files.

    Args:
      classes: 60 or 120; with 60, files of the setups that were added for 120 are left out.

    Raises:
      UserError: there are no such files, or one of them is damaged.
    """
    missing = set(MISSING.read_text().split())
    files = [path for path in sorted(source.rglob("*.skeleton")) if wanted(path.stem, classes)]
    kept = [path for path in files if path.stem not in missing]
    if not kept:
        raise UserError(f"{source}: no .skeleton files of NTU RGB+D {classes} in it")
    print(f"{len(kept):,} files, {len(files) - len(kept)} left out as incomplete")
    annotations = []
    with ProcessPoolExecutor(mp_context=SPAWN) as pool:
        for number, annotation in enumerate(pool.map(annotate, kept, chunksize=64), 1):
            annotations.append(annotation)
            if not number % 5000:
                print(f"{number:,} of {len(kept):,} read")
    content = {"split": splits([path.stem for path in kept], classes), "annotations": annotations}
    part = out.with_suffix(".part")
    with part.open("wb") as file:
        pickle.dump(content, file, protocol=4)
    part.replace(out)
    print(f"{out}: {len(annotations):,} samples")


def annotate(path: Path) -> dict[str, Any]:
    """The annotation of one file."""
    keypoint = people(bodies(path)).astype(np.float16)
    if not len(keypoint):
        raise UserError(f"{path}: there is nobody in it; add its name to {MISSING.name}")
    *_, action = _numbers(path.stem)
    return {
        "frame_dir": path.stem,
        "label": action - 1,
        "keypoint": keypoint,
        "total_frames": keypoint.shape[1],
    }


def bodies(path: Path) -> np.ndarray:
    """x, y, z of the joints (m t j 3), in the order Kinect lists bodies; zeros for nobody."""
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
        raise UserError(f"{path}: truncated, or not a .skeleton file") from None
    return found


def people(found: np.ndarray) -> np.ndarray:
    """The two bodies that move most (m t j 3), most first; without those that are all zeros."""
    spread = []
    for body in found:
        seen = body[body.sum((1, 2)) != 0]
        spread.append(seen.std((0, 1)).sum() if len(seen) else 0.0)
    best = found[np.argsort(spread)[::-1][:2]]
    return best[best.sum((1, 2, 3)) != 0]


def splits(names: list[str], classes: int) -> dict[str, list[str]]:
    """Training and validation names of the benchmarks: by subject, by camera or by setup."""
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


def wanted(name: str, classes: int) -> bool:
    """Whether a sample belongs to the data set with this number of classes."""
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
