"""The clips of the quickstart: eight classes that differ by motion only.

A bright, textured shape on a dark, textured background moves left, right, up or down, turns, grows
or shrinks. Its pose has four coordinates: x, y, log radius and angle. All of them start at
uniformly random values in every class. The class only determines which coordinate changes, and in
which direction. Coordinates are periodic: x, y and radius jump back when they reach their end. This
has two consequences:

* In a single frame, the pose has the same distribution in all classes. So the position, size and
  angle of the shape in one frame contain no information about the class.
* A reversed clip is a clip of the opposite class, with the same probability. So frames in random
  order can at most show the axis of the motion, but not its direction.

Shapes, colors, textures and speeds are random, too. `val` has hues and kinds of textures that
`train` does not have. The clips are H.264 files with a list for each split. They are generated once
and cached.

Shape letters: t frames, h height, w width.
"""

import colorsys
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from jaxvid.data.cache import make_version
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError, did_you_mean
from jaxvid.files import cache_root, cores

VERSION = 1  # increase it when `draw` or the encoding changes, so that old caches are not used
FRAMES, SIZE, FPS = 16, 64, 16

CLASSES = ("left", "right", "up", "down", "clockwise", "counter_clockwise", "grow", "shrink")
OPPOSITE = {
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "clockwise": "counter_clockwise",
    "counter_clockwise": "clockwise",
    "grow": "shrink",
    "shrink": "grow",
}


class Phase(NamedTuple):
    """Range of one coordinate of the pose, and range of its change per frame, in the same units."""

    low: float
    high: float
    slow: float
    fast: float


# Images have y pointing down, so a growing angle turns clockwise.
PHASES = {
    "x": Phase(10, 54, 1.4, 2.0),  # pixels
    "y": Phase(10, 54, 1.4, 2.0),
    "log_radius": Phase(np.log(16), np.log(32), 0.05, 0.075),
    "angle": Phase(0, 360, 5, 8),  # degrees; a small network learns faster turns much more slowly
}
MOVES = {
    "left": ("x", -1),
    "right": ("x", 1),
    "up": ("y", -1),
    "down": ("y", 1),
    "clockwise": ("angle", 1),
    "counter_clockwise": ("angle", -1),
    "grow": ("log_radius", 1),
    "shrink": ("log_radius", -1),
}


class _Look(NamedTuple):
    """Ranges of hues and kinds of textures of the clips of a split."""

    hues: tuple[float, float]
    textures: tuple[str, ...]


LOOKS = {
    "train": _Look((0.0, 0.4), ("noise", "gradient", "stripes")),  # red to green
    "val": _Look((0.5, 0.9), ("checker", "rings")),  # cyan to magenta
}

# Outlines without rotational symmetry, so that turning is visible. Their units are arbitrary,
# because `_outline` centers and scales them.
SHAPES = {
    "arrow": [(-1, -0.3), (0.1, -0.3), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.3), (-1, 0.3)],
    "ell": [(-0.7, -1), (-0.1, -1), (-0.1, 0.4), (0.7, 0.4), (0.7, 1), (-0.7, 1)],
    "hammer": [
        *[(-1, -0.2), (0.3, -0.2), (0.3, -0.8), (1, -0.8)],
        *[(1, 0.8), (0.3, 0.8), (0.3, 0.2), (-1, 0.2)],
    ],
    "flag": [(-0.7, -1), (0.9, -0.8), (0.9, 0.1), (-0.3, 0.1), (-0.3, 1), (-0.7, 1)],
    "wedge": [(-1, -0.7), (1, 0), (-1, 0.7)],
    "dome": [(np.cos(a), np.sin(a)) for a in np.linspace(0, np.pi, 17)],
}


