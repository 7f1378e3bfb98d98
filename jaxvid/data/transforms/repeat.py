"""Several augmentations of one decoded clip."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms import coordinates
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Repeat:
    """Augment the same decoded clip several times, with different random values.

    `video` (v t h w c) -> (times*v t h w c). This gives more views of a sample for one decoding,
    which takes most of the time (Hoffer et al., Augment your batch, 2020).

    Attributes:
      steps: the augmentations.
      times: number of repetitions.

    Raises:
      UserError: a step changes a key that all views share, such as the label.
    """

    steps: tuple[Transform, ...]
    times: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        coordinates.refuse(sample, "repeated augmentation")
        videos = []
        for _ in range(self.times):
            out = sample
            for step in self.steps:
                out = step(out, rng)
            for key, value in out.items():
                if key != "video" and value is not sample.get(key):
                    raise UserError(f"repeated augmentation cannot change the {key} of some views")
            videos.append(out["video"])
        return sample | {"video": np.concatenate(videos)}
