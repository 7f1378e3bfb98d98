"""Augmentation of colors. Each transform changes `video` uint8 (v t h w 3) RGB.

All frames of a sample are changed with the same random values.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from jaxvid.config.values import Probability
from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.data.transforms.spatial import Box

GRAY = np.array([0.2989, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue by random amounts, in random order.

    Pixels are changed as by MMAction2, which trained TPN with it. Levels are clipped to 0..255 and
    rounded down at the end and before the change of hue. Contrast is relative to the mean gray of
    each frame. A hue of 0.1 turns colors by up to 50 degrees instead of 36, because MMAction2
    divides the circle by 255 and OpenCV by 180.

    Two things differ from MMAction2. The order is drawn for each clip instead of each process, so
    that a sample depends on its own generator only. Validation clips are not changed.

    Attributes:
      brightness, contrast, saturation: x <= 1; a factor is drawn from 1 - x to 1 + x.
      hue: x <= 0.5; a shift is drawn from -x to x.
    """

    brightness: Probability = 0.5
    contrast: Probability = 0.5
    saturation: Probability = 0.5
    hue: Probability = 0.1

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        order, amounts = self.draw(rng)
        video = sample["video"]
        frames = video.reshape(-1, *video.shape[2:])
        jittered = np.stack([jitter(frame, order, amounts) for frame in frames])
        return sample | {"video": jittered.reshape(video.shape)}

    def draw(self, rng: np.random.Generator) -> tuple[list[int], list[float]]:
        """Return the order of the four steps, and the amount of each step."""
        order = rng.permutation(4).tolist()
        ranges = (self.brightness, self.contrast, self.saturation)
        amounts = [rng.uniform(1 - x, 1 + x) for x in ranges]
        return order, [*amounts, rng.uniform(-self.hue, self.hue)]


def jitter(frame: np.ndarray, order: list[int], amounts: list[float]) -> np.ndarray:
    """Apply `STEPS` in the given order to a frame uint8 (h w 3). Between steps it is float32."""
    levels = frame.astype(np.float32)
    for step in order:
        levels = STEPS[step](levels, amounts[step])
    return np.clip(levels, 0, 255).astype(np.uint8)


def brightness(levels: np.ndarray, factor: float) -> np.ndarray:
    return levels * factor


def contrast(levels: np.ndarray, factor: float) -> np.ndarray:
    return factor * levels + (1 - factor) * (levels @ GRAY).mean()


def saturation(levels: np.ndarray, factor: float) -> np.ndarray:
    return factor * levels + (1 - factor) * (levels @ GRAY)[..., None]


def hue(levels: np.ndarray, shift: float) -> np.ndarray:
    if shift == 0:
        return levels
    hsv = cv2.cvtColor(np.clip(levels, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(shift * 255)) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)


STEPS = (brightness, contrast, saturation, hue)


@dataclass(frozen=True)
class Grayscale:
    """Convert clips to gray with a given probability. They keep three channels, which are equal."""

    probability: Probability = 0.2

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.uniform(0, 1) >= self.probability:
            return sample
        gray = np.round(sample["video"] @ GRAY).astype(np.uint8)
        return sample | {"video": np.repeat(gray[..., None], 3, -1)}


@dataclass(frozen=True)
class RandomErasing:
    """Erase a random rectangle, the same in all frames (Zhong et al., 2017).

    This is the version of MMAction2. The task can erase on the device, which is cheaper. As
    published, the rectangle never touches the last row or column, unless it is as large as the
    frame.

    Attributes:
      probability: probability of erasing.
      area: range of the area of the rectangle, as a share of the frame, drawn uniformly.
      aspect: range of its height divided by its width, drawn log-uniformly.
      noise: fill with random levels, which differ between frames, instead of `fill`.
      fill: RGB color.
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 1 / 3)
    aspect: tuple[float, float] = (3 / 10, 10 / 3)
    noise: bool = False
    fill: tuple[int, int, int] = (128, 128, 128)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.uniform(0, 1) >= self.probability:
            return sample
        video = sample["video"].copy()
        top, left, height, width = self.box(*coordinates.frame_size(sample), rng)
        inside = video[:, :, top : top + height, left : left + width]
        inside[:] = self.fill
        if self.noise:
            inside[:] = rng.integers(256, size=inside.shape, dtype=np.uint8)
        return sample | {"video": video}

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        aspect = np.exp(rng.uniform(*np.log(self.aspect)))
        area = rng.uniform(*self.area) * height * width
        h = min(round(np.sqrt(area * aspect)), height)
        w = min(round(np.sqrt(area / aspect)), width)
        top = int(rng.integers(height - h)) if height > h else 0
        left = int(rng.integers(width - w)) if width > w else 0
        return top, left, h, w
