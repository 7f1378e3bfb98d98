"""Resizing, cropping and mirroring of clips.

Each transform changes all frames of `video`, uint8 (v t h w c), in the same way. Boxes and key
points change with the frame, even if there is no video (see coordinates.py). Sizes are (height,
width), or one number for a square. The box of a crop is (top, left, height, width).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.data.video.decode import fit
from jaxvid.errors import UserError, did_you_mean

Box = tuple[int, int, int, int]
Size = int | tuple[int, int]

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def resize(
    video: np.ndarray, height: int, width: int, interpolation: str = "bilinear"
) -> np.ndarray:
    """Resize every frame to (height, width) with OpenCV, as in the published recipes.

    Raises:
      UserError: there is no such interpolation.
    """
    if video.shape[2:4] == (height, width):
        return video
    if interpolation not in INTERPOLATIONS:
        near = did_you_mean(interpolation, INTERPOLATIONS)
        raise UserError(f'there is no interpolation "{interpolation}".{near}')
    flag = INTERPOLATIONS[interpolation]
    frames = video.reshape(-1, *video.shape[2:])
    out = np.empty((len(frames), height, width, video.shape[-1]), video.dtype)
    for source, target in zip(frames, out, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=flag)
    return out.reshape(*video.shape[:2], *out.shape[1:])


def crop(video: np.ndarray, box: Box) -> np.ndarray:
    """Return the pixels inside the box. Raises UserError if it is not inside the frame."""
    top, left, height, width = box
    if min(top, left) < 0 or top + height > video.shape[2] or left + width > video.shape[3]:
        h, w = video.shape[2:4]
        raise UserError(f"a crop of {height} x {width} pixels does not fit a frame of {h} x {w}")
    return video[:, :, top : top + height, left : left + width]


def mirror(video: np.ndarray, direction: str = "horizontal") -> np.ndarray:
    """Exchange left and right, or with "vertical", top and bottom.

    An even number of channels is optical flow, x y x y ..., with levels 0..255 and no motion in the
    middle. The motion in the mirrored direction changes its sign.
    """
    axis = {"vertical": 2, "horizontal": 3}[direction]
    video = np.flip(video, axis)
    if video.shape[-1] % 2 == 0:
        video = video.copy()
        along = video[..., 3 - axis :: 2]
        np.subtract(255, along, out=along)
    return video


def views(video: np.ndarray, boxes: Iterable[Box]) -> np.ndarray:
    """Return several crops as views, those of a crop together: (v t h w c) -> (crops*v t h w c)."""
    return np.concatenate([crop(video, box) for box in boxes])


def sides(size: Size) -> tuple[int, int]:
    """Return a size as (height, width)."""
    return (size, size) if isinstance(size, int) else size


def resized(sample: Sample, height: int, width: int, interpolation: str = "bilinear") -> Sample:
    """Return `sample` with frames of (height, width)."""
    h, w = coordinates.frame_size(sample)
    sample = coordinates.scaled(sample, height / h, width / w)
    if "video" not in sample:
        return sample | {"size": np.array([height, width])}
    return sample | {"video": resize(sample["video"], height, width, interpolation)}


def cropped(sample: Sample, box: Box) -> Sample:
    """Return `sample` with its frames cropped to the box."""
    sample = coordinates.cropped(sample, *box)
    if "video" not in sample:
        return sample | {"size": np.array(box[2:])}
    return sample | {"video": crop(sample["video"], box)}


@dataclass(frozen=True)
class ResizeShort:
    """Resize the short side to `size` pixels, and keep the aspect ratio."""

    size: int
    interpolation: str = "bilinear"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return resized(sample, *self.shape(*coordinates.frame_size(sample)), self.interpolation)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        return fit(height, width, self.size)


@dataclass(frozen=True)
class Resize:
    """Resize to a size, to a maximum size, or by a factor.

    Attributes:
      size: a factor if it is a float. Otherwise, (height, width) of the result. With `keep_ratio`,
        the larger number is the maximum of the long side, and the smaller number is the maximum of
        the short side.
      keep_ratio: whether to keep the aspect ratio.
      interpolation: one of INTERPOLATIONS.
    """

    size: Size | float
    keep_ratio: bool = False
    interpolation: str = "bilinear"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return resized(sample, *self.shape(*coordinates.frame_size(sample)), self.interpolation)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.size, float):
            scale = self.size
        elif self.keep_ratio:
            short, long = sorted(sides(self.size))
            scale = min(long / max(height, width), short / min(height, width))
        else:
            return sides(self.size)
        return int(height * scale + 0.5), int(width * scale + 0.5)


@dataclass(frozen=True)
class RandomRescale:
    """Resize the short side to a random number of pixels, and keep the aspect ratio.

    Attributes:
      least, most: minimum and maximum of the short side.
      interpolation: one of INTERPOLATIONS.
    """

    least: int
    most: int
    interpolation: str = "bilinear"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return ResizeShort(self.short_side(rng), self.interpolation)(sample, rng)

    def short_side(self, rng: np.random.Generator) -> int:
        return self.least + int(rng.integers(self.most - self.least + 1))


@dataclass(frozen=True)
class RandomResizedCrop:
    """Crop a random box of the frame, and resize it (Szegedy et al., 2015).

    Attributes:
      size: size of the result in pixels.
      area: range of the area of the box, as a share of the frame, drawn uniformly.
      aspect: range of its width divided by its height, drawn log-uniformly.
      interpolation: one of INTERPOLATIONS.
    """

    size: Size
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = cropped(sample, self.box(*coordinates.frame_size(sample), rng))
        return resized(sample, *sides(self.size), self.interpolation)

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        # After ten draws that do not fit, use the largest centered square, as published.
        aspects = np.exp(rng.uniform(*np.log(self.aspect), size=10))
        areas = rng.uniform(*self.area, size=10) * height * width
        widths = np.round(np.sqrt(areas * aspects)).astype(int)
        heights = np.round(np.sqrt(areas / aspects)).astype(int)
        for h, w in zip(heights.tolist(), widths.tolist(), strict=True):
            if h <= height and w <= width:
                left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
                return int(top), int(left), h, w
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side


@dataclass(frozen=True)
class RandomCrop:
    """Crop `size` pixels at a random position, but never at the last possible one, as published."""

    size: Size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return cropped(sample, self.box(*coordinates.frame_size(sample), rng))

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        h, w = sides(self.size)
        top = int(rng.integers(height - h)) if height > h else 0
        left = int(rng.integers(width - w)) if width > w else 0
        return top, left, h, w


@dataclass(frozen=True)
class MultiScaleCrop:
    """Crop one of a few sizes at one of a few positions, and resize it (Wang et al., TSN, 2016).

    Attributes:
      size: size of the result in pixels. Sides that differ from it by less than 3 pixels are set to
        it.
      scales: possible heights and widths, as shares of the short side of the frame.
      gap: largest distance in the list `scales` between height and width.
      positions: number of possible positions: 5 (corners and center), 13 (also those halfway
        between them), or 0 for any.
      interpolation: one of INTERPOLATIONS.
    """

    size: Size
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    gap: int = 1
    positions: int = 5
    interpolation: str = "bilinear"

    def __post_init__(self):
        if self.positions not in (0, 5, 13):
            raise UserError(f"a multi-scale crop has 0, 5 or 13 positions, not {self.positions}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = cropped(sample, self.box(*coordinates.frame_size(sample), rng))
        return resized(sample, *sides(self.size), self.interpolation)

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        lengths = [int(min(height, width) * scale) for scale in self.scales]
        pairs = [
            (h, w)
            for i, h in enumerate(lengths)
            for j, w in enumerate(lengths)
            if abs(i - j) <= self.gap
        ]
        h, w = pairs[rng.integers(len(pairs))]
        size_h, size_w = sides(self.size)
        h = size_h if abs(h - size_h) < 3 and size_h <= height else h
        w = size_w if abs(w - size_w) < 3 and size_w <= width else w
        if not self.positions:
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            return int(top), int(left), h, w
        quarters = QUARTERS[: self.positions]
        x, y = quarters[rng.integers(len(quarters))]
        return y * ((height - h) // 4), x * ((width - w) // 4), h, w


# Positions of a crop (x, y), in quarters of the free space, rounded down to pixels.
QUARTERS = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)),
)


@dataclass(frozen=True)
class CenterCrop:
    """Crop `size` pixels at the center."""

    size: Size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return cropped(sample, self.box(*coordinates.frame_size(sample)))

    def box(self, height: int, width: int) -> Box:
        h, w = sides(self.size)
        return (height - h) // 2, (width - w) // 2, h, w


@dataclass(frozen=True)
class ThreeCrops:
    """Make three crops of `size` pixels along the side with more free space: start, end, middle.

    They are views: (v t h w c) -> (3v t h w c), all views of a crop together.
    """

    size: Size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        coordinates.refuse(sample, "three crops of a frame")
        video = sample["video"]
        return sample | {"video": views(video, self.boxes(*video.shape[2:4]))}

    def boxes(self, height: int, width: int) -> list[Box]:
        h, w = sides(self.size)
        y, x = (height - h) // 2, (width - w) // 2
        # As published, the last crop is at twice half the free space, rounded down, so it can end
        # one pixel before the edge.
        if y > x:
            return [(k * y, x, h, w) for k in (0, 2, 1)]
        return [(y, k * x, h, w) for k in (0, 2, 1)]


@dataclass(frozen=True)
class TenCrops:
    """Make crops of `size` pixels in the corners and the center, each followed by its mirror image.

    They are views: (v t h w c) -> (10v t h w c), all views of a crop together.
    """

    size: Size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        coordinates.refuse(sample, "ten crops of a frame")
        video = sample["video"]
        both = [(c, mirror(c)) for c in (crop(video, b) for b in self.boxes(*video.shape[2:4]))]
        return sample | {"video": np.concatenate([c for pair in both for c in pair])}

    def boxes(self, height: int, width: int) -> list[Box]:
        """Return the boxes of the five crops that are not mirrored."""
        h, w = sides(self.size)
        y, x = (height - h) // 4, (width - w) // 4
        return [(b * y, a * x, h, w) for a, b in QUARTERS[:5]]


@dataclass(frozen=True)
class Flip:
    """Mirror a sample, with its boxes and key points, with a given probability.

    The task can flip clips on the device, which is cheaper. This transform is for samples that the
    task cannot flip: with boxes, key points or optical flow.

    Attributes:
      probability: probability of mirroring.
      direction: "horizontal", or "vertical" for samples without boxes and key points.
      labels: pairs of classes that a horizontal flip exchanges.
      joints: pairs of left and right joints that a horizontal flip exchanges.
    """

    probability: float = 0.5
    direction: str = "horizontal"
    labels: coordinates.Pairs = ()
    joints: coordinates.Pairs = ()

    def __post_init__(self):
        if self.direction not in ("horizontal", "vertical"):
            raise UserError(f'a flip is horizontal or vertical, not "{self.direction}"')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.uniform(0, 1) >= self.probability:
            return sample
        if "video" in sample:
            sample = sample | {"video": mirror(sample["video"], self.direction)}
        if self.direction == "vertical":
            coordinates.refuse(sample, "a vertical flip")
            return sample
        if "label" in sample:
            sample = sample | {"label": self.label(sample["label"])}
        return coordinates.mirrored(sample, coordinates.frame_size(sample)[1], self.joints)

    def label(self, label: np.ndarray) -> np.ndarray:
        """Return the label after a horizontal flip: the class (), or 0 or 1 for each class (c,)."""
        label = np.array(label)
        for a, b in self.labels:
            if label.ndim:
                label[[a, b]] = label[[b, a]]
            elif label in (a, b):
                return np.array(a + b - label, label.dtype)
        return label
