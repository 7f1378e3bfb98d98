"""The pre-training of Hiera: places of hidden units, and joined features."""

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.config import loading, options
from jaxvid.models import hiera_pretrain
from tests.conftest import fill

NET = hiera_pretrain.build("test", size=32)
VIDEO = np.random.default_rng(0).standard_normal((1, 4, 32, 32, 3)).astype(np.float32)
VISIBLE, HIDDEN = np.array([[1, 6]]), np.array([[0, 2, 3, 4, 5, 7]])


def variables():
    return fill(
        jax.eval_shape(lambda: NET.init(jax.random.key(0), VIDEO, VISIBLE, HIDDEN, train=False))
    )


def test_places_are_those_of_the_units():
    """The order in which visible units are given makes no difference."""
    apply = jax.jit(lambda v, seen: NET.apply(v, VIDEO, seen, HIDDEN, train=False))
    found = variables()
    one, other = (np.asarray(apply(found, x)) for x in (VISIBLE, VISIBLE[:, ::-1]))
    assert one.shape == (1, 6 * 4, 8 * 8 * 3)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert one.std(1).min() > 1e-3  # places differ by their positions


def test_features_of_the_stages_that_are_finer_than_the_last_are_joined():
    decoder = jax.eval_shape(variables)["params"]["decoder"]
    assert {k: decoder[k]["kernel"].shape for k in decoder if k.startswith("fusion")} == {
        "fusion0": (1, 2, 2, 8, 32)
    }
    full = hiera_pretrain.build("base")
    shapes = jax.eval_shape(
        lambda x: full.init(jax.random.key(0), **x, train=False), hiera_pretrain.example("base")
    )["params"]
    found = {k: v["kernel"].shape for k, v in shapes["decoder"].items() if k.startswith("fusion")}
    assert found == {"fusion0": (1, 4, 4, 96, 768), "fusion1": (1, 2, 2, 192, 768)}
    assert sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes)) == 79_367_104


@pytest.mark.parametrize("variant", ["base", "mini"])
def test_the_task_restores_what_the_model_returns(variant):
    given = options.completed(loading.load(f"hiera_pretrain:{variant}").to_dict())
    net = plug.load("models", given["model"], num_classes=0)
    task = plug.load("tasks", given["task"], num_classes=0)
    frames, size = (given["data"]["recipe"][key] for key in ("frames", "size"))
    batch = {
        "video": jax.ShapeDtypeStruct((2, 1, frames, size, size, 3), np.uint8),
        "mask": jax.ShapeDtypeStruct((2,), np.float32),
    }

    def run(batch):
        batch = task.prepare(jax.random.key(0), batch, train=True)
        out = net.init_with_output(jax.random.key(0), **task.inputs(batch), train=False)[0]
        return out, task.targets(batch)

    out, target = jax.eval_shape(run, batch)
    assert out.shape == target.shape
    units = frames // 2 * (size // (32 if variant == "base" else 16)) ** 2
    hidden = units - int(round(1 - given["task"]["ratio"], 6) * units)
    assert out.shape[:2] == (2, 4 * hidden)
