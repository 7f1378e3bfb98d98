"""Skeletons of classes that differ by motion only, for graph networks and heat-map networks.

A body has coordinates, such as its position and the angles of its arms. As in
`data/synthetic/motion.py`, all of them start anywhere in every class, and the class only determines
which coordinate changes, and in which direction. So a single frame contains no information about
the class, and a reversed sequence belongs to the opposite class.

| layout     | joints | coordinates that move                                              |
|------------|--------|--------------------------------------------------------------------|
| `coco`     | 17 2-D | position; angle of each arm and of each forearm                    |
| `nturgb+d` | 25 3-D | the same                                                           |
| `handmp`   | 21 2-D | position in x and y, angle and size of a hand (gestures of Jester) |

Joints and bones contain different information. In each frame, the whole body is displaced at
random, as by a camera that shakes. This hides the motion of the arms in the joints, and cancels in
the bones. On the other hand, bones do not contain the position, so only joints show where a body
moves. Therefore the fusion of both streams can be better than either of them.

Shape letters: t frames, j joints, c coordinates.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import skeletons
from jaxvid.data.cache import make_version
from jaxvid.data.synthetic.motion import Phase, move
from jaxvid.errors import UserError, did_you_mean

VERSION = 1  # increase it when the skeletons change
SPLITS = ("train", "val")
FILE = "skeletons.pkl"
FRAMES = (24, 40)  # the shortest and the longest sequence
IMAGE = (240, 320)  # height and width in pixels, for 2-D layouts

# Joints (x, y) of a body that stands upright, and of an open hand. y points down.
COCO = (
    *((0, -76), (4, -80), (-4, -80), (9, -78), (-9, -78), (19, -55), (-19, -55), (24, -28)),
    *((-24, -28), (27, -4), (-27, -4), (12, 0), (-12, 0), (14, 40), (-14, 40), (15, 78)),
    (-15, 78),
)
NTU = (
    *((0, 0), (0, -0.28), (0, -0.64), (0, -0.78), (-0.18, -0.5), (-0.24, -0.25), (-0.27, -0.02)),
    *((-0.28, 0.07), (0.18, -0.5), (0.24, -0.25), (0.27, -0.02), (0.28, 0.07), (-0.09, 0.03)),
    *((-0.11, 0.42), (-0.12, 0.8), (-0.15, 0.86), (0.09, 0.03), (0.11, 0.42), (0.12, 0.8)),
    *((0.15, 0.86), (0, -0.55), (-0.29, 0.15), (-0.23, 0.1), (0.29, 0.15), (0.23, 0.1)),
)
HAND = (
    *((0, 45), (-16, 34), (-28, 20), (-36, 8), (-43, -2), (-14, -4), (-18, -22), (-20, -34)),
    *((-21, -44), (-3, -6), (-4, -27), (-4, -41), (-5, -52), (8, -4), (10, -23), (11, -36)),
    *((12, -46), (18, 2), (23, -12), (26, -22), (29, -30)),
)
# Angles in degrees, clockwise from where a limb hangs at rest. A range of 120 degrees is learned
# faster than whole turns: an arm then rises or falls, except where it jumps back.
OUT_RIGHT, OUT_LEFT, FOREARM = Phase(-150, -30, 4, 6), Phase(30, 150, 4, 6), Phase(-60, 60, 4, 6)
FOREARMS = {"left_forearm": FOREARM, "right_forearm": FOREARM}


@dataclass(frozen=True)
class Body:
    """How the joints of a layout move.

    Attributes:
      rest: x, y of each joint.
      phases: range and speed of each coordinate. "x" and "y" are positions, "angle" (degrees) and
        "log_size" those of the whole body, and the others are angles of `limbs`.
      limbs: for each angle, the joint around which a limb turns, and the first joint that moves
        with it. Limbs that turn with another one come before it.
      moves: coordinate and direction of each class.
      shake: standard deviation of the displacement of the whole body in each frame.
      noise: standard deviation of the displacement of each joint in each frame.
      deep: whether coordinates are 3-D.
    """

    rest: tuple[tuple[float, float], ...]
    phases: Mapping[str, Phase]
    limbs: Mapping[str, skeletons.Pair]
    moves: Mapping[str, tuple[str, int]]
    shake: float
    noise: float
    deep: bool = False


ARM_MOVES = {
    f"{limb}_{turn}": (limb, sense)
    for limb in ("left_arm", "right_arm", *FOREARMS)
    for turn, sense in (("clockwise", 1), ("counter_clockwise", -1))
}
WALKS = {"walk_left": ("x", -1), "walk_right": ("x", 1)}
BODIES = {
    "coco": Body(
        rest=COCO,
        phases={
            "x": Phase(60, 260, 5, 8),
            "y": Phase(100, 140, 0, 0),
            "left_arm": OUT_RIGHT,
            "right_arm": OUT_LEFT,
            **FOREARMS,
        },
        limbs={
            "left_forearm": (7, 9),
            "right_forearm": (8, 10),
            "left_arm": (5, 7),
            "right_arm": (6, 8),
        },
        moves=WALKS | ARM_MOVES,
        shake=8.0,
        noise=1.5,
    ),
    "nturgb+d": Body(
        rest=NTU,
        phases={
            "x": Phase(-1, 1, 0.05, 0.08),
            "y": Phase(-0.2, 0.2, 0, 0),
            "left_arm": OUT_LEFT,
            "right_arm": OUT_RIGHT,
            **FOREARMS,
        },
        limbs={
            "left_forearm": (5, 6),
            "right_forearm": (9, 10),
            "left_arm": (4, 5),
            "right_arm": (8, 9),
        },
        moves=WALKS | ARM_MOVES,
        shake=0.08,
        noise=0.012,
        deep=True,
    ),
    "handmp": Body(
        rest=HAND,
        phases={
            "x": Phase(60, 260, 5, 8),
            "y": Phase(60, 180, 4, 6),
            "angle": Phase(0, 360, 5, 8),
            "log_size": Phase(np.log(0.6), np.log(1.3), 0.03, 0.05),
        },
        limbs={},
        moves={
            "Swiping Left": ("x", -1),
            "Swiping Right": ("x", 1),
            "Swiping Up": ("y", -1),
            "Swiping Down": ("y", 1),
            "Turning Hand Clockwise": ("angle", 1),
            "Turning Hand Counterclockwise": ("angle", -1),
            "Zooming In With Full Hand": ("log_size", 1),
            "Zooming Out With Full Hand": ("log_size", -1),
        },
        shake=6.0,
        noise=1.5,
    ),
}


def classes(layout: str) -> tuple[str, ...]:
    """Return the class names of a layout."""
    return tuple(body(layout).moves)


def body(layout: str) -> Body:
    """Return the body of a layout. Raises UserError if there is none."""
    if layout not in BODIES:
        raise UserError(
            f'no skeletons are generated for the layout "{layout}".{did_you_mean(layout, BODIES)}'
        )
    return BODIES[layout]


def draw(layout: str, split: str, index: int, seed: int = 0) -> dict[str, Any]:
    """Return annotation `index` of a split, as `data/annotations/skeleton_files.py` describes it.

    The result depends on the arguments only.
    """
    figure, names = body(layout), classes(layout)
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    label = index % len(names)
    frames = int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    axis, sense = figure.moves[names[label]]
    points = pose(layout, move(figure.phases, axis, sense, frames, rng), rng)
    points += figure.shake * rng.standard_normal((frames, 1, points.shape[2]))
    points += figure.noise * rng.standard_normal(points.shape)
    annotation = {
        "frame_dir": f"{split}_{index:05}",
        "label": label,
        "total_frames": frames,
        "keypoint": points[None].astype(np.float32),
    }
    if not figure.deep:
        score = rng.uniform(0.6, 1, (1, *points.shape[:2])).astype(np.float32)
        annotation |= {"img_shape": IMAGE, "original_shape": IMAGE, "keypoint_score": score}
    return annotation


def pose(layout: str, place: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the joints (t j c) of a body of random proportions without noise.

    Args:
      place: the coordinates of the body in each frame, (t,).
    """
    figure = body(layout)
    rest = np.array(figure.rest) * rng.uniform(0.85, 1.15, 2)
    points = np.repeat(rest[None], len(place["x"]), 0)
    for name, (pivot, first) in figure.limbs.items():
        limb, center = branch(layout, first), points[:, pivot, None]
        points[:, limb] = center + turned(points[:, limb] - center, place[name])
    if "angle" in place:
        points = turned(points, place["angle"]) * np.exp(place["log_size"])[:, None, None]
    points += np.stack([place["x"], place["y"]], 1)[:, None]
    if not figure.deep:
        return points
    # A Kinect has y pointing up, and sees the body from an angle, some meters away.
    view, distance = rng.uniform(-0.8, 0.8), rng.uniform(2.5, 4)
    x, y = points[..., 0], -points[..., 1]
    return np.stack([x * np.cos(view), y, distance + x * np.sin(view)], -1)


