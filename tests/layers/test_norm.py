"""Batch normalization against formulas, PyTorch, and itself on parts of the batch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxvid.distributed import mesh as meshes
from jaxvid.layers.norm import BatchNorm
from tests.conftest import ROWS, crossings

C = 3
SHAPE = (8, 2, 5, C)
X = np.random.default_rng(0).standard_normal(SHAPE) * [1, 2, 5] + [0, 10, -3]
X = X.astype(np.float32)
BACK = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)  # a cotangent
VARIABLES = {
    "params": {
        "scale": np.array([1, -0.5, 2], np.float32),
        "bias": np.array([0.1, 0, -1], np.float32),
    },
    "batch_stats": {
        "mean": np.array([0.5, 9, 0], np.float32),
        "var": np.array([2, 1, 0.5], np.float32),
    },
}


def apply(x, train=True, variables=VARIABLES, **options) -> Any:
    """(y, running statistics after it)."""
    mutable = ["batch_stats"] if train else False
    y = BatchNorm(**options).apply(variables, x, train=train, mutable=mutable)
    return (y[0], y[1]["batch_stats"]) if train else (y, variables["batch_stats"])


def normalized(x, mean, var, epsilon=1e-5):
    params = VARIABLES["params"]
    y = (np.asarray(x, np.float64) - mean) / np.sqrt(var + epsilon)
    return y * params["scale"] + params["bias"]


def same(a, b, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), a, b)


@pytest.mark.parametrize("options,momentum", [({}, 0.9), (dict(momentum=0.6, epsilon=0.1), 0.6)])
def test_training_normalizes_by_the_batch_and_keeps_unbiased_statistics(options, momentum):
    y, stats = apply(X, **options)
    rows = X.reshape(-1, C).astype(np.float64)
    want = normalized(X, rows.mean(0), rows.var(0), options.get("epsilon", 1e-5))
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    old = VARIABLES["batch_stats"]
    new = {"mean": rows.mean(0), "var": rows.var(0, ddof=1)}
    same(stats, {k: momentum * old[k] + (1 - momentum) * new[k] for k in old}, rtol=1e-5)


@pytest.mark.parametrize("options", [dict(train=False), dict(frozen=True)])
def test_evaluation_and_frozen_layers_take_the_running_statistics(options):
    y, stats = apply(X, **options)
    old = VARIABLES["batch_stats"]
    np.testing.assert_allclose(y, normalized(X, old["mean"], old["var"]), rtol=1e-5, atol=1e-5)
    same(stats, old)


def test_pytorch_agrees():
    torch = pytest.importorskip("torch", reason="compares with PyTorch's layer")
    layer = torch.nn.BatchNorm2d(C)
    for ours, theirs in (("params", ("weight", "bias")), ("batch_stats", ("mean", "var"))):
        for value, name in zip(VARIABLES[ours].values(), theirs, strict=True):
            getattr(
                layer, f"running_{name}" if ours == "batch_stats" else name
            ).data = torch.from_numpy(value.copy())
    x = torch.from_numpy(X).permute(0, 3, 1, 2).requires_grad_()
    y = layer(x)
    (y.permute(0, 2, 3, 1) * torch.from_numpy(BACK)).sum().backward()

    def loss(params, x):
        y, stats = apply(x, variables=VARIABLES | {"params": params})
        return (y * BACK).sum(), (y, stats)

    gradient = jax.grad(loss, (0, 1), has_aux=True)
    (params, dx), (got, stats) = gradient(VARIABLES["params"], X)
    close: dict[str, Any] = dict(rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got, y.detach().permute(0, 2, 3, 1), **close)
    np.testing.assert_allclose(dx, x.grad.permute(0, 2, 3, 1), **close)
    same(params, {"scale": layer.weight.grad.numpy(), "bias": layer.bias.grad.numpy()}, **close)
    same(stats, {"mean": layer.running_mean.numpy(), "var": layer.running_var.numpy()}, **close)


def test_gradients_flow_through_the_statistics():
    """The mean and the spread of a batch do not change the normalized batch: no gradient."""
    gradient = jax.grad(lambda x: (apply(x)[0] * BACK).sum())(X)
    np.testing.assert_allclose(gradient.sum((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose((gradient * X).sum((0, 1, 2)), 0, atol=1e-3)
    assert np.abs(gradient).max() > 0.1
    frozen = jax.grad(lambda x: (apply(x, frozen=True)[0] * BACK).sum())(X)
    assert np.abs(frozen.sum((0, 1, 2))).max() > 0.1


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_groups_are_batches_of_their_own(groups):
    y, stats = apply(X, groups=groups)
    parts = [apply(part) for part in np.split(X, groups)]
    np.testing.assert_allclose(y, np.concatenate([y for y, _ in parts]), rtol=1e-5, atol=1e-5)
    want = jax.tree.map(lambda *s: np.mean(s, 0), *(stats for _, stats in parts))
    same(stats, want, rtol=1e-5)
    assert np.abs(y - apply(X)[0]).max() > 0.1


def test_groups_are_for_training():
    same(apply(X, train=False, groups=4)[0], apply(X, train=False)[0])


def test_one_value_has_no_unbiased_variance():
    _, stats = apply(X[:1, :1, :1])
    np.testing.assert_allclose(stats["var"], 0.9 * VARIABLES["batch_stats"]["var"], rtol=1e-6)


def test_bfloat16_keeps_float32_statistics():
    x = jnp.asarray(X, jnp.bfloat16)
    y, stats = apply(x, dtype=jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    assert {s.dtype for s in stats.values()} == {jnp.dtype("float32")}
    exact = x.astype(jnp.float32)
    want, wanted = apply(exact)
    np.testing.assert_array_equal(y, want.astype(jnp.bfloat16))
    evaluated = apply(x, train=False, dtype=jnp.bfloat16)[0]
    want = apply(exact, train=False)[0]
    np.testing.assert_array_equal(evaluated, want.astype(jnp.bfloat16))
    same(stats, wanted, rtol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_init_does_not_move_the_running_statistics(train):
    variables: Any = BatchNorm().init(jax.random.key(0), X, train=train)
    want = {
        "params": {"scale": np.ones(C), "bias": np.zeros(C)},
        "batch_stats": {"mean": np.zeros(C), "var": np.ones(C)},
    }
    same(variables, want)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_on_eight_devices_every_kind_is_that_of_numpy():
    """Synchronized, per device, in sub-batches that span devices or divide them, and frozen."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((16, 2, 2, C)).astype(np.float32)
    x += np.arange(16, dtype=np.float32)[:, None, None, None]
    kinds: list[dict[str, Any]] = [
        *(dict(groups=groups) for groups in (1, 8, 2, 16)),
        dict(frozen=True),
    ]
    rows = jax.device_put(x, meshes.over_data(meshes.build(8, 1)))
    found = jax.jit(lambda x: [apply(x, **kind) for kind in kinds])(rows)
    old = VARIABLES["batch_stats"]
    for kind, (y, stats) in zip(kinds, found, strict=True):
        if "frozen" in kind:
            want, kept = normalized(x, old["mean"], old["var"]), old
        else:
            parts = [part.reshape(-1, C).astype(np.float64) for part in np.split(x, kind["groups"])]
            done = [normalized(part, part.mean(0), part.var(0)) for part in parts]
            want = np.concatenate(done).reshape(x.shape)
            new = {"mean": [part.mean(0) for part in parts]}
            new["var"] = [part.var(0, ddof=1) for part in parts]
            kept = {k: 0.9 * old[k] + 0.1 * np.mean(new[k], 0) for k in old}
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)
        same(stats, kept, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_a_sharded_batch_is_normalized_as_a_whole(groups):
    """SyncBN: eight devices give one device's numbers and gradients, and send no activation."""
    mesh = meshes.build(8, 1)
    rng = np.random.default_rng(2)
    x, back = rng.standard_normal((2, ROWS, 2, 2, C)).astype(np.float32)
    x += np.arange(ROWS, dtype=np.float32)[:, None, None, None]

    def loss(params, x):
        y, stats = apply(x, variables=VARIABLES | {"params": params}, groups=groups)
        return (y * back).sum(), (y, stats)

    gradient = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    want = gradient(VARIABLES["params"], x)
    rows = jax.device_put(x, meshes.over_data(mesh))
    params = jax.device_put(VARIABLES["params"], meshes.replicated(mesh))
    compiled = gradient.lower(params, rows).compile()
    assert crossings(compiled.as_text() or "") == []
    got = compiled(params, rows)
    assert got[1][0].sharding.spec == PartitionSpec("data")
    same(got, want, rtol=1e-4, atol=1e-4)


def test_the_backward_pass_keeps_the_input_in_its_own_dtype():
    x = jax.ShapeDtypeStruct(SHAPE, jnp.bfloat16)
    _, transpose = jax.eval_shape(
        lambda x: jax.vjp(lambda x: apply(x, dtype=jnp.bfloat16)[0], x), x
    )
    large = [leaf for leaf in jax.tree.leaves(transpose) if leaf.size >= x.size]
    assert [(leaf.size, leaf.dtype) for leaf in large] == [(x.size, x.dtype)]
