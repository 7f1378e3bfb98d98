"""The side of PyTorch in a comparison: its module, its inputs, and the losses of both sides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Peer:
    """PyTorch's side of a comparison.

    Attributes:
      module: takes `inputs`.
      loss: of the outputs of the module.
      published: the part of the module whose tensors have the names of `upstream`; None where the
        module is not the published one.
      upstream: key of `WEIGHTS` of the family.
      family: the family whose `WEIGHTS` these are; "" for that of our model.
      our_loss: the same loss of the outputs of our model, as NumPy arrays.
    """

    module: Any
    inputs: tuple
    loss: Callable[[Any], Any]
    published: Any = None
    upstream: str = ""
    our_loss: Callable[[Any], float] = lambda out: float("nan")
    family: str = ""


def channels_first(video: np.ndarray, frames: bool = False):
    """(b, t, h, w, c) -> (b, c, t, h, w), or (b, t, c, h, w)."""
    import torch

    return torch.tensor(np.moveaxis(video, -1, 2 if frames else 1).copy())


def classification(rows: int) -> Callable[[Any], Any]:
    import torch

    target = torch.zeros(rows, dtype=torch.long)

    def loss(out):
        if isinstance(out, tuple):
            return loss(out[0]) + loss(out[1]) / 2
        return torch.nn.functional.cross_entropy(out.float(), target.to(out.device))

    return loss


def our_classification(out: Any) -> float:
    """Return the loss of our logits, as `classification` does for those of PyTorch."""
    if isinstance(out, tuple):  # those of an auxiliary classifier, too
        return our_classification(out[0]) + our_classification(out[1]) / 2
    logits = np.asarray(out, np.float64)
    top = logits.max(-1, keepdims=True)
    return float((np.log(np.exp(logits - top).sum(-1)) + top[..., 0] - logits[..., 0]).mean())
