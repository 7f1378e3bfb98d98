"""A window of a feature bank around a key frame."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.errors import UserError


@dataclass(frozen=True)
class SampleBank:
    """Take the features of people at the times around the key frame from a feature bank.

    `bank`, an `annotations.feature_bank.Entries`, becomes float16 (window entries, channels), with
    zeros where there are fewer people than entries. With a window of 0, there is no bank.

    Attributes:
      window: Number of units of time, half of them before the key frame.
      entries: Number of people at each of them. If there are more, training draws them at random,
        and otherwise the first are used.
      channels: Number of channels of the bank.
      train: Whether to draw at random.

    Raises:
      UserError: There is no bank for a window, no window for a bank, or other channels in the bank.
    """

    window: int
    entries: int
    channels: int
    train: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if not self.window and "bank" not in sample:
            return sample
        if not self.window:
            raise UserError(
                "the data have a feature bank, which config.data.recipe.bank_window=0 does not use;"
                " set the option bank of the source to ''"
            )
        if "bank" not in sample:
            raise UserError(
                "this model needs a feature bank: set config.data.train.bank and"
                " config.data.val.bank, or for single videos, use jaxvid.inference.detect"
            )
        features, rows, times = sample["bank"]
        if features.shape[1] != self.channels:
            raise UserError(
                f"the feature bank has {features.shape[1]} channels, but"
                f" config.data.recipe.bank_channels={self.channels}"
            )
        place = np.floor(times + self.window // 2 + 0.5)
        found = np.zeros((self.window, self.entries, self.channels), np.float16)
        for i in np.unique(place[(place >= 0) & (place < self.window)]).astype(int):
            own = rows[place == i]
            own = np.sort((rng.permutation(own) if self.train else own)[: self.entries])
            found[i, : len(own)] = features[own]
        return sample | {"bank": found.reshape(-1, self.channels)}
