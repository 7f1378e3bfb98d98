"""Small videos of two figures that walk past each other, with AVA's files about them.

A figure is a rectangle of one of three colors, plain or with stripes: four classes, of which one
or two hold for each. Both are in every picture, so only what is in a box tells its classes.
"""

import csv
import pickle
from pathlib import Path

import numpy as np

from jaxvid.data.video.encode import write_video

COLORS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230)}
CLASSES = (*COLORS, "striped")
FRAMES, FPS, SIZE = 24, 8, (64, 96)  # 3 seconds; height, width
TIMES = (1, 2)  # of the key frames, in seconds
START = 900  # time at which a video begins


def figure(rng):
    """Boxes (t, 4) in pixels, a color, and whether it is striped."""
    (high, wide), (h, w) = rng.integers((24, 16), (40, 28)), SIZE
    left = np.linspace(*rng.uniform(0, w - wide, 2), FRAMES)
    top = np.full(FRAMES, rng.uniform(0, h - high))
    boxes = np.rint(np.stack([left, top, left + wide, top + high], 1)).astype(int)
    return boxes, str(rng.choice(list(COLORS))), bool(rng.integers(2))


def draw(figures):
    """Frames uint8 (t, h, w, 3)."""
    frames = np.full((FRAMES, *SIZE, 3), 90, np.uint8)
    for boxes, color, striped in figures:
        for frame, (x1, y1, x2, y2) in zip(frames, boxes, strict=True):
            frame[y1:y2, x1:x2] = COLORS[color]
            if striped:
                frame[y1:y2:6, x1:x2] = 255
                frame[y1 + 1 : y2 : 6, x1:x2] = 255
    return frames


def make(root: Path, split: str, videos: int, seed: int = 0) -> Path:
    """Writes root/videos/SPLIT_000.mp4 ..., root/SPLIT.csv and root/SPLIT_proposals.pkl."""
    rng = np.random.default_rng([seed, split == "val"])
    (root / "videos").mkdir(parents=True, exist_ok=True)
    rows, proposals = [], {}
    scale = np.array([SIZE[1], SIZE[0]] * 2)
    for k in range(videos):
        name, figures = f"{split}_{k:03d}", [figure(rng) for _ in range(2)]
        write_video(root / "videos" / f"{name}.mp4", draw(figures), FPS, crf=12, threads=1)
        for time in TIMES:
            found = []
            for person, (boxes, color, striped) in enumerate(figures):
                box = boxes[time * FPS] / scale
                for label in [color] + ["striped"] * striped:
                    row = [name, START + time, *np.round(box, 3), CLASSES.index(label) + 1, person]
                    rows.append(row)
                found.append([*np.clip(box + rng.normal(0, 0.003, 4), 0, 1), 0.99])
            found.append([0, 0, 0.2, 0.2, 0.3])  # which nobody would trust
            proposals[f"{name},{START + time:04d}"] = np.array(found)
    with (root / f"{split}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / f"{split}_proposals.pkl").write_bytes(pickle.dumps(proposals))
    return root


def split(name: str, **changes) -> dict:
    """The spec of the source of a split."""
    spec = dict(
        name="ava",
        file=f"{name}.csv",
        proposals=f"{name}_proposals.pkl",
        prefix="videos",
        start=float(START),
    )
    return spec | changes
