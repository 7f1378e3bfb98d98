"""A golden of a tiny network of ours, written as upstream's are: what the harness is tested on."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import plug
from jaxvid.weights.convert import convert, export
from tests.conftest import fill
from tests.parity.check import double_precision
from tests.parity.golden import weight

CLASSES = 5


def video(x):
    """(n, s, c, h, w) or (n, 1, c, t, h, w) -> (n, t, h, w, c)."""
    return x[:, 0].transpose(0, 2, 3, 4, 1) if x.ndim == 6 else x.transpose(0, 1, 3, 4, 2)


def features(x, shape):
    """(n, t, h, w, c) -> (n t, c, h, w) or (n, c, t, h, w), for an input of `shape`."""
    x = np.asarray(x)
    if len(shape) == 6:
        return x.transpose(0, 4, 1, 2, 3)
    return x.transpose(0, 1, 4, 2, 3).reshape(-1, x.shape[-1], *x.shape[2:4])


def write(folder: Path, name: str, spec: dict, shape, seed=0, classes=CLASSES, **about):
    """NAME.json and NAME.npz of the model of `spec` in evaluation mode.

    Returns:
      its JSON and its arrays, for `train` and for files that differ.
    """
    net, table = model(spec, classes)
    x = video(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
    abstract = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
    rows, tensors = [], {}
    for key, tensor in export(fill(abstract), table, net).items():
        kind = "rand" if tensor.dtype == np.float32 else "skip"
        rows.append([key, tensor.shape, tensor.dtype.name, kind])
        if kind == "rand":
            tensors[key] = weight(key, tensor.shape)
    variables, _ = convert(tensors, abstract, table, net=net)

    @jax.jit
    def forward(variables, x):
        seen = net.bind(variables).backbone(x, train=False)
        return net.apply(variables, x, train=False), seen

    out, seen = forward(variables, x)
    seen = features(seen, shape)
    mean = seen.reshape(*seen.shape[:2], -1).mean(-1)
    arrays = dict(logits=out, backbone_mean=mean, backbone_slice=seen.ravel()[:256])
    return save(folder, name, dict(input=shape, state_dict=rows, **about), arrays)


def save(folder, name, about, arrays):
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    (folder / f"{name}.json").write_text(json.dumps(about))
    np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    return about, arrays


def train(about: dict, spec: dict, shape, seed=7) -> dict:
    """The record of one step of training of the model whose JSON is `about`."""
    labels = [(3 + 7 * i) % CLASSES for i in range(shape[0])]
    x = video(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
    tensors = {row[0]: weight(*row[:2]) for row in about["state_dict"] if row[3] == "rand"}
    with double_precision():
        net, table = model(spec, CLASSES, dtype=jnp.float64)
        abstract = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
        variables, _ = convert(tensors, abstract, table, net=net)

        def loss(params, rest):
            everything = dict(rest, params=params)
            out, changed = net.apply(everything, x, train=True, mutable=["batch_stats"])
            rows = jax.nn.log_softmax(out)
            return -sum(rows[i, label] for i, label in enumerate(labels)) / len(labels), changed

        params = variables.pop("params")
        (value, changed), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, variables)
    named = export({"params": grads, **changed}, table, net)
    norms = {k: float(np.sqrt((np.float64(v) ** 2).sum())) for k, v in named.items()}
    learned = {k: v for k, v in norms.items() if k in tensors and ".running_" not in k}
    numbers = dict(
        losses=dict(top1_acc=0.0, loss_cls=float(value)),
        total_loss=float(value),
        grad_l2=sum(v**2 for v in learned.values()) ** 0.5,
        grad_l2_per_param=learned,
        bn_running_stats_l2_after_one_forward={k: v for k, v in norms.items() if ".running_" in k},
    )
    return dict(numbers, input=shape, input_seed=seed, labels=labels, f64=numbers)


def model(spec, classes, **overrides):
    module = plug.module("models", spec["name"])
    net = plug.load("models", dict(spec, **overrides), num_classes=classes)
    return net, module.WEIGHTS["mmaction"]
