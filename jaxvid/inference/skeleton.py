"""From a video to skeletons to actions: find people, estimate poses, follow them, recognize.

    from jaxvid.inference.skeleton import SkeletonPipeline

    pipeline = SkeletonPipeline("stgcnpp_2d_joint_ntu60", "rtmdet_m_coco", "rtmpose_m_coco")
    found = pipeline("clip.mp4")  # a jaxvid.results.SkeletonActions
    found = pipeline("clip.mp4", poses="clip.pkl")  # with key points from a file

A detector is a function from frames uint8 (t, h, w, 3) RGB to a list of t arrays of boxes (n, 5):
x1, y1, x2, y2 in pixels and the score, best first. An estimator is a function from frames and their
boxes to a list of t arrays of poses (n, k, 3): x, y in pixels and the score of each joint. The name
or the file of published weights stands for a function of `inference/poses.py`.

Shapes: t frames, h height, w width, n boxes or people, k joints, m people.
"""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import skeletons
from jaxvid.data.annotations import video_poses
from jaxvid.data.annotations.video_poses import VideoPoses
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.readers import ArrayReader
from jaxvid.data.video.timeline import Reader
from jaxvid.errors import UserError, problems
from jaxvid.inference import poses, tracking
from jaxvid.inference.model import Model, load
from jaxvid.inference.tracking import USUAL, Tracking
from jaxvid.results import Person, SkeletonActions, TrackReport, Window

LEAST = 0.5  # usual minimum score of a box
RECIPES = ("skeleton", "heatmap")  # whose models take key points and nothing else
POSES = "--poses FILE.pkl, in Python poses="
NUMBER = np.float16  # of key points in files, as MMAction2 stores them
# Options of the tasks. Jester's key points were found with this score of a hand.
TASKS: dict[str, dict[str, Any]] = {
    "skeleton": dict(detector="rtmdet_m_coco", estimator="rtmpose_m_coco"),
    "gesture": dict(
        detector="rtmdet_nano_hand",
        estimator="rtmpose_m_hand",
        least=0.3,
        tracking=Tracking(shortest=1, single=True),
    ),
}

Detect = Callable[[np.ndarray], Sequence[Any]]
Estimate = Callable[[np.ndarray, Sequence[np.ndarray]], Sequence[Any]]


@dataclass(frozen=True)
class PoseFinder:
    """The poses of the people in the frames of a video.

    Attributes:
      detector: finds boxes, see the module.
      estimator: finds the joints in boxes.
      least: minimum score of a box.
      most: maximum number of boxes of a frame, the best ones.
      batch: frames that the detector and the estimator get at once.
    """

    detector: Detect
    estimator: Estimate
    least: float = LEAST
    most: int = 20
    batch: int = 32

    def __post_init__(self):
        if not 0 <= self.least <= 1:
            raise UserError(f"least={self.least:g}: the score of a box is from 0 to 1")

    def __call__(self, reader: Reader) -> list[np.ndarray]:
        """Return the poses of each frame, float32 (n, k, 3).

        Raises:
          UserError: the detector or the estimator returns something else than it should.
        """
        found, frames = [], reader.read_on(range(reader.frames))
        while batch := list(itertools.islice(frames, self.batch)):
            found += self._of_frames(np.stack(batch))
        return found

    def _of_frames(self, frames: np.ndarray) -> list[np.ndarray]:
        given = _expect(self.detector(frames), len(frames), "the detector", "an array of boxes")
        boxes = [self._best(_boxes(array)) for array in given]
        poses = self.estimator(frames, boxes)
        poses = _expect(poses, len(frames), "the estimator", "an array of poses")
        found = [video_poses.checked(array, "the estimator") for array in poses]
        for pose, box in zip(found, boxes, strict=True):
            if len(pose) != len(box):
                raise UserError(f"the estimator gave {len(pose)} poses for {len(box)} boxes")
        return found

    def _best(self, boxes: np.ndarray) -> np.ndarray:
        boxes = boxes[boxes[:, 4] >= self.least]
        return boxes[np.argsort(-boxes[:, 4], kind="stable")][: self.most]


def finder(detector: Any, estimator: Any, least: float) -> PoseFinder:
    """Return what finds people and their joints.

    Args:
      detector, estimator: functions, or names or files of published weights.
      least: minimum score of a box.

    Raises:
      UserError: weights cannot be loaded; the message names all that are missing.
    """
    return PoseFinder(*together(_loads(detector, estimator)), least=least)


def _loads(detector: Any, estimator: Any) -> list[Callable[[], Any]]:
    """Return functions that load the detector and the estimator."""
    kinds = (poses.Detector, detector), (poses.PoseEstimator, estimator)
    return [lambda k=kind, s=spec: s if callable(s) else k(s) for kind, spec in kinds]


