"""Our numbers beside a golden's: outputs and features, and one step of training."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import rearrange

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.ops.losses import cross_entropy
from jaxvid.weights import resolve
from jaxvid.weights.convert import Weights, convert, export
from tests.parity.cases import Case
from tests.parity.golden import NOISE, Golden, digest

DOUBLE = 1e-6  # relative, of float64 against float64
TINY = 1e-6  # of the global norm: below it a gradient is zero but for rounding


@dataclass(frozen=True)
class Check:
    """One comparison: it passes when error <= tolerance, and fails for NaN."""

    what: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.tolerance)

    def share(self) -> float:
        """Error as a share of the tolerance."""
        return np.nan_to_num(self.error / self.tolerance, nan=np.inf)


def table(case: Case, net: nn.Module) -> Weights:
    """The rename table of a row."""
    return case.table or resolve.tables(case.model, net)[case.upstream]


def build(case: Case, num_classes: int, **overrides) -> nn.Module:
    if case.make:
        return case.make(**overrides)
    # As an argument and not a part of the spec, the dtype reaches a backbone by spec, too.
    given = {key: overrides.pop(key) for key in ("dtype",) if key in overrides}
    known: dict[str, Any] = dict(num_classes=num_classes, **given)
    return plug.load("models", {**case.model, **overrides}, **known)


def shapes(net: nn.Module, inputs: Mapping) -> Any:
    """The variables of `net`, traced."""
    key = jax.random.key(0)
    return jax.eval_shape(lambda x: net.init(key, **x, train=False), inputs)


def load(golden: Golden, net: nn.Module, inputs: Mapping) -> dict:
    """Variables that hold the golden's tensors.

    Raises:
      UserError: a tensor without a place, or a leaf without a tensor.
    """
    variables, _ = convert(golden.tensors(), shapes(net, inputs), table(golden.case, net), net=net)
    learned = [variables[k] for k in ("params", "batch_stats") if k in variables]
    ours = sum(leaf.size for leaf in jax.tree.leaves(learned))
    if ours != golden.parameters and not golden.case.adapted:
        raise UserError(f"{golden.name} has {golden.parameters:,} parameters, the model {ours:,}")
    return variables


def outputs(golden: Golden) -> list[Check]:
    """Outputs and features in evaluation mode."""
    with double_precision() if golden.case.double else contextlib.nullcontext():
        return _outputs(golden)


def _outputs(golden: Golden) -> list[Check]:
    case, dtype = golden.case, jnp.float64 if golden.case.double else jnp.float32
    net = build(case, golden.num_classes, dtype=dtype)
    inputs = jax.tree.map(lambda x: _of_type(x, dtype), case.inputs(golden.input))

    place = case.tokens if "/" in case.tokens else f"backbone/{case.tokens}".rstrip("/")
    captured = ("backbone", place.split("/")[-1], *case.inner.split())

    @jax.jit
    def forward(variables, inputs):
        return net.apply(
            variables,
            **inputs,
            train=False,
            capture_intermediates=lambda module, _: module.name in captured,
        )

    variables = load(golden, net, inputs)
    out, seen = forward(variables, inputs)
    inner = [
        value
        for path, value in jax.tree_util.tree_leaves_with_path(seen)
        if {getattr(key, "key", None) for key in path} & set(case.inner.split())
    ]
    found = named("logits", case.outputs(out, *inner))
    kept = {} if case.double else golden.features  # which were recorded in float32
    features = seen["intermediates"]
    for part in place.split("/"):
        features = features[part]
    features = features["__call__"][-1]  # of nested calls the outermost
    features = (features,) if case.in_tuple else features
    features = case.features(features) if callable(case.features) else features
    for name, value in named("backbone", features).items():
        value = np.asarray(value)
        value = value if callable(case.features) else rearrange(value, case.features)
        axes = (1,) if value.ndim == 3 else tuple(range(2, value.ndim))  # 3: tokens (n, t, c)
        found[f"{name}_mean"] = value.mean(axis=axes)
        found[f"{name}_slice"] = value.ravel()[:256]

    checks = constants(golden, net, variables)
    tolerance = max(map(golden.tolerance, golden.outputs))
    for name, want in {**golden.outputs, **kept}.items():
        if name not in found:
            raise UserError(f"{golden.name}: the model gives {', '.join(found)}, not {name}")
        if name in golden.features:
            checks.append(Check(name, relative(found[name], want), tolerance))
        elif case.double:
            checks.append(Check(name, relative(found[name], golden.arrays[f"{name}_f64"]), DOUBLE))
        elif case.absolute:
            checks.append(Check(name, distance(found[name], want), case.absolute))
        else:
            checks.append(Check(name, relative(found[name], want), golden.tolerance(name)))
    return checks


def constants(golden: Golden, net: nn.Module, variables: Mapping) -> list[Check]:
    """What upstream's constructor computed, beside what we export for it."""
    if not golden.constants and not golden.digests:
        return []
    ours = export(variables, table(golden.case, net), net)
    nothing = np.zeros(0)
    kept, hashed = golden.constants.items(), golden.digests.items()
    return [
        *(Check(name, relative(ours.get(name, nothing), want), NOISE) for name, want in kept),
        *(Check(name, digest(ours.get(name, nothing)) != want, 0.5) for name, want in hashed),
    ]


