"""Actions of people at several moments of a video, in boxes of a detector or of a file.

    import jaxvid
    from jaxvid.inference.detect import detect

    model = jaxvid.load("slowonly_r50_ava21")
    moments = detect(model, "street.mp4", detector)  # frame uint8 (h, w, 3) -> boxes (n, 4 or 5)

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
from jaxvid.inference import action_tubes, poses
from jaxvid.inference.feature_bank import needs_bank, with_banks
from jaxvid.inference.model import Model, load
from jaxvid.results import Moments

Detector = Callable[[np.ndarray], Any]
PERSONS = "rtmdet_m_coco"  # the usual detector


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
    """Classify the actions of the people in a video.

    Args:
      model: A model for detection, as `jaxvid.load` returns it.
      video: A video file.
      proposals: The boxes of people. A file (`data/annotations/boxes.py`) names the video with or
        without its ending. A function takes a frame, uint8 (h, w, 3) RGB, and returns boxes
        x1 y1 x2 y2 in pixels (n, 4), or with scores (n, 5).
      every: Seconds between moments, for a function. A file has the times of its boxes.
      start: Time in the file at which the video begins, in seconds.
      least: Smallest score of a box. If no box of a moment reaches it, the best one is taken.
      topk: Number of classes of each box; None means the number of the task.

    Raises:
      UserError: the model is of another task, the video or the file cannot be read, the file has no
        boxes of this video, the detector returns no boxes, or the detector that makes the feature
        bank of the model is not known.
    """
    if (task := model.config["task"]["name"]) != "detection":
        raise UserError(f"{model.source}: a model of {task}; detection takes one trained for that")
    if callable(proposals):
        boxes = run(proposals, video, every)
    else:
        boxes = read(Path(proposals), Path(video), start)
    samples = [
        {"path": str(video), "time": time, "proposals": files.certain(rows, least).astype("f4")}
        for time, rows in boxes
    ]
    if needs_bank(model):
        samples = with_banks(bank_maker(model), samples)
    return action_tubes.link(model.predict(samples, topk))


def person_detector(spec: str | Path = PERSONS, least: float = 0.5) -> Detector:
    """Return a function from a frame to the boxes of people, by a published RTMDet.

    Args:
      spec: Name of the zoo, or a file of it.
      least: Smallest score of a box.

    Raises:
      UserError: The weights cannot be downloaded. The message names the file and where to put it.
    """
    finder = poses.Detector(spec, batch=1, least=least)
    return lambda frame: finder(frame[None])[0]


def bank_maker(model: Model) -> Model:
    """Return the detector that made the feature bank of a model's training.

    Raises:
      UserError: It is not known, or its weights have changed.
    """
    made = model.meta.get("bank")
    if not made:
        raise UserError(f"{model.source}: it does not say which detector makes its feature bank")
    maker = load(made["backbone"])
    if made["weights"] and made["weights"] != maker.identity:
        raise UserError(
            f"{made['backbone']}: its weights ({maker.identity}) are not those that made the"
            f" feature bank for the training of {model.source} ({made['weights']})"
        )
    return maker


def run(detector: Detector, video: str | Path, every: float) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the time of each moment in seconds, and its boxes with scores.

    Boxes are float64 (n, 5): x1 y1 x2 y2 as shares 0..1 of the frame, and the score.
    """
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
    """Return the times in the middle of each interval of `every` seconds.

    An interval has at least one frame. A video that is shorter than an interval has one moment.
    """
    every = max(every, 1 / reader.fps)
    first = min(every / 2, float(reader.times[-1]))
    count = math.ceil((reader.duration - first) / every - 1e-6)  # 1e-6: rounding
    return [first + every * k for k in range(max(1, count))]


def read(path: Path, video: Path, start: float) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the times and boxes of a file, as `run` does."""
    boxes = files.read(path)
    own = sorted(key for key in boxes if Path(key.video).name in (video.name, video.stem))
    if not own:
        near = did_you_mean(video.stem, {key.video for key in boxes})
        raise UserError(f"{path}: no boxes of {video.name} in it.{near}")
    for key in own:
        yield key.time - start, boxes[key]
