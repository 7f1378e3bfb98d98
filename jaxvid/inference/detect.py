"""What people do, from moment to moment of a video: boxes of a detector, and a model that looks.

    import jaxvid
    from jaxvid.inference.detect import detect

    model = jaxvid.load("slowonly_r50_ava21")
    found = detect(model, "street.mp4", my_detector)   # frame uint8 (h, w, 3) -> boxes (n, 4 or 5)

Shapes: n boxes of a frame, h height, w width.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.annotations import boxes as files
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.timeline import Reader
from jaxvid.errors import UserError, did_you_mean
from jaxvid.inference.model import Model
from jaxvid.results import Moments

Detector = Callable[[np.ndarray], Any]


def detect(
    model: Model,
    video: str | Path,
    proposals: str | Path | Detector,
    *,
    every: float = 1.0,
    start: float = 0.0,
    least: float = 0.9,
    topk: int | None = None,
) -> Moments:
    """The classes of the boxes in a video.

    Args:
      model: of `jaxvid.load`, trained for detection.
      video: a file.
      proposals: a file, see `data/annotations/boxes.py`, whose VIDEO is the name of the video with
        or without its ending; or a function of frames uint8 (h, w, 3) RGB, that returns boxes in
        pixels (n, 4), x1 y1 x2 y2, or with scores (n, 5).
      every: seconds from moment to moment, for a function; a file says which moments.
      start: time in the file at which the video begins.
      least: score of a box; the best one is taken where none has it.
      topk: classes of each box; None leaves it to the task.

    Raises:
      UserError: a model of another task, a video or a file that cannot be read, a file without
        boxes of this video, or boxes that are none.
    """
    if (task := model.config["task"]["name"]) != "detection":
        raise UserError(f"{model.source}: a model of {task}; detection takes one trained for that")
    if callable(proposals):
        found = run(proposals, video, every)
    else:
        found = look_up(Path(proposals), Path(video), start)
    samples = [
        {"path": str(video), "time": time, "proposals": files.certain(rows, least).astype("f4")}
        for time, rows in found
    ]
    return Moments(tuple(model.predict(samples, topk)))


def run(detector: Detector, video: str | Path, every: float) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds, and boxes as shares of the frame with scores (n, 5)."""
    with VideoReader(video) as reader:
        size = np.array([reader.width, reader.height] * 2)
        for time in moments(reader, every):
            rows = np.asarray(detector(reader[reader.index_at(time)]), np.float64)
            rows = rows if rows.size else np.zeros((0, 5))
            if rows.ndim != 2 or rows.shape[1] not in (4, 5):
                raise UserError(f"the detector gave {rows.shape}, not boxes (n, 4) or (n, 5)")
            scores = rows[:, 4] if rows.shape[1] == 5 else np.ones(len(rows))
            yield time, np.column_stack([np.clip(rows[:, :4] / size, 0, 1), scores])


def moments(reader: Reader, every: float) -> list[float]:
    """The middles of parts of `every` seconds, of one frame at least; one of a shorter video."""
    every = max(every, 1 / reader.fps)
    first = min(every / 2, float(reader.times[-1]))
    count = math.ceil((reader.duration - first) / every - 1e-6)  # 1e-6: rounding
    return [first + every * k for k in range(max(1, count))]


def look_up(path: Path, video: Path, start: float) -> Iterator[tuple[float, np.ndarray]]:
    """The same, of a file."""
    found = files.read(path)
    own = sorted(key for key in found if Path(key.video).name in (video.name, video.stem))
    if not own:
        near = did_you_mean(video.stem, {key.video for key in found})
        raise UserError(f"{path}: no boxes of {video.name} in it.{near}")
    for key in own:
        yield key.time - start, found[key]
