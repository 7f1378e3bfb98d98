"""Pickles of skeletons for tests, as published and as users write them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.sources import skeleton

RNG = np.random.default_rng(0)


def annotation(name: str, number: int, frames=12, people=1, **changes: Any) -> dict:
    """One as MMAction2 writes it; a change to None removes a key."""
    rng = np.random.default_rng(sum(name.encode()))
    whole = {
        "frame_dir": name,
        "label": number,
        "img_shape": (480, 640),
        "original_shape": (1080, 1920),
        "total_frames": frames,
        "keypoint": rng.uniform(1, 400, (people, frames, 17, 2)).astype(np.float16),
        "keypoint_score": rng.random((people, frames, 17)).astype(np.float16),
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def published(**changes) -> dict:
    names = ["a", "b", "c", "d"]
    annotations = [annotation(n, i % 2, 10 + i, 1 + i % 2) for i, n in enumerate(names)]
    return {"split": {"train": ["c", "a"], "xsub_val": ["b", "d"]}, "annotations": annotations}


def write(folder: Path, content, name="poses.pkl", protocol=4) -> Path:
    (folder / name).write_bytes(pickle.dumps(content, protocol))
    return folder / name


def build(folder: Path, split="train", **options) -> Any:
    return skeleton.build(split, root=str(folder), **{"file": "poses.pkl", **options})


def joints(count: int, dims: int, score: bool) -> list[dict]:
    points = RNG.uniform(1, 400, (1, 12, count, dims)).astype(np.float32)
    change: Any = dict(keypoint=points, keypoint_score=points[..., 0] if score else None)
    return [annotation("a", 0, **change), annotation("b", 1, **change)]


def kinetics(names, files: Path | None = None, seed=0):
    """Annotations like those of Kinetics, with key points in files or inside."""
    rng, rows = np.random.default_rng(seed), []
    for i, name in enumerate(names):
        frames = np.sort(rng.integers(1, 30, 40)).astype(np.int16)
        points = rng.uniform(1, 300, (40, 17, 3)).astype(np.float16)
        score = rng.random(40).astype(np.float16)
        row = dict(frame_dir=name, label=i, img_shape=(340, 256), total_frames=30)
        valid = {t: len(np.unique(frames[score >= t])) for t in (0.5, 0.9, 0.99)}
        row |= dict(frame_inds=frames, box_score=score, valid=valid)
        if files:
            (files / f"{name}.pkl").write_bytes(pickle.dumps({"keypoint": points}))
        rows.append(row if files else row | {"keypoint": points})
    return {"split": {"train": list(names)}, "annotations": rows}
