"""Key points of people: read files, select frames, and crop to the people.

`keypoint` is (m t j c), and (v m t j c) after the selection of frames. `keypoint_score` has the
same shape without c. The coordinates c are x, y in pixels, or x, y, z. A joint at 0, 0 is missing,
and so is a person whose joints are all zeros.

Shape letters: v views, m people, t frames, j joints, c coordinates, n poses.
"""

import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.data.annotations import skeleton_files
from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.data.transforms.spatial import Box
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.video_files import has_ending, numpy_reason
from jaxvid.errors import UserError

POINTS = ("keypoint", "keypoint_score")
ENDINGS = (".pkl", ".npz", ".npy")


@dataclass(frozen=True)
class Load:
    """Read `keypoint` and related keys from `path`, unless the sample already has key points.

    The score of 2-D joints without `keypoint_score` is 1, and 0 for missing joints. A .pkl or .npz
    file contains an annotation, see `data/annotations/skeleton_files.py`. A .npy file, or a .pkl
    file with a single array, contains `keypoint`.

    Raises:
      VideoError: the file cannot be read, or is invalid.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return scored(sample if "keypoint" in sample else self.read(sample))

    def read(self, sample: Sample) -> Sample:
        """Return the sample with the arrays of its file."""
        path = sample["path"]
        if not has_ending(path, ENDINGS):
            raise VideoError(
                path,
                f"this model needs skeletons; give it a file of key points ({', '.join(ENDINGS)})"
                " from a pose estimator",
            )
        try:
            found = skeleton_files.load(path) if has_ending(path, (".pkl",)) else _load_numpy(path)
            found = found if isinstance(found, dict) else {"keypoint": found}
            if "keypoint" not in found:
                raise UserError(f'no "keypoint" in it, only {", ".join(map(str, found))}')
            if "frame_inds" in sample:
                found = found | {"frame_inds": sample["frame_inds"]}
            found = skeleton_files.checked(found, path)
        except (UserError, ValueError, EOFError, zipfile.BadZipFile) as error:
            # The loader handles unreadable files like unreadable videos.
            raise VideoError(path, numpy_reason(error).removeprefix(f"{path}: ")) from None
        sample = sample | {key: found[key] for key in skeleton_files.ARRAYS if key in found}
        return sample | ({"size": np.array(found["img_shape"])} if "img_shape" in found else {})


def scored(sample: Sample) -> Sample:
    """Give 2-D key points without scores a `keypoint_score`: 1, and 0 for missing joints."""
    points = sample["keypoint"]
    if points.shape[-1] != 2 or {"keypoint_score", "frame_inds"} & sample.keys():
        return sample
    return sample | {"keypoint_score": np.any(points != 0, -1).astype(np.float32)}


def _load_numpy(path: str) -> Any:
    found = np.load(path, allow_pickle=False)
    return found if isinstance(found, np.ndarray) else dict(found)


@dataclass(frozen=True)
class Decompress:
    """Convert the compact form (n j 3) of Kinetics to `keypoint` (m t j 2) and `keypoint_score`.

    Frames without a person are left out, so t is the number of frames with a person. People keep
    their order within a frame. If a frame has more than `people` people, people are sorted by their
    score in all frames, and those after the first `people` are dropped. Samples in another form are
    not changed.

    Attributes:
      people: maximum number of people.

    Raises:
      VideoError: there is no person in the sample.
    """

    people: int = 10

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if "frame_inds" not in sample:
            return sample
        sample = dict(sample)
        frames, pose = sample.pop("frame_inds"), sample["keypoint"]
        pose, frames = pose[frames >= 0], frames[frames >= 0]
        if not len(frames):
            raise VideoError(sample.get("path", "key points"), "there is no person in it")
        _, first, frame, counts = np.unique(
            frames, return_index=True, return_inverse=True, return_counts=True
        )
        if counts.max() > self.people:
            best = np.lexsort((-pose[..., 2].sum(1, dtype=np.float32), frame))
            pose = pose[best]  # frames stay where they are
        person = np.arange(len(frames)) - first[frame]
        kept = person < self.people
        dense = np.zeros((min(counts.max(), self.people), len(first), *pose.shape[1:]), pose.dtype)
        dense[person[kept], frame[kept]] = pose[kept]
        return sample | {"keypoint": dense[..., :2], "keypoint_score": dense[..., 2]}


@dataclass(frozen=True)
class UniformClips:
    """Select a random frame from each of `frames` equal parts of the sequence.

    This is UniformSampleFrames of MMAction2 (Duan et al., PoseC3D, 2022). If the sequence has less
    than 2 * `frames` frames, random frames are left out instead. If it has less than `frames`
    frames, it is repeated from its start. In evaluation, frames are drawn with a fixed seed, so
    they are always the same, and equal to the published ones.

    Attributes:
      frames: frames in a clip.
      clips: clips of a sample.
      train: whether to draw with the generator of the sample instead of the fixed seed.
      seed: seed of the frames in evaluation.
    """

    frames: int
    clips: int = 1
    train: bool = False
    seed: int = 255

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"frames": self.indices(sample["keypoint"].shape[1], rng)}

    def indices(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices (clips, frames) into a sequence of `total` frames."""
        if self.train:
            choice, integers = rng.choice, rng.integers
        else:
            published = np.random.RandomState(self.seed)
            choice, integers = published.choice, published.randint
        clips, inside = [], np.arange(self.frames)
        for k in range(self.clips):
            if total < self.frames:
                even = k if total < self.clips else k * total // self.clips
                clips.append((integers(total) if self.train else even) + inside)
            elif total < 2 * self.frames:
                skips = np.zeros(self.frames + 1, np.int64)
                skips[choice(self.frames + 1, total - self.frames, replace=False)] = 1
                clips.append(inside + skips[:-1].cumsum())
            else:
                borders = np.arange(self.frames + 1) * total // self.frames
                clips.append(borders[:-1] + integers(np.diff(borders)))
        return np.stack(clips) % total


