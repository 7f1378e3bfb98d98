"""Resizing and cropping of clips: `video` uint8 (v t h w 3) in and out, the same for all frames.

Sizes are (height, width); boxes are (top, left, height, width).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from jaxvid.data.sample import Sample

Box = tuple[int, int, int, int]


def resize(video: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every frame to (height, width), bilinear as in OpenCV, which the published recipes used."""
    if video.shape[2:4] == (height, width):
        return video
    frames = video.reshape(-1, *video.shape[2:])
    out = np.empty((len(frames), height, width, video.shape[-1]), video.dtype)
    for source, target in zip(frames, out, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return out.reshape(*video.shape[:2], *out.shape[1:])


def crop(video: np.ndarray, box: Box) -> np.ndarray:
    top, left, height, width = box
    return video[:, :, top : top + height, left : left + width]


@dataclass(frozen=True)
class ResizeShort:
    """The short side to `size` pixels, keeping the aspect ratio."""

    size: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = self.shape(*sample["video"].shape[2:4])
        return sample | {"video": resize(sample["video"], height, width)}

    def shape(self, height: int, width: int) -> tuple[int, int]:
        scale = self.size / min(height, width)
        return int(height * scale + 0.5), int(width * scale + 0.5)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random box of the frame, resized to a square (Szegedy et al., 2015).

    Attributes:
      size: side of the result in pixels.
      area: range of the box's share of the frame, drawn uniformly.
      aspect: range of its width over height, drawn log-uniformly.
    """

    size: int
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        video = sample["video"]
        video = crop(video, self.box(*video.shape[2:4], rng))
        return sample | {"video": resize(video, self.size, self.size)}

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        # Ten draws, then the largest centred square: the published fallback.
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
class CenterCrop:
    """The central square of `size` pixels."""

    size: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"video": crop(sample["video"], self.box(*sample["video"].shape[2:4]))}

    def box(self, height: int, width: int) -> Box:
        return (height - self.size) // 2, (width - self.size) // 2, self.size, self.size


@dataclass(frozen=True)
class ThreeCrops:
    """Three squares of `size` pixels along the long side: start, end, middle.

    Crops multiply the views, crop-major: (v t h w 3) -> (3v t size size 3).
    """

    size: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        video = sample["video"]
        views = [crop(video, box) for box in self.boxes(*video.shape[2:4])]
        return sample | {"video": np.concatenate(views)}

    def boxes(self, height: int, width: int) -> list[Box]:
        y, x = (height - self.size) // 2, (width - self.size) // 2
        # Twice half the room, not all of it: the far crop may end one pixel short of the edge.
        if height > width:
            return [(k * y, x, self.size, self.size) for k in (0, 2, 1)]
        return [(y, k * x, self.size, self.size) for k in (0, 2, 1)]