def together(loads: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what the functions return. Raises one UserError with all problems."""
    found, lines = [], []
    for call in loads:
        try:
            found.append(call())
        except UserError as error:
            lines.append(str(error))
    if lines:
        raise problems(
            f"some weights cannot be loaded; mend it, or give key points in a file ({POSES}):",
            lines,
        )
    return found


def _expect(given: Any, count: int, who: str, what: str) -> list[Any]:
    if not isinstance(given, list | tuple | np.ndarray) or len(given) != count:
        got = f"{len(given)} arrays" if isinstance(given, list | tuple) else type(given).__name__
        raise UserError(
            f"{who} gave {got} for {count} frames; expected a list with {what} for each"
        )
    return list(given)


def _boxes(given: Any) -> np.ndarray:
    array = np.asarray(given, np.float32)
    array = array if array.size else np.zeros((0, 5), np.float32)
    if array.ndim != 2 or array.shape[1] != 5:
        raise UserError(f"the detector gave {array.shape}; expected boxes (n, 5) with scores")
    return array


def annotation(
    people: Sequence[Person],
    name: str,
    frames: int,
    size: tuple[int, int],
    *,
    label: int = -1,
    most: int = 10,
) -> dict[str, Any]:
    """Return the annotation of a video as MMAction2 stores it, see `skeleton_files`.

    Args:
      people: the people of the video.
      name: name of the annotation.
      frames: number of frames of the video.
      size: (h, w) of its frames.
      label: class; -1 if it is not known.
      most: maximum number of people, those with the largest sum of scores.
    """
    joints = people[0].points.shape[1] if people else 0
    keypoint, score = tracking.arrays(people, 0, frames, joints, most)
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": size,
        "original_shape": size,
        "total_frames": frames,
        "keypoint": keypoint.astype(NUMBER),
        "keypoint_score": score.astype(NUMBER),
    }


class SkeletonPipeline:
    """Recognizes the actions of a video from the skeletons of its people.

    Args:
      checkpoint: a model of skeletons: a workdir, a file, a name of the zoo, or a Model.
      detector, estimator: find people and their joints, see the module. They are loaded when they
        are needed: not for key points from files.
      window: length of the windows that are recognized, in seconds; 0 takes the whole video.
      every: time between the starts of windows, in seconds; 0 takes half of `window`.
      topk: number of classes of a window.
      least: minimum score of the box of a person.
      tracking: settings of the tracking.

    Raises:
      UserError: the model takes other inputs than 2-D skeletons, or a number is out of range.
    """

    def __init__(
        self,
        checkpoint: str | Path | Model,
        detector: Detect | str | Path | None = None,
        estimator: Estimate | str | Path | None = None,
        *,
        window: float = 5.0,
        every: float = 0.0,
        topk: int = 3,
        least: float = LEAST,
        tracking: Tracking = USUAL,
    ):
        if window < 0 or every < 0:
            raise UserError(f"window={window:g}, every={every:g}: seconds are at least 0")
        if topk < 1:
            raise UserError(f"topk={topk}: it must be at least 1")
        self.model = _model(checkpoint)
        self.layout = _layout(self.model)
        self.window, self.every, self.topk = window, every, topk
        self.tracking = tracking
        self._finder = detector, estimator, least

    @functools.cached_property
    def find(self) -> PoseFinder:
        """The function that finds the poses in frames.

        Raises:
          UserError: there are no such weights, or no detector or estimator was given.
        """
        detector, estimator, least = self._finder
        if detector is None or estimator is None:
            raise UserError("nothing finds the people; give poses=, or detector= and estimator=")
        return finder(detector, estimator, least)

    def __call__(self, video: Any, poses: Any = None, fps: float = 0.0) -> SkeletonActions:
        """Recognize what happens in a video.

        Args:
          video: a path, or an array uint8 (t, h, w, 3) RGB.
          poses: key points instead of the detector and the estimator: a file or its content, see
            `data/annotations/video_poses.py`, such as a list of arrays (n, k, 3), one for each
            frame.
          fps: frame rate of an array; without it, the whole array is one window.

        Raises:
          UserError: the video or the file cannot be read, or they do not fit each other or the
            model.
        """
        with _open(video, fps) as reader:
            people, report = self.people(reader, poses)
            size = reader.height, reader.width
            times = reader.times if reader.fps else np.arange(reader.frames, dtype=float)
            found = tuple(
                self._recognize(people, part, size, times, end)
                for part, end in self._windows(reader)
            )
        return SkeletonActions(found, people, self.layout, times, report)

    def people(self, reader: Any, key_points: Any = None) -> tuple[tuple[Person, ...], TrackReport]:
        """Return the people in a video, and what became of their poses."""
        if key_points is None:
            found = self.find(reader)
            joints = {pose.shape[1] for pose in found if len(pose)}
            self._check_joints(joints, "the estimator")
            return tracking.track(found, self.tracking)
        where = str(key_points) if isinstance(key_points, str | os.PathLike) else "poses"
        given = _read(key_points, reader.path)
        if given.points.shape[1] != reader.frames:
            raise UserError(
                f"{where}: key points of {given.points.shape[1]} frames, but {reader.path} has"
                f" {reader.frames}; they must be of the same video"
            )
        self._check_joints({given.points.shape[2]} - {0}, where)
        points = given.scaled(reader.height, reader.width)
        if given.followed:
            return tracking.of_rows(points, self.tracking)
        return tracking.track(VideoPoses(points, None, followed=False).frames, self.tracking)

    def _check_joints(self, joints: set[int], where: str) -> None:
        expected = skeletons.get(self.layout).joints
        if joints - {expected}:
            found = " and ".join(map(str, sorted(joints)))
            raise UserError(
                f"{where}: {found} joints, but {self.model.source} takes {expected}, the layout"
                f' "{self.layout}"; take a model of these joints, or other key points'
            )

    def _windows(self, reader: Reader) -> Iterator[tuple[range, float]]:
        """Yield the frames of each window, and the time of its end."""
        whole = range(reader.frames)
        if not (self.window and reader.fps and reader.duration > self.window):
            yield whole, reader.duration if reader.fps else float(reader.frames)
            return
        step = self.every or self.window / 2
        count = int(np.ceil((reader.duration - self.window) / step - 1e-6)) + 1
        for start in (min(step * k, reader.duration - self.window) for k in range(count)):
            if part := reader.within(start, start + self.window):
                yield part, start + self.window

    def _recognize(
        self,
        people: Sequence[Person],
        part: range,
        size: tuple[int, int],
        times: np.ndarray,
        end: float,
    ) -> Window:
        """Return the classes of the frames `part`. Frames in which nobody was seen count, too."""
        joints = skeletons.get(self.layout).joints
        keypoint, score = tracking.arrays(people, part.start, part.stop, joints)
        start = float(times[part.start])
        if not len(keypoint):
            return Window(start, end, (), (), 0)
        sample = {"keypoint": keypoint, "keypoint_score": score, "size": np.array(size)}
        found = self.model.predict(sample, self.topk)
        return Window(start, end, found.labels, found.scores, len(keypoint))


def _model(checkpoint: str | Path | Model) -> Model:
    return load(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint


def _layout(model: Model) -> str:
    """Return the layout of the joints that a model takes. Raises UserError if it takes others."""
    recipe = model.config["data"]["recipe"]
    if recipe["name"] not in RECIPES:
        raise UserError(
            f"{model.source}: its recipe is {recipe['name']}; name a model of skeletons, with the"
            f" recipe {' or '.join(RECIPES)}, such as stgcnpp_2d_joint_ntu60"
        )
    if (layout := recipe.get("layout", "coco")) == "nturgb+d":
        raise UserError(
            f"{model.source}: a model of 3-D skeletons, which depth cameras measure; name one of"
            " 2-D skeletons, such as stgcnpp_2d_joint_ntu60"
        )
    return layout


def _open(video: Any, fps: float) -> Any:
    if isinstance(video, np.ndarray):
        if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or not len(video):
            raise UserError(f"a video array is uint8 (t, h, w, 3), not {video.dtype} {video.shape}")
        reader: Any = ArrayReader(video, fps)
        reader.height, reader.width = video.shape[1:3]
        return reader
    if not isinstance(video, str | os.PathLike):
        raise UserError(f"a video is a path or an array, not a {type(video).__name__}")
    return VideoReader(video)


def _read(poses: Any, name: str) -> VideoPoses:
    if isinstance(poses, str | os.PathLike):
        return video_poses.read(Path(poses), name)
    return video_poses.of(poses, "poses", name)


def build(
    task: str, checkpoint: str | Path | Model, *, now: bool = False, **options: Any
) -> SkeletonPipeline:
    """Return the pipeline of a task, "skeleton" or "gesture".

    A gesture is that of one hand with 21 joints: the best hand of each frame.

    Args:
      now: load the detector and the estimator now, so that one message names all missing weights.
      **options: arguments of `SkeletonPipeline`; None means the default of the task.
    """
    given = {**TASKS[task], **{key: value for key, value in options.items() if value is not None}}
    if not now:
        return SkeletonPipeline(checkpoint, **given)
    finders = _loads(given.pop("detector"), given.pop("estimator"))
    return SkeletonPipeline(*together([lambda: _model(checkpoint), *finders]), **given)