def training(golden: Golden, double: bool = True) -> list[Check]:
    """Loss, gradient norms and running statistics of one step, in float64 or in float32.

    Float64 may differ from float64 by 1e-6, float32 by five times what it did when the golden was
    made: that is up to a third for single gradients, so only float64 finds small errors.
    """
    return compare(*step(golden, double), golden.about["train"], double)


def step(golden: Golden, double: bool) -> tuple[dict, dict]:
    """Loss terms, and by torch name the norms of gradients and running statistics."""
    case, record = golden.case, golden.about["train"]
    with double_precision() if double else contextlib.nullcontext():
        dtype = jnp.float64 if double else jnp.float32
        net = build(case, golden.num_classes, **case.train, dtype=dtype)
        inputs = jax.tree.map(lambda a: _of_type(a, dtype), case.inputs(golden.train_input))
        variables = jax.tree.map(lambda a: jnp.asarray(a, dtype), load(golden, net, inputs))
        labels = jnp.array(record["labels"] or [])

        def loss(params, rest, inputs, labels):
            everything = {"params": params, **rest}
            out, changed = net.apply(everything, **inputs, train=True, mutable=["batch_stats"])
            if case.loss:
                value = case.loss(out)
                terms = value if isinstance(value, Mapping) else {"loss": value}
                return sum(terms.values()), (dict(terms), changed)
            target = jax.nn.one_hot(labels, golden.num_classes, dtype=dtype)
            value = cross_entropy(out, optax.smooth_labels(target, case.smoothing)).mean()
            return value, ({"loss_cls": value}, changed)

        params = variables.pop("params")
        found = jax.jit(jax.grad(loss, has_aux=True))(params, variables, inputs, labels)
    grads, (losses, changed) = jax.tree.map(np.asarray, found)
    # The table that names tensors names their gradients too, in upstream's layouts.
    tensors = export({"params": grads, **changed}, table(case, net), net)
    return losses, {name: np.linalg.norm(np.float64(t)) for name, t in tensors.items()}


def _of_type(x, dtype):
    """Return floating point numbers in a type, and integers as they are."""
    return jnp.asarray(x, dtype) if x.dtype == np.float32 else x


def compare(losses: Mapping, norms: Mapping, record: Mapping, double: bool) -> list[Check]:
    """Checks of loss terms and of norms, by torch name, against a training record."""
    exact = record.get("f64") or {}
    want = {**record, **exact}

    def bound(noise):
        return DOUBLE if double and exact else max(NOISE, 5 * noise)

    terms = {name: value for name, value in want["losses"].items() if "loss" in name}
    terms["total"] = want["total_loss"]
    losses = {**losses, "total": sum(losses.values())}
    where, errors = differences(losses, terms)
    checks = [Check(f"loss ({where})", errors.max(), bound(want.get("loss_rel_noise_f32", 0)))]

    grads = want["grad_l2_per_param"]
    ours = {name: norms.get(name, np.nan) for name in grads}
    error = abs(np.linalg.norm(list(ours.values())) - want["grad_l2"]) / want["grad_l2"]
    checks.append(Check("gradient", error, bound(want.get("grad_l2_rel_noise_f32", 0))))
    noise = want.get("per_param_grad_rel_noise_f32", {})
    where, errors = differences(ours, grads, TINY * want["grad_l2"])
    checks.append(Check(f"gradients ({where})", errors.max(), bound(noise.get("max", 0))))
    checks.append(Check("median", np.median(errors), bound(noise.get("median", 0))))

    if stats := want["bn_running_stats_l2_after_one_forward"]:
        where, errors = differences(norms, stats)
        checks.append(Check(f"statistics ({where})", errors.max(), bound(0)))
    return checks


def differences(got: Mapping, want: Mapping, least: float = 0) -> tuple[str, np.ndarray]:
    """The name that differs most, and the relative errors of all that are at least `least`."""
    kept = {name: value for name, value in want.items() if abs(value) >= least}
    errors = {k: abs(got.get(k, np.nan) - v) / (abs(v) or 1) for k, v in kept.items()}
    values = np.array(list(errors.values()))
    return list(errors)[values.argmax()], values  # argmax and max find a NaN first


def named(prefix: str, out) -> dict[str, Any]:
    """What a model gives, under a golden's names."""
    if isinstance(out, Mapping):
        return {f"{prefix}_{key}": value for key, value in out.items()}
    if isinstance(out, tuple | list):  # the parts of the first part are called 0.0, 0.1 ...
        parts = (named(str(i), part) for i, part in enumerate(out))
        return {f"{prefix}_{key.replace('_', '.')}": x for part in parts for key, x in part.items()}
    return {prefix: out}


def distance(got, want) -> float:
    """max|a - b|, infinite where shapes differ: they would broadcast."""
    return float(np.abs(got - want).max()) if got.shape == want.shape else np.inf


def relative(got, want) -> float:
    """max|a - b| / max|b|."""
    return distance(got, want) / (float(np.abs(want).max()) or 1)


@contextlib.contextmanager
def double_precision():
    """Computes in float64 also what the library does in float32 whatever its dtype."""
    with jax.enable_x64(True), mock.patch.object(jnp, "float32", jnp.float64):
        yield
