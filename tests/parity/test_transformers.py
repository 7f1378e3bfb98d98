"""Families that Hugging Face's transformers has, beside it: small models with random weights.

Each row makes a model of transformers and ours, loads its tensors into ours by the rename table,
and compares outputs. It needs torch and transformers, which jaxvid does not depend on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
from einops import rearrange

from jaxvid import plug
from jaxvid.weights import resolve
from jaxvid.weights.convert import convert, export
from tests.parity.check import named, relative
from tests.parity.golden import draw, weight

pytestmark = pytest.mark.long
NOISE = 2e-5  # relative, of float32 against float32


@dataclass(frozen=True)
class Row:
    """A model of transformers, and ours with its weights.

    Attributes:
      model: Name of its class.
      config: Options of its config.
      spec: The spec of ours.
      shapes: Shapes of the inputs of ours, by name.
      feed: Inputs of ours -> keyword arguments of theirs, arrays.
      theirs: What theirs returns -> an array, or arrays by name.
      ours: What ours returns -> the same.
      change: Draws of standard normal numbers -> inputs of ours, such as masks.
      classes: Number of classes.
      upstream: The rename table.
    """

    model: str
    config: Mapping[str, Any]
    spec: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    feed: Callable[[Any], dict[str, Any]]
    theirs: Callable[[Any], Any] = lambda out: out.logits
    ours: Callable[[Any], Any] = lambda out: out
    change: Callable[[Any], dict[str, Any]] = lambda inputs: inputs
    classes: int = 5
    upstream: str = "transformers"


def channels_first(inputs):
    """A video as most models of transformers take it."""
    return {"pixel_values": rearrange(inputs["video"], "b t h w c -> b t c h w")}


VIDEOMAE: dict[str, Any] = dict(
    image_size=32,
    patch_size=8,
    num_frames=4,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=128,
    num_labels=5,
)
ROWS = {
    "videomae": Row(
        "VideoMAEForVideoClassification",
        VIDEOMAE,
        dict(
            name="videomae",
            variant="test",
            **dict(width=32, depth=3, heads=4, size=32, patch=(2, 8, 8)),
            **dict(epsilon=1e-12, norm_epsilon=1e-5),
        ),
        {"video": (2, 4, 32, 32, 3)},
        channels_first,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_model_of_transformers_is_ours_with_its_weights(name):
    torch, transformers = (pytest.importorskip(module) for module in ("torch", "transformers"))
    row = ROWS[name]
    kind = getattr(transformers, row.model)
    theirs = kind(kind.config_class(**row.config)).eval()
    tensors = {
        key: weight(key, tuple(x.shape)) if x.is_floating_point() else x.numpy()
        for key, x in theirs.state_dict().items()
    }
    theirs.load_state_dict({key: torch.from_numpy(np.asarray(x)) for key, x in tensors.items()})
    inputs = row.change(draw(dict(row.shapes), 0))
    with torch.no_grad():
        fed = {key: torch.from_numpy(np.asarray(x)) for key, x in row.feed(inputs).items()}
        want = row.theirs(theirs(**fed))

    net = plug.load("models", row.spec, num_classes=row.classes)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), inputs)
    table = resolve.tables(row.spec, net)[row.upstream]
    variables, _ = convert(tensors, shapes, table, net=net)
    out = jax.jit(lambda v, x: net.apply(v, **x, train=False))(variables, inputs)
    found = named("out", row.ours(out))
    for key, value in named("out", want).items():
        assert relative(np.asarray(found[key]), value.numpy()) < NOISE, key
    exported = export(variables, table, net)
    for key, value in exported.items():
        np.testing.assert_array_equal(value, tensors[key])
