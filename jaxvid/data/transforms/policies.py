"""Augmentation policies: they select the operations that are applied to a clip.

All frames of a clip get the same operations with the same amounts. Policies change `video` uint8
(v t h w 3) of samples without boxes and key points. The table of a policy maps the name of each
operation to a function that draws its amount at a strength of 0..1, and to the operation. Policies
share operations, but each publication has its own ranges of amounts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.config.values import Count, Natural, NonNegative, Positive, Probability
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import coordinates
from jaxvid.data.transforms import operations as ops
from jaxvid.errors import UserError, did_you_mean

Draw = Callable[[float, np.random.Generator], Any]
Table = dict[str, tuple[Draw, Callable[[np.ndarray, Any], np.ndarray]]]


def build(name: str, *arguments) -> Transform:
    """Return the policy with the given name, such as build("randaugment_noisy", 4, 7.0)."""
    if name not in POLICIES:
        near = did_you_mean(name, POLICIES)
        raise UserError(f'there is no augmentation policy "{name}".{near}')
    return POLICIES[name](*arguments)


@dataclass(frozen=True)
class RandAugment:
    """Apply a few different random operations of the same strength, in random order.

    Cubuk et al., RandAugment: Practical automated data augmentation with a reduced search space,
    2019. The paper does not define the strengths. The operations and their distribution are those
    of RandAugment in imgaug 0.4, with which Video Swin Transformer (Liu et al., 2021) was trained
    on Something-Something v2 (ops=4, magnitude=7). Signs are drawn with equal probability. Before
    the operations, up to magnitude / 224 of the frame is cropped from each side.

    imgaug also mirrors half of the clips, whatever their label. Here the task mirrors clips
    (`task.augment.flip`), which can be turned off or exchange labels.

    Attributes:
      ops: number of operations of a clip.
      magnitude: strength of each operation, 0..30. It can be a fraction.
    """

    ops: Natural = 4
    magnitude: NonNegative = 7.0

    def __post_init__(self):
        if not 0 <= self.ops <= len(IMGAUG):
            raise UserError(f"randaugment applies 0 to {len(IMGAUG)} operations, not {self.ops}")
        _check_magnitude(self.magnitude, 30)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        video, frames = _open(sample)
        frames = ops.crop(frames, rng.uniform(0, self.magnitude, 4) / 224)
        for name in rng.permutation(list(IMGAUG))[: self.ops]:
            draw, apply = IMGAUG[name]
            frames = apply(frames, draw(self.magnitude / 30, rng))
        return sample | {"video": frames.reshape(video.shape)}


@dataclass(frozen=True)
class NoisyRandAugment:
    """RandAugment with random strengths, whose operations are applied with a given probability.

    This is the version of PyTorchVideo, with which MViT v2 (Li et al., 2022) and UniFormer v2 (Li
    et al., 2022) were trained (ops=4, magnitude=7). Different operations are drawn in random order.
    Each is applied with probability 0.5, at a strength from a normal distribution that is clipped
    to 0..10.

    MMAction2 applies it to levels 0..255 as if they were 0..1, so that solarize inverts nearly all
    pixels, and new pixels are black. Here both work as intended. Moved pixels are not interpolated,
    and shears are relative to the upper left corner instead of the center.

    Attributes:
      ops: number of operations that are drawn for a clip.
      magnitude: mean strength, 0..10.
      probability: probability that a drawn operation is applied.
      spread: standard deviation of the strength.
    """

    ops: Natural = 4
    magnitude: NonNegative = 7.0
    probability: Probability = 0.5
    spread: NonNegative = 0.5

    def __post_init__(self):
        if not 0 <= self.ops <= len(PYTORCHVIDEO):
            most = len(PYTORCHVIDEO)
            raise UserError(f"randaugment applies 0 to {most} operations, not {self.ops}")
        _check_magnitude(self.magnitude, 10)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        video, frames = _open(sample)
        for name in rng.permutation(list(PYTORCHVIDEO))[: self.ops]:
            if rng.uniform() < self.probability:
                draw, apply = PYTORCHVIDEO[name]
                level = np.clip(rng.normal(self.magnitude, self.spread), 0, 10) / 10
                frames = apply(frames, draw(level, rng))
        return sample | {"video": frames.reshape(video.shape)}


@dataclass(frozen=True)
class AutoAugment:
    """Apply one of the 25 pairs of operations of the policy for ImageNet.

    Cubuk et al., AutoAugment: Learning augmentation policies from data, 2018. Each operation of a
    pair has its own probability and strength.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        video, frames = _open(sample)
        for name, probability, strength in IMAGENET[rng.integers(len(IMAGENET))]:
            if rng.uniform() < probability:
                draw, apply = AUTOAUGMENT[name]
                frames = apply(frames, draw(strength / 9, rng))
        return sample | {"video": frames.reshape(video.shape)}


