"""Every golden output of a published model, reproduced on the recipe's deterministic weights."""

import json
import os
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.ckpt.convert import convert, export

GOLDENS = os.environ.get("JAXVID_GOLDENS", "")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not GOLDENS, reason="JAXVID_GOLDENS names no folder of golden outputs"),
]

# golden -> (model spec, number of classes, upstream)
CASES = {
    "swin_tiny": (dict(name="swin", variant="tiny"), 400, "mmaction"),
    "swin_small": (dict(name="swin", variant="small"), 400, "mmaction"),
    "swin_base": (dict(name="swin", variant="base"), 400, "mmaction"),
    "swin_large": (dict(name="swin", variant="large"), 400, "mmaction"),
    "swin_base_w1677_sthv2": (
        dict(name="swin", variant="base", window=(16, 7, 7)), 174, "mmaction",
    ),
    "swin_tiny_w1677_odd": (
        dict(name="swin", variant="tiny", window=(16, 7, 7)), 174, "mmaction",
    ),
}  # fmt: skip


def recipe_weight(name, shape):
    """The rule by which the goldens' weights were drawn (from the name alone)."""
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    leaf = name.split(".")[-1]
    if leaf == "running_var":
        return 1 + 0.2 * np.abs(z)
    if leaf.endswith("weight") and len(shape) == 1:
        return 1 + 0.1 * z
    if leaf.endswith("weight") and len(shape) >= 2:
        return z / np.sqrt(np.prod(shape[1:]))
    return 0.1 * z


def load_golden(name):
    folder = Path(GOLDENS)
    return json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}.npz")


def build(name):
    """Model, its variables filled by the recipe, and the golden."""
    spec, classes, upstream = CASES[name]
    about, arrays = load_golden(name)
    model = plug.load("models", spec, num_classes=classes)
    table = plug.module("models", spec["name"]).WEIGHTS[upstream]
    n, v, c, t, h, w = about["input"]
    video = jax.ShapeDtypeStruct((n * v, t, h, w, c), jnp.float32)
    abstract = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), video)
    tensors = {
        row[0]: recipe_weight(row[0], row[1]) for row in about["state_dict"] if row[3] == "rand"
    }
    variables, coverage = convert(tensors, abstract, table)
    assert coverage.tensors == coverage.leaves == len(tensors)
    return model, variables, about, arrays


@pytest.mark.parametrize("name", CASES)
def test_logits_and_features(name):
    model, variables, about, arrays = build(name)
    x = np.random.default_rng(0).standard_normal(about["input"]).astype(np.float32)
    x = x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 4, 1)  # n v c t h w -> (n v) t h w c
    out, seen = jax.jit(
        lambda v, x: model.apply(
            v, x, train=False, capture_intermediates=lambda m, _: m.name == "backbone"
        )
    )(variables, x)
    features = np.asarray(seen["intermediates"]["backbone"]["__call__"][0])

    tolerance = max(2e-5, 20 * (about.get("f32_vs_f64") or {}).get("logits", {}).get("rel", 0))
    for got, want in (
        (out, arrays["logits"]),
        (features.mean((1, 2, 3)), arrays["backbone_mean"]),
        (features.transpose(0, 4, 1, 2, 3).ravel()[:256], arrays["backbone_slice"]),
    ):
        assert np.abs(np.asarray(got) - want).max() / np.abs(want).max() < tolerance


@pytest.mark.parametrize("name", CASES)
def test_export_is_the_published_state_dict(name):
    """Names, order, shapes and dtypes, upstream's buffers included; and back, bit for bit."""
    model, variables, about, _ = build(name)
    spec, _, upstream = CASES[name]
    table = plug.module("models", spec["name"]).WEIGHTS[upstream]
    tensors = export(variables, table, model)
    want = [(row[0], tuple(row[1]), row[2]) for row in about["state_dict"]]
    assert [(k, v.shape, v.dtype.name) for k, v in tensors.items()] == want
    again, _ = convert(tensors, variables, table)
    for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(again), strict=True):
        assert a.tobytes() == b.tobytes()


def test_gradients_match_the_training_check():
    """One training step of Swin-T: loss and gradient norm of every parameter."""
    model, variables, about, _ = build("swin_tiny")
    check = about["train"]
    x = (
        np.random.default_rng(check["input_seed"])
        .standard_normal(check["input"])
        .astype(np.float32)
    )
    x = x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 4, 1)
    labels = jnp.array(check["labels"])

    def loss(params):
        # Dropout and drop path are 0 in the check, which is what evaluation mode computes.
        logits = model.apply({"params": params}, x, train=False)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    value, grads = jax.jit(jax.value_and_grad(loss))(variables["params"])
    assert abs(value - check["total_loss"]) / check["total_loss"] < 2e-5

    table = plug.module("models", "swin").WEIGHTS["mmaction"]
    # Norms of the float64 run: the float32 one sums long gradients less exactly than XLA does.
    norms = {k: np.float32(v) for k, v in check["f64"]["grad_l2_per_param"].items()}
    mine = jax.tree.map(lambda g: jnp.linalg.norm(g.ravel()), grads)
    # The same table carries the norms: each becomes a "tensor" for the leaf it belongs to.
    shapes = {row[0]: row[1] for row in about["state_dict"]}
    tensors = {k: np.full(shapes[k], v) for k, v in norms.items()}
    placed, _ = convert(tensors, {"params": grads}, table)
    want = jax.tree.map(lambda a: a.ravel()[0], placed["params"])
    for got, ref in zip(jax.tree.leaves(mine), jax.tree.leaves(want), strict=True):
        assert abs(got - ref) <= 1e-4 * ref + 1e-6 * check["grad_l2"]