def draw(split: str, index: int, seed: int = 0) -> tuple[np.ndarray, int]:
    """Return clip `index` of a split: frames uint8 (t h w 3) RGB, and the label.

    The result depends on the arguments only.

    Raises:
      UserError: there is no such split.
    """
    if split not in LOOKS:
        raise UserError(f'the motion set has no split "{split}".{did_you_mean(split, LOOKS)}')
    label = label_of(split, index, seed)
    rng = np.random.default_rng([seed, list(LOOKS).index(split), index])
    return animate(split, CLASSES[label], rng), label


def animate(split: str, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return a clip of the class `name` in the style of `split`: uint8 (t h w 3) RGB."""
    look, poses = LOOKS[split], draw_poses(name, rng)
    dark = _paint(look, (0.02, 0.2), rng)
    light = _paint(look, (0.9, 1.0), rng)
    outline = _outline(rng)
    return np.stack([_frame(dark, light, outline, *pose) for pose in poses])


def ensure(
    root: Path | str | None = None,
    *,
    train: int = 1600,
    val: int = 400,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the folder of the clips. Generate it if necessary.

    Args:
      root: parent of the folder. By default, this is $JAXVID_CACHE or ~/.cache/jaxvid. The name of
        the folder contains a hash of all settings that determine its content.
      train, val, seed, progress: see `generate`.
    """
    version = json.dumps(_version(train, val, seed)).encode()
    folder = Path(root or cache_root()) / f"motion-{hashlib.sha256(version).hexdigest()[:8]}"
    return generate(folder, train=train, val=val, seed=seed, progress=progress)


def generate(
    root: Path | str,
    train: int = 1600,
    val: int = 400,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the folder `root`: `train/*.mp4`, `val/*.mp4` and the lists `train.txt`, `val.txt`.

    A line of a list is `train/000123.mp4 5`. `classes.txt` has the class names by label, and
    `version.json` has the settings. The folder appears atomically and complete. So a killed run
    leaves nothing behind, and several processes can call this function at the same time. A complete
    folder is not generated again.

    Args:
      root: the folder. It must not exist, be empty, or have been generated with these settings.
      train, val: number of clips of each split.
      seed: seed of all random choices, at least 0.
      progress: function that is called as progress(done, total) after every clip.

    Raises:
      UserError: `root` has another content, or a number is out of range.
    """
    root, version = Path(root), _version(train, val, seed)
    if train < 1 or val < 1 or seed < 0:
        raise UserError(f"motion clips need train, val >= 1 and seed >= 0: {version}")
    return make_version(root, lambda folder: _fill(folder, version, progress), version)


def _version(train: int, val: int, seed: int) -> dict[str, int]:
    return {"version": VERSION, "train": train, "val": val, "seed": seed}


def _fill(root: Path, version: dict[str, int], progress: Callable | None):
    seed = version["seed"]
    jobs = [(root, split, index, seed) for split in LOOKS for index in range(version[split])]
    for split in LOOKS:
        (root / split).mkdir()
    # Encoding and OpenCV release the GIL, so threads are as fast as processes here, and simpler.
    with ThreadPoolExecutor(cores()) as pool:
        lines = []
        for line in pool.map(_write, *zip(*jobs, strict=True)):
            lines.append(line)
            if progress:
                progress(len(lines), len(jobs))
    for split in LOOKS:
        rows = [line for line in lines if line.startswith(f"{split}/")]
        (root / f"{split}.txt").write_text("".join(rows))
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))


def _write(root: Path, split: str, index: int, seed: int) -> str:
    """Encode one clip, and return its line of the list."""
    frames, label = draw(split, index, seed)
    name = f"{split}/{index:06d}.mp4"
    write_video(root / name, frames, FPS, preset="veryfast", crf=18, g=12, threads=1)
    return f"{name} {label}\n"


def label_of(split: str, index: int, seed: int) -> int:
    """Return the label of a clip. Each block of eight clips has all classes, in a random order."""
    block, place = divmod(index, len(CLASSES))
    order = np.random.default_rng([seed, list(LOOKS).index(split), block, 1])
    return int(order.permutation(len(CLASSES))[place])


def draw_poses(name: str, rng: np.random.Generator) -> np.ndarray:
    """Return x, y, log radius and angle of every frame, (t, 4)."""
    return np.stack([*move(PHASES, *MOVES[name], FRAMES, rng).values()], axis=1)


def move(
    phases: Mapping[str, Phase], axis: str, sense: int, frames: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the value of each coordinate of a pose in each frame, (t,).

    Every coordinate starts anywhere in its range. Only `axis` changes, and jumps back at the end of
    its range, so that its values have the same distribution in all frames.

    Args:
      sense: 1 or -1, the direction of the change.
    """
    columns = {}
    for key, phase in phases.items():
        start, step = rng.uniform(phase.low, phase.high), rng.uniform(phase.slow, phase.fast)
        moved = start + np.arange(frames) * (sense * step if key == axis else 0.0)
        columns[key] = phase.low + (moved - phase.low) % (phase.high - phase.low)
    return columns


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Return the corners (n, 2) of a random shape.

    Its center of mass is at the origin, and its furthest corner is at distance 1.
    """
    points = np.array(SHAPES[rng.choice(list(SHAPES))], np.float32)
    points *= rng.uniform(0.85, 1.15, 2) * np.array([rng.choice([-1, 1]), 1])
    moments = cv2.moments(points)
    points -= np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    return points / np.linalg.norm(points, axis=1).max()


def _texture(look: _Look, rng: np.random.Generator) -> np.ndarray:
    """Return a random texture, float32 (h w) in 0..1."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    angle, shift, waves = np.pi * rng.uniform([0, 0, 2], [2, 2, 5])
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    match rng.choice(look.textures):
        case "noise":
            grid = rng.random(rng.integers(3, 9, 2))
            field = cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        case "gradient":
            field = 0.5 + along / np.sqrt(8)
        case "stripes":
            field = 0.5 + 0.5 * np.sin(waves * along + shift)
        case "checker":
            squares = np.sin(waves * along + shift) * np.sin(waves * across + shift)
            field = 0.5 + 0.5 * np.tanh(4 * squares)
        case _:  # rings
            distance = np.hypot(x - np.cos(angle), y - np.sin(angle))
            field = 0.5 + 0.5 * np.sin(waves * distance + shift)
    return np.clip(field, 0, 1).astype(np.float32)


def _paint(look: _Look, values: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Return a texture in two random colors, float32 RGB (h w 3) in 0..255.

    Colors are pale, because a small network learns motion only if all channels have contrast.

    Args:
      values: range of the value (brightness) of the colors in HSV.
    """
    one, other = (
        colorsys.hsv_to_rgb(
            rng.uniform(*look.hues) % 1, rng.uniform(0.05, 0.3), rng.uniform(*values)
        )
        for _ in range(2)
    )
    field = _texture(look, rng)[..., None]
    return 255 * (np.asarray(one) * (1 - field) + np.asarray(other) * field).astype(np.float32)


def _frame(dark, light, outline, x, y, log_radius, angle) -> np.ndarray:
    """Return one frame uint8 (h w 3): the outline in its pose, filled with `light`, on `dark`."""
    radius, turn, center = np.exp(log_radius), np.deg2rad(angle), np.array([x, y])
    place = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * radius

    body = np.zeros((SIZE, SIZE), np.uint8)
    corners = np.rint((outline @ place.T + center) * 256).astype(np.int32)
    cv2.fillPoly(body, [corners], 255, cv2.LINE_AA, shift=8)

    # The texture spans -1..1 in the coordinates of the shape, and moves with it.
    warp = np.column_stack([place / ((SIZE - 1) / 2), center - place.sum(axis=1)])
    fill = cv2.warpAffine(light, warp, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    return np.rint(dark + body[..., None] / np.float32(255) * (fill - dark)).astype(np.uint8)
