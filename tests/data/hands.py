"""Small videos of a drawn hand whose motion tells the gesture, and functions that find its joints.

All gestures have the same hand, at any place and of any size. Only the direction differs.
"""

from pathlib import Path

import numpy as np

from jaxvid import skeletons
from jaxvid.data.video.encode import write_video
from jaxvid.draw import overlays

GESTURES = {"down": (0, 1), "left": (-1, 0), "right": (1, 0), "up": (0, -1)}
FRAMES, FPS, SIZE = 16, 12, (96, 128)  # height, width


def template() -> np.ndarray:
    """Joints of an open hand, (21, 2), in a box from 0 to 1."""
    angles = np.deg2rad([-160, -120, -90, -60, -30])
    lengths = np.array([0.35, 0.6, 0.8, 1.0])
    fingers = np.stack([np.cos(angles), np.sin(angles)], 1)[:, None] * lengths[:, None]
    joints = np.concatenate([np.zeros((1, 2)), fingers.reshape(-1, 2)])
    low, high = joints.min(0), joints.max(0)
    return ((joints - low) / (high - low)).astype(np.float32)


def motion(gesture: str, rng: np.random.Generator) -> np.ndarray:
    """Joints of each frame, (t, 21, 2), in pixels."""
    size = rng.uniform(24, 36)
    moved = np.array(GESTURES[gesture]) * rng.uniform(20, 32)
    room = np.array(SIZE[::-1]) - size - np.abs(moved) - 12
    start = 6 + rng.uniform(0, 1, 2) * room + np.maximum(-moved, 0)
    steps = np.linspace(0, 1, FRAMES)[:, None] * moved
    return (template() * size + (start + steps)[:, None]).astype(np.float32)


def draw(joints: np.ndarray) -> np.ndarray:
    """Frames uint8 (t, h, w, 3) of joints (t, 21, 2)."""
    empty, hand = np.full((*SIZE, 3), 90, np.uint8), skeletons.get("handmp")
    scored = np.concatenate([joints, np.ones_like(joints[..., :1])], -1)
    return np.stack([overlays.people(empty, own[None], hand) for own in scored])


def make(root: Path, each: int, seed: int = 0) -> Path:
    """Write root/GESTURE/0.mp4 ..., `each` videos of each gesture."""
    rng = np.random.default_rng(seed)
    for gesture in GESTURES:
        (root / gesture).mkdir(parents=True)
        for k in range(each):
            frames = draw(motion(gesture, rng))
            write_video(root / gesture / f"{k}.mp4", frames, FPS, crf=10, threads=1)
    return root


def find(frames: np.ndarray) -> list[np.ndarray]:
    """A detector: the box around all that is not gray."""
    found = []
    for frame in frames:
        y, x = np.nonzero(np.ptp(frame.astype(int), axis=-1) > 60)
        box = [[x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9]] if len(x) else []
        found.append(np.array(box, np.float32).reshape(-1, 5))
    return found


def estimate(frames: np.ndarray, boxes: list[np.ndarray]) -> list[np.ndarray]:
    """An estimator: an open hand in each box."""
    score = np.full((21, 1), 0.9)
    return [
        np.array([np.hstack([b[:2] + template() * (b[2:4] - b[:2]), score]) for b in own])
        for own in boxes
    ]