@dataclass(frozen=True)
class AugMix:
    """Mix the clip with the results of several chains of operations (Hendrycks et al., 2019).

    The shares of the chains are drawn from a Dirichlet distribution, and the share of the clip
    itself from a Beta distribution. The consistency loss of AugMix is not included.

    Attributes:
      magnitude: maximum strength, 0..10. The strength of each operation is drawn between 0.1 and
        this value.
      chains: number of chains.
      depth: maximum number of operations of a chain; the minimum is 1.
      alpha: concentration of both distributions.
    """

    magnitude: NonNegative = 3.0
    chains: Count = 3
    depth: Count = 3
    alpha: Positive = 1.0

    def __post_init__(self):
        _check_magnitude(self.magnitude, 10)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        video, frames = _open(sample)
        shares = rng.dirichlet([self.alpha] * self.chains)
        own = rng.beta(self.alpha, self.alpha)
        mixed = np.float32(own) * frames
        names = list(AUGMIX)
        for share in shares:
            chain = frames
            for name in rng.choice(names, rng.integers(1, self.depth + 1)):
                draw, apply = AUGMIX[name]
                chain = apply(chain, draw(rng.uniform(0.1, self.magnitude) / 10, rng))
            mixed += np.float32((1 - own) * share) * chain
        return sample | {"video": np.round(mixed).astype(np.uint8).reshape(video.shape)}


POLICIES: dict[str, Callable[..., Transform]] = {
    "randaugment": RandAugment,
    "randaugment_noisy": NoisyRandAugment,
    "autoaugment": AutoAugment,
    "augmix": AugMix,
}


def _open(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return the video, and its frames as (n h w 3)."""
    coordinates.refuse(sample, "an augmentation policy moves pixels and")
    video = sample["video"]
    return video, video.reshape(-1, *video.shape[-3:])


def _check_magnitude(magnitude: float, most: int):
    if not 0 <= magnitude <= most:
        raise UserError(f"the policy's magnitude is 0 to {most}, not {magnitude}")


def _none(level: float, rng: np.random.Generator) -> None:
    return None


def _whole(more: int, least: int = 0) -> Draw:
    return lambda level, rng: least + int(level * more)


def _signed(most: float, middle: float = 0.0) -> Draw:
    return lambda level, rng: middle + rng.choice((-1, 1)) * level * most


def _tanh(most: float) -> Draw:
    """Draw the amount of a shear: imgaug uses the hyperbolic tangent of an angle."""
    return lambda level, rng: np.tanh(rng.choice((-1, 1)) * level * most)


def _square(level: float, rng: np.random.Generator) -> tuple[float, float, float]:
    return rng.uniform(), rng.uniform(), level * 20 / 32


IMGAUG: Table = {
    "identity": (_none, ops.identity),
    "autocontrast": (_none, ops.autocontrast),
    "equalize": (_none, ops.equalize),
    "invert": (_none, ops.invert),
    "rotate": (_signed(30.0), ops.rotate),
    "posterize": (_whole(6), ops.posterize),
    "solarize": (_whole(256), ops.solarize),
    "color": (_signed(0.9, 1.0), ops.color),
    "contrast": (_signed(0.9, 1.0), ops.contrast),
    "brightness": (_signed(0.9, 1.0), ops.brightness),
    "sharpness": (_signed(0.9, 1.0), ops.sharpness),
    "shear_x": (_tanh(0.3), ops.shear_x),
    "shear_y": (_tanh(0.3), ops.shear_y),
    "translate_x": (_signed(0.33), ops.translate_x),
    "translate_y": (_signed(0.33), ops.translate_y),
    "cutout": (_square, ops.cutout),
    "blur": (_none, ops.blur),
    "smooth": (_none, ops.smooth),
}

PYTORCHVIDEO: Table = {
    **{name: IMGAUG[name] for name in ("autocontrast", "equalize", "invert", "rotate", "solarize")},
    **{name: IMGAUG[name] for name in ("color", "contrast", "brightness", "sharpness")},
    "posterize": (_whole(4, 4), ops.posterize),
    "shear_x": (_signed(0.3), ops.shear_x),
    "shear_y": (_signed(0.3), ops.shear_y),
    "translate_x": (_signed(0.45), ops.translate_x),
    "translate_y": (_signed(0.45), ops.translate_y),
}

AUTOAUGMENT: Table = {
    **{name: PYTORCHVIDEO[name] for name in ("autocontrast", "equalize", "invert", "rotate")},
    **{name: PYTORCHVIDEO[name] for name in ("color", "contrast", "sharpness", "shear_x")},
    "posterize": (lambda level, rng: round(4 * level), ops.posterize),
    "solarize": (_whole(255, 1), ops.solarize),
}

# (operation, probability, strength 0..9): the policy in the paper's appendix
IMAGENET = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)

AUGMIX: Table = {
    **{name: IMGAUG[name] for name in ("autocontrast", "equalize", "rotate", "solarize")},
    **{name: PYTORCHVIDEO[name] for name in ("posterize", "shear_x", "shear_y")},
    "translate_x": (_signed(1 / 3), ops.translate_x),
    "translate_y": (_signed(1 / 3), ops.translate_y),
}
