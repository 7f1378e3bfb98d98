"""Key points of one video from a pickle, in the forms that pose estimators and MMAction2 write.

| form                                                | people                                    |
|-----------------------------------------------------|-------------------------------------------|
| an annotation, or a file of annotations of which    | rows of `keypoint`                        |
| one has the name of the video (skeleton_files.py)   |                                           |
| the same in the compact form of Kinetics            | must be followed over the frames          |
| a list with an array (n, k, 3) for each frame, or   | must be followed over the frames          |
| one array (t, n, k, 3)                              |                                           |
| a list with {"keypoints": (n, k, 2),                | must be followed over the frames          |
| "keypoint_scores": (n, k)} for each frame           |                                           |

Shapes: m people, t frames, n people of a frame, k joints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.annotations import skeleton_files
from jaxvid.data.annotations.entries import Entry
from jaxvid.errors import UserError, did_you_mean

FORMS = (
    "an annotation with keypoint, a list of annotations, or a list with an array (people, joints,"
    " 3) for each frame"
)


@dataclass(frozen=True)
class VideoPoses:
    """Key points of one video.

    Attributes:
      points: float32 (m, t, k, 3): x, y in pixels, score. Missing people are zeros.
      size: (h, w) of the image of the key points; None if the file does not say it.
      followed: whether a row of `points` is the same person in all frames.
    """

    points: np.ndarray
    size: tuple[int, int] | None
    followed: bool

    @property
    def frames(self) -> list[np.ndarray]:
        """The poses of each frame, float32 (n, k, 3)."""
        return [frame[frame.any((1, 2))] for frame in self.points.swapaxes(0, 1)]

    def scaled(self, height: int, width: int) -> np.ndarray:
        """Return the points in pixels of a video of this size."""
        if self.size in (None, (height, width)):
            return self.points
        scale = np.array([width / self.size[1], height / self.size[0], 1], np.float32)  # type: ignore[index]
        return self.points * scale


def read(path: str | Path, name: str) -> VideoPoses:
    """Read the key points of the video `name` from a pickle.

    A file with a single annotation needs no name. NaN counts as a missing joint.

    Raises:
      UserError: the file cannot be read, is in another form, has no key points of this video, or
        the key points have no two coordinates.
    """
    try:
        content = skeleton_files.load(path)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror or error})") from None
    return of(content, str(path), name)


def of(content: Any, where: str, name: str = "") -> VideoPoses:
    """Do the same for the content of a file. `where` is its name in messages."""
    if isinstance(content, np.ndarray) and content.ndim == 4:  # (t, n, k, 3)
        content = list(content)
    if isinstance(content, dict) and "annotations" in content:
        content = content["annotations"]
    if isinstance(content, dict):
        return _annotation(content, where)
    if not isinstance(content, list | tuple) or not len(content):
        kind = f"{'empty ' if content in ([], (), {}) else ''}{type(content).__name__}"
        raise UserError(f"{where}: this is an object of type {kind}; expected {FORMS}")
    if isinstance(content[0], dict) and _name(content[0]):
        return _annotation(*_of_video(content, where, name))
    return VideoPoses(_stacked(content, where), None, followed=False)


def _name(annotation: dict) -> Any:
    return next((annotation[key] for key in skeleton_files.NAMES if key in annotation), None)


def _of_video(annotations: Sequence[Any], where: str, name: str) -> tuple[dict, str]:
    """Return the annotation of the video `name`, and its place."""
    names = []
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or not _name(annotation):
            raise UserError(f"{where}: annotation {number}: no frame_dir in it; expected {FORMS}")
        names.append(str(_name(annotation)))
    wanted = Path(name).name, Path(name).stem
    own = [i for i, known in enumerate(names) if Path(known).name in wanted]
    if not own and len(names) == 1:
        own = [0]
    if len(own) != 1:
        problem = "several annotations" if own else "no annotation"
        near = "" if own else did_you_mean(wanted[1], names[:1000])
        raise UserError(f"{where}: {problem} of {name} in it.{near}")
    return annotations[own[0]], f'{where}: annotation {own[0]} ("{names[own[0]]}")'


def _annotation(annotation: dict, where: str) -> VideoPoses:
    """Return the key points of an annotation."""
    if "keypoint" not in annotation:
        near = did_you_mean("keypoint", map(str, annotation))
        raise UserError(f'{where}: no "keypoint" in it.{near}')
    found = skeleton_files.checked(annotation, where)
    keypoint = found["keypoint"].astype(np.float32)
    size = tuple(found["img_shape"]) if "img_shape" in found else None
    if "frame_inds" in found:
        frames = found["frame_inds"]
        total = Entry(annotation, where).whole("total_frames", "a number of frames", low=1)
        of_frame = [keypoint[frames == frame] for frame in range(total)]
        return VideoPoses(_stacked(of_frame, where), size, followed=False)
    if keypoint.shape[-1] != 2:
        raise UserError(
            f"{where}: its key points are 3-D, which have no place in the pixels of a video;"
            " python -m jaxvid.predict FILE.pkl recognizes them without a video"
        )
    there = keypoint.any(-1, keepdims=True)
    score = found["keypoint_score"][..., None] if "keypoint_score" in found else there
    points = np.concatenate([keypoint, np.where(there, score, 0)], -1)
    return VideoPoses(points.astype(np.float32), size, followed=True)


def _stacked(frames: Sequence[Any], where: str) -> np.ndarray:
    """Return the poses of frames as one array (m, t, k, 3), with zeros for missing people."""
    found = [_of_frame(frame, f"{where}: frame {i}") for i, frame in enumerate(frames)]
    joints = {frame.shape[1] for frame in found if len(frame)}
    if len(joints) > 1:
        counts = " and ".join(map(str, sorted(joints)))
        raise UserError(f"{where}: {counts} joints; all people must have the same joints")
    points = np.zeros((max(map(len, found)), len(found), max(joints, default=0), 3), np.float32)
    for index, frame in enumerate(found):
        points[: len(frame), index, : frame.shape[1]] = frame
    return points


def _of_frame(frame: Any, where: str) -> np.ndarray:
    """Return the poses of a frame, float32 (n, k, 3)."""
    if isinstance(frame, dict):
        own = Entry(frame, where)
        points = own.array("keypoints", "(people, joints, 2)")
        if len(points) == 0:
            return np.zeros((0, 0, 3), np.float32)
        scores = own.array("keypoint_scores", "(people, joints)")
        if points.ndim != 3 or scores.shape != points.shape[:2]:
            raise UserError(
                f'{where}: "keypoints" {points.shape} and "keypoint_scores" {scores.shape} do not'
                " fit; expected (people, joints, 2) and (people, joints)"
            )
        frame = np.concatenate([points[..., :2], scores[..., None]], -1)
    return checked(frame, where)


def checked(poses: Any, where: str) -> np.ndarray:
    """Return the poses of a frame as float32 (n, k, 3), with zeros for joints with NaN.

    Raises:
      UserError: `poses` has another shape, no numbers, or infinite numbers.
    """
    try:
        array = np.asarray(poses, np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{where}: no array of numbers; expected {FORMS}") from None
    if not array.size:
        return np.zeros((0, 0, 3), np.float32)
    if array.ndim != 3 or array.shape[2] != 3:
        raise UserError(
            f"{where}: an array {array.shape}; expected (people, joints, 3): x, y, score"
        )
    if np.isinf(array).any():
        raise UserError(f"{where}: infinite numbers in it")
    return np.where(np.isnan(array).any(-1, keepdims=True), 0, array)
