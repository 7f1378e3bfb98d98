"""A row of the tables of goldens, and the layouts that several tables use.

Shapes: n samples, v views, s segments (frames of a 2-D recognizer), c channels, t frames, h height,
w width, m people, j joints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
from einops import rearrange

from jaxvid.weights.convert import Weights


@dataclass(frozen=True)
class Case:
    """How one golden is reproduced.

    Attributes:
      model: spec; the number of classes follows from the golden.
      inputs: the golden's input, an array or a dict of arrays -> the model's keyword arguments.
      features: einops pattern, or a function, that turns what our backbone gives into what
        upstream's does.
      upstream: the rename table.
      train: overrides that take chance out of training.
      smoothing: label smoothing of the published training loss.
      loss: what our model gives -> the published training loss, or its terms by name; None is the
        cross-entropy.
      outputs: what our model gives -> what upstream's does, under the golden's names.
      tokens: name of a module inside our backbone, or a path such as "head/fc_norm"; what it gives
        is what upstream's backbone does.
      inner: names of modules inside, separated by spaces; `outputs` is given what they give, after
        what the model does.
      in_tuple: upstream's backbone gives its only feature map in a tuple.
      double: evaluate in float64, for models whose float32 noise hides errors.
      classes: number of classes of the model, if it is not the width of the golden's output.
      make: overrides of the model -> the model, if it is no recognizer of a family.
      table: rename table, if it is none of the family.
      adapted: variables whose published tensors have another shape.
      unused: pattern of published tensors that have no part in the outputs and no place in ours.
      arrays: names of arrays of the golden that are inputs, too.
      absolute: bound of max|a - b| for outputs whose spread is too small for a relative one.
    """

    model: Mapping[str, Any]
    inputs: Callable[[Any], dict[str, Any]]
    features: str | Callable[[Any], Any]
    upstream: str = "mmaction"
    train: Mapping[str, Any] = field(default_factory=lambda: dict(dropout=0.0))
    smoothing: float = 0.0
    loss: Callable[[Any], Any] | None = None
    outputs: Callable[..., Any] = lambda out: out
    tokens: str = ""
    inner: str = ""
    in_tuple: bool = False
    double: bool = False
    make: Callable[..., nn.Module] | None = None
    table: Weights | None = None
    adapted: tuple[str, ...] = ()
    unused: str = ""
    arrays: tuple[str, ...] = ()
    absolute: float | None = None
    classes: int = 0


def segments(x):
    return {"video": rearrange(x, "n s c h w -> n s h w c")}


def clips(x):
    return {"video": rearrange(x, "n v c t h w -> (n v) t h w c")}


def of_frames(name, variant, **options):
    """A 2-D recognizer."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, segments, "n t h w c -> (n t) c h w")


def of_clips(name, variant, **options):
    """A 3-D recognizer."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, clips, "n t h w c -> n c t h w")
