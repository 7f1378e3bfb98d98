"""Synthetic untrimmed videos, made of clips of the quickstart.

A video shows one class of `data/synthetic/motion.py` three to five times. Each action is one to
three clips long. Between actions, a shape does not move, or the frames of a clip are in random
order. So a cut or a change of pose is not an action, but only motion over several frames is.

With sentences, for language grounding, the actions of a video have different classes, and a
sentence describes each of them.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.cache import make_version
from jaxvid.data.synthetic import motion
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError
from jaxvid.files import cores

VERSION = 1  # increase it when the videos change
CLIPS = (1, 3)  # minimum and maximum number of clips of an action
ACTIONS = (3, 5)  # minimum and maximum number of actions of a video
PAUSE = (12, 40)  # minimum and maximum number of frames between actions
SUBJECTS = ("a shape", "it", "the shape", "something")
PREDICATES = {
    "left": ("moves to the left", "goes left"),
    "right": ("moves to the right", "goes right"),
    "up": ("moves up", "rises"),
    "down": ("moves down", "falls"),
    "clockwise": ("turns clockwise", "rotates like a clock"),
    "counter_clockwise": ("turns counter-clockwise", "rotates against the clock"),
    "grow": ("grows", "becomes larger"),
    "shrink": ("shrinks", "becomes smaller"),
}


def draw(
    split: str, index: int, seed: int = 0, sentences: bool = False
) -> tuple[np.ndarray, list[dict]]:
    """Return video `index` of a split: uint8 (t h w 3) RGB, and its annotations in seconds.

    The result depends on the arguments only. With `sentences`, the actions have different classes,
    and an annotation has a "sentence".
    """
    rng = np.random.default_rng([seed, list(motion.LOOKS).index(split), index, 2])
    name = motion.CLASSES[index % len(motion.CLASSES)]
    parts, actions = [_pause(split, rng)], []
    names = [name] * int(rng.integers(ACTIONS[0], ACTIONS[1] + 1))
    if sentences:
        names = rng.permutation(motion.CLASSES)[: len(names)].tolist()
    for name in names:
        clips = [
            motion.animate(split, name, rng) for _ in range(rng.integers(CLIPS[0], CLIPS[1] + 1))
        ]
        start = sum(map(len, parts))
        end = start + sum(map(len, clips))
        actions.append({"segment": [start / motion.FPS, end / motion.FPS], "label": name})
        if sentences:
            words = rng.choice(SUBJECTS), rng.choice(PREDICATES[name])
            actions[-1]["sentence"] = " ".join(words)
        parts += [*clips, _pause(split, rng)]
    return np.concatenate(parts), actions


def generate(
    root: Path | str, train: int = 160, val: int = 40, seed: int = 0, sentences: bool = False
) -> Path:
    """Write `videos/*.mp4`, `train.json` and `val.json` to the folder `root`, unless it exists.

    Args:
      train, val: number of videos of each split.
      seed: seed of all random choices, at least 0.
      sentences: also write `train.csv` and `val.csv`, see `data/sources/grounding.py`.

    Raises:
      UserError: a number is out of range, or the folder has another content.
    """
    if min(train, val) < 1 or seed < 0:
        raise UserError(f"train and val are 1 or more, seed 0 or more: {train}, {val}, {seed}")
    version = {"version": [VERSION, motion.VERSION], "train": train, "val": val, "seed": seed}
    version |= {"sentences": True} if sentences else {}
    fill = partial(_fill, counts=version, seed=seed, sentences=sentences)
    return make_version(Path(root), fill, version)


def _fill(root: Path, counts: Mapping[str, Any], seed: int, sentences: bool):
    (root / "videos").mkdir()
    with ThreadPoolExecutor(cores()) as pool:
        for split in motion.LOOKS:
            jobs = ((root, split, index, seed, sentences) for index in range(counts[split]))
            found = dict(pool.map(lambda job: _write(*job), jobs))
            (root / f"{split}.json").write_text(json.dumps(found, indent=1) + "\n")
            if sentences:
                with (root / f"{split}.csv").open("w", newline="") as file:
                    rows = csv.writer(file)
                    rows.writerow(("video", "start", "end", "sentence"))
                    for name, video in found.items():
                        for action in video["annotations"]:
                            rows.writerow((name, *action["segment"], action["sentence"]))


def _write(root: Path, split: str, index: int, seed: int, sentences: bool) -> tuple[str, dict]:
    frames, actions = draw(split, index, seed, sentences)
    name = f"{split}_{index:04d}"
    write_video(root / "videos" / f"{name}.mp4", frames, motion.FPS, preset="veryfast", crf=18)
    return name, {"duration": len(frames) / motion.FPS, "annotations": actions}


def _pause(split: str, rng: np.random.Generator) -> np.ndarray:
    """Return the frames between two actions, uint8 (t h w 3)."""
    frames = int(rng.integers(PAUSE[0], PAUSE[1] + 1))
    return np.concatenate(list(_nothing(split, rng, frames)))


def _nothing(split: str, rng: np.random.Generator, frames: int) -> Iterator[np.ndarray]:
    """Yield clips without an action, with `frames` frames in total."""
    while frames > 0:
        clip = motion.animate(split, motion.CLASSES[rng.integers(len(motion.CLASSES))], rng)
        if rng.random() < 0.5:
            clip = np.repeat(clip[:1], len(clip), 0)
        else:
            clip = rng.permutation(clip)
        yield clip[:frames]
        frames -= len(clip)