@dataclass(frozen=True)
class PadFrames:
    """Select all frames as one clip, and fill it up to `frames` frames.

    Attributes:
      frames: frames in the clip, at least the number of frames of the sequence.
      beyond: "loop" repeats the sequence from its start, and "zero" adds zeros.

    Raises:
      UserError: the sequence has more frames than the clip.
    """

    frames: int
    beyond: str = "loop"

    def __post_init__(self):
        if self.beyond not in ("loop", "zero"):
            raise UserError(f'beyond the end is "loop" or "zero", not "{self.beyond}"')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        total = sample["keypoint"].shape[1]
        if total > self.frames:
            raise UserError(f"{total} frames of key points do not fit {self.frames}")
        sample = Select()(sample | {"frames": np.arange(self.frames)[None] % total}, rng)
        if self.beyond == "zero":
            for key in POINTS:
                if key in sample:
                    sample[key][:, :, total:] = 0
        return sample


@dataclass(frozen=True)
class Select:
    """Select the `frames` (v t) of the key points: (m t j c) -> float32 (v m t j c)."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = dict(sample)
        frames = sample.pop("frames")
        for key in POINTS:
            if key in sample:
                taken = np.asarray(sample[key])[:, frames].astype(np.float32)
                sample[key] = np.moveaxis(taken, 0, 1)
        return sample


@dataclass(frozen=True)
class Remove:
    """Remove the key points, for models that see only the video."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {key: value for key, value in sample.items() if key not in POINTS}


@dataclass(frozen=True)
class FitVideo:
    """Convert key points from pixels of the annotated image to pixels of `video`."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["video"].shape[2:4]
        image = coordinates.frame_size(
            {key: value for key, value in sample.items() if key != "video"}
        )
        return coordinates.scaled(sample, height / image[0], width / image[1])


@dataclass(frozen=True)
class CropToPeople:
    """Crop the frame to the box around all people in all frames (PoseC3D's PoseCompact).

    A coordinate of 0 means that the joint is missing, and it stays 0. If the sample has a `video`,
    it is cropped, too, and is black outside its old borders.

    Attributes:
      padding: margin on each side of the box, as a share of half its width or height.
      smallest: minimum width and height of the box in pixels. If it is smaller, there is no crop.
      ratio: minimum of height / width, and 1 / `ratio` is the minimum of width / height, so that 1
        makes a square. 0 keeps the aspect ratio of the box.
      outside: whether the box can extend beyond the border of the frame.
    """

    padding: float = 0.25
    smallest: int = 10
    ratio: float = 0.0
    outside: bool = True

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        box = self.box(sample["keypoint"], *coordinates.frame_size(sample))
        if box is None:
            return sample
        top, left, height, width = box
        points = np.array(sample["keypoint"])
        points[..., :2] -= np.where(points[..., :2] != 0, (left, top), 0)
        sample = sample | {"keypoint": points, "size": np.array([height, width])}
        return sample | ({"video": _cut(sample["video"], box)} if "video" in sample else {})

    def box(self, keypoint: np.ndarray, height: int, width: int) -> Box | None:
        """Return the box (top, left, height, width), or None if it is too small."""
        xs, ys = (keypoint[..., k][keypoint[..., k] != 0] for k in (0, 1))
        if not xs.size or not ys.size or min(np.ptp(xs), np.ptp(ys)) < self.smallest:
            return None
        (x, y), (half_width, half_height) = (
            [float(p.max() + p.min()) / 2 for p in (xs, ys)],
            [float(np.ptp(p)) / 2 * (1 + self.padding) for p in (xs, ys)],
        )
        if self.ratio:
            half_height = max(self.ratio * half_width, half_height)
            half_width = max(half_height / self.ratio, half_width)
        low, high = (x - half_width, y - half_height), (x + half_width, y + half_height)
        if not self.outside:
            low, high = np.maximum(low, 0), np.minimum(high, (width, height))
        (left, top), (right, bottom) = map(int, low), map(int, high)
        return top, left, bottom - top, right - left


def _cut(video: np.ndarray, box: Box) -> np.ndarray:
    """Return the pixels of `video` (v t h w c) in the box, and 0 outside the frame."""
    top, left, height, width = box
    out = np.zeros((*video.shape[:2], height, width, video.shape[4]), video.dtype)
    y, x = max(top, 0), max(left, 0)
    inside = video[:, :, y : max(y, top + height), x : max(x, left + width)]
    out[:, :, y - top :, x - left :][:, :, : inside.shape[2], : inside.shape[3]] = inside
    return out