def branch(layout: str, first: int) -> list[int]:
    """Return the joints that hang on the joint `first`, and itself."""
    found = [first]
    for joint in found:  # grows in the loop
        found += [outer for outer, inner in skeletons.get(layout).edges if inner == joint]
    return found


def turned(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn points (t j 2) around the origin by an angle in degrees for each frame, (t,)."""
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    return np.einsum("dct,tjc->tjd", matrix, points)


def generate(
    root: Path | str, layout: str = "coco", train: int = 800, val: int = 200, seed: int = 0
) -> Path:
    """Write the folder `root`, unless it exists: `skeletons.pkl` and `classes.txt`.

    The pickle has the format of MMAction2, and the splits "train" and "val".

    Args:
      layout: a key of BODIES.
      train, val: number of sequences of each split.
      seed: seed of all random choices, at least 0.

    Raises:
      UserError: the layout is unknown, a number is out of range, or the folder has another content.
    """
    least = len(classes(layout))
    if min(train, val) < least or seed < 0:
        raise UserError(
            f"train and val are {least} or more, seed 0 or more: {train}, {val}, {seed}"
        )
    counts = {"train": train, "val": val}
    version = {"version": VERSION, "layout": layout, **counts, "seed": seed}
    return make_version(Path(root), lambda folder: _fill(folder, version), version)


def _fill(root: Path, version: Mapping[str, Any]):
    layout, seed = version["layout"], version["seed"]
    found = {s: [draw(layout, s, k, seed) for k in range(version[s])] for s in SPLITS}
    content = {
        "split": {split: [a["frame_dir"] for a in each] for split, each in found.items()},
        "annotations": [annotation for each in found.values() for annotation in each],
    }
    (root / FILE).write_bytes(pickle.dumps(content, protocol=4))
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in classes(layout)))
