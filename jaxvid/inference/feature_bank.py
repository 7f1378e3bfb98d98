"""Features of people for feature banks: those that a detector classifies, before its classifier.

Shapes: b key frames, n boxes, c channels, p q bins of a box or positions of a map.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.data.annotations.feature_bank import Entries
from jaxvid.errors import UserError

if TYPE_CHECKING:
    from jaxvid.inference.model import Model


class BoxFeatures:
    """Computes the features of the proposals of key frames.

    Args:
      model: A detector that needs no bank itself.

    Raises:
      UserError: The model is no such detector.
    """

    def __init__(self, model: "Model"):
        if model.config["task"]["name"] != "detection" or needs_bank(model):
            raise UserError(
                f"{model.source}: a feature bank is made by a detector that needs none itself, such"
                " as slowonly_r50_4x16_ava21"
            )
        self.model = model
        self._step = jax.jit(partial(_features, model.net, model.task))

    def __call__(self, batch: Mapping[str, Any]) -> np.ndarray:
        """Return float16 (b, n, c), also for proposals that are padding."""
        return np.asarray(self._step(self.model.variables, dict(batch)))


def needs_bank(model: "Model") -> bool:
    """Return whether a model needs a feature bank."""
    return bool(model.config["data"]["recipe"].get("bank_window"))


def _features(net, task, variables, batch):
    batch = task.prepare(jax.random.key(0), batch, train=False)
    _, state = net.apply(
        variables,
        **task.inputs(batch),
        train=False,
        capture_intermediates=lambda module, _: module.name == "dropout",
        mutable=["intermediates"],
    )
    (rois,) = state["intermediates"]["head"]["dropout"]["__call__"]  # (b, r, p, q, c)
    proposals = rois[:, -batch["proposals"].shape[1] :]
    return proposals.max((2, 3)).astype(jnp.float16)


def with_banks(maker: "Model", samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return samples of key frames of one video, each with the bank of all of them.

    Args:
      maker: The detector that makes the bank.
      samples: Samples with `path`, `time` and `proposals`.
    """
    compute, found = BoxFeatures(maker), []
    for sample in samples:
        count = len(sample["proposals"])
        found.append(compute(maker.batch(sample))[0, :count])
    features = np.concatenate(found)
    times = np.repeat([float(s["time"]) for s in samples], [len(rows) for rows in found])
    rows = np.arange(len(features))
    return [{**s, "bank": Entries(features, rows, times - float(s["time"]))} for s in samples]
