"""A sample of any task as clips and notes for people, by the keys that it has.

`data/sample.py` lists the keys. Shapes: v views, t frames, h height, w width, m people, j joints,
c channels or coordinates, n boxes or texts, l tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxvid import skeletons
from jaxvid.data.text import tokenizer
from jaxvid.draw import overlays
from jaxvid.draw.frames import GRAY, SHADES
from jaxvid.draw.sheets import Note
from jaxvid.errors import UserError, first

TEXTS = 3  # of a video, that are shown


def views(
    sample: Mapping[str, np.ndarray], task: Any, recipe: Mapping, names: Sequence[str]
) -> tuple[np.ndarray, list[Note]]:
    """Views uint8 (v t h w 3) of a sample, and what stands below each of them.

    Args:
      sample: one of what `task.prepare` returned.
      recipe: the spec of the data's recipe, which knows the layout of joints.
      names: of the classes.

    Raises:
      UserError: it holds nothing that can be drawn.
    """
    if "video" in sample:
        clips = pixels(sample["video"], task.mean, task.std)
    elif "heatmap" in sample:
        clips = np.stack([overlays.heatmaps(view) for view in sample["heatmap"]])
    elif "keypoint" in sample:
        clips = np.stack([joints(view, recipe) for view in sample["keypoint"]])
    elif "audio" in sample:
        clips = np.stack([overlays.spectrogram(view) for view in sample["audio"]])
    elif "feature" in sample:
        raise UserError(
            "there are no pictures to show: the samples hold features; see what a trained model"
            " finds in a video with `python -m jaxvid.predict VIDEO --checkpoint RUN --out x.png`"
        )
    else:
        raise UserError(f"there are no pictures to show: the samples hold {', '.join(sample)}")
    if "box_label" in sample:
        return with_boxes(clips, sample, names)
    return clips, texts(sample["text"]) if "text" in sample else []


def pixels(video: np.ndarray, mean: tuple, std: tuple) -> np.ndarray:
    """Normalized frames (v t h w c) as uint8 RGB; of optical flow x as gray."""
    channels = video.shape[-1]
    shown = np.rint(video * np.resize(std, channels) + np.resize(mean, channels))
    shown = np.clip(shown, 0, 255).astype(np.uint8)
    return shown if channels == 3 else np.repeat(shown[..., :1], 3, -1)


def joints(points: np.ndarray, recipe: Mapping) -> np.ndarray:
    """A view of key points (m t j c), drawn (t h w 3).

    Raises:
      UserError: the streams of the recipe hold no joints.
    """
    streams = recipe["streams"]
    if "j" not in streams:
        raise UserError(
            f"there are no pictures to show: the streams {', '.join(streams)} hold bones or motion;"
            " --config.data.recipe.streams=\"('j',)\" shows the joints"
        )
    points = np.split(points, len(streams), -1)[streams.index("j")]
    # A person of zeros is missing, and so is a joint in the corner or without a score.
    there = np.repeat(points.any((2, 3))[..., None], points.shape[2], 2)
    if recipe["layout"] == "nturgb+d":  # bodies stand upright: z is their height
        flat = points[..., [0, 2]] * (1, -1)
    else:
        flat = points[..., :2]
        there &= (flat != -1).any(-1) & (points[..., -1] != 0)
    return overlays.skeletons(flat, there, skeletons.get(recipe["layout"]).edges)


def with_boxes(
    clips: np.ndarray, sample: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[np.ndarray, list[Note]]:
    """Views with proposals in gray and true boxes in colors, and a note a true box."""
    real, others = sample["box_mask"] > 0, sample["proposals"][sample["proposal_mask"] > 0]
    own = [SHADES[i % len(SHADES)] for i in range(real.sum())]
    corners = np.concatenate([others, sample["boxes"][real]])
    shades = [GRAY] * len(others) + own
    notes = [
        Note(", ".join(names[c] for c in np.flatnonzero(label).tolist()) or "no class", shade)
        for label, shade in zip(sample["box_label"][real], own, strict=True)
    ]
    return np.stack([overlays.boxes(clip, corners, shades) for clip in clips]), notes


def texts(tokens: np.ndarray) -> list[Note]:
    """The first texts (n l) as the model reads them, and how many more there are."""
    real = tokens[(tokens > 0).any(-1)]
    return [*map(Note, first([tokenizer.decode(row.tolist()) for row in real], TEXTS))]
