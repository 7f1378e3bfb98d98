"""A csv of boxes as AVA has it, with clips of Kinetics as well (AVA-Kinetics, Li et al., 2020).

A clip of Kinetics is called ID_START_END: the video on YouTube, and the seconds at which the clip
begins and ends in it. Its key frame, near the middle, has the second of the original video as TIME.
A movie of AVA is called by its ID alone, and begins at the time `start`. Files of proposals call
the key frames of both ID,TIME.
"""

import functools
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvid.data.annotations import feature_bank, lists
from jaxvid.data.annotations.key_frames import Key, KeyFrames
from jaxvid.data.sources import ava
from jaxvid.errors import UserError

CLIP = re.compile(r"(.+)_(\d+)_(\d+)")
ID_LENGTH = 11  # characters of an ID on YouTube, which can contain underscores


class Window(NamedTuple):
    """The part of a video on YouTube that a file has, in seconds of that video."""

    video: str
    start: float
    end: float = np.inf


def window(name: str, start: float) -> Window:
    """Return the window of a video by its name, which begins at `start` if it is a movie."""
    stem = Path(name).stem if "." in name else name
    match = CLIP.fullmatch(stem) if len(stem) != ID_LENGTH else None
    if not match:
        return Window(name, start)
    return Window(match[1], float(match[2]), float(match[3]))


@functools.wraps(ava.build)
def build(
    split,
    *,
    root,
    start=0.0,
    proposals="",
    least=0.9,
    bank="",
    **options,
) -> KeyFrames:
    """Read a csv like `ava.build`, with the start of each clip of Kinetics from its name.

    Raises:
      UserError: as there, or a key frame is outside of its clip; the message has file and line.
    """
    frames = ava.build(split, root=root, proposals="true", **options)
    windows = [window(video, start) for video in frames.videos]
    for i, (video, time) in enumerate(zip(frames.video, frames.time.tolist(), strict=True)):
        own = windows[video]
        if not own.start <= time <= own.end:
            until = f"to {own.end:g}" if own.end < np.inf else "on (option start of this source)"
            raise UserError(
                f"{frames.where(i)}: the key frame {frames.id(i)} is outside of its video, which"
                f" has the seconds from {own.start:g} {until}"
            )
    keys = [
        Key(windows[video].video, time)
        for video, time in zip(frames.video, frames.time.tolist(), strict=True)
    ]
    made_from = frames.made_from
    if proposals not in ("", "true"):
        made_from = (*made_from, Path(root, proposals))
    known = None
    if bank:
        folder = Path(root, lists.of_split(bank, split))
        known = feature_bank.read(folder, frames.videos, made_from)
    return replace(
        frames,
        start=np.array([own.start for own in windows]),
        proposals=ava.proposed(keys, frames.true_boxes, root, proposals, least, split),
        bank=known,
        made_from=made_from,
    )
