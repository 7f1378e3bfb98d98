"""Eight devices compute what one does, in every layout, and keep their rows of the batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import param_rules
from jaxvid.distributed import mesh as meshes
from tests.conftest import ROWS, crossings, fill
from tests.models.test_contract import FAMILIES, inputs, make, trace, variables_of

pytestmark = pytest.mark.long

# Families whose gradients differ by more than the bounds below; their losses and statistics do not.
# The padding of TriDet has equal values, and rounding decides which of them a maximum is.
ROUGH = ("msg3d", "rtmdet", "tridet")
# One family of each kind of network. The others take minutes together.
KINDS = {
    *("actionformer", "bmn", "clip", "fast_rcnn", "mvit", "slowfast", "stgcnpp", "swin", "tin"),
    *("tsm", "uniformerv2", "videomae", "vindlu", "vjepa2", "x3d"),
}
LEFT_OUT = {"rtmpose"}  # does not pass yet, for a reason that is not known
# Options of test variants whose kernels have no dimension that eight divides.
OPTIONS = {
    "msg3d": dict(widths=(6, 6, 24)),
    "stgcnpp": dict(widths=(24, 24, 48)),
    "vindlu": dict(group=11),
}


def example(family):
    """Inputs of ROWS rows, each with a scale of its own, so that variances over rows are large."""
    rng = np.random.default_rng(0)

    def draw(name, leaf):
        shape = ROWS, *leaf.shape[1:]
        if name == "grid":  # of patches, fewer than there are tokens
            return np.full(shape, 3, np.int32)
        if leaf.dtype == np.int32:
            return rng.integers(1, 8, shape, np.int32)
        if name == "boxes":
            return rng.uniform(0, 16, shape).astype(np.float32) + np.float32([0, 0, 16, 16])
        rows = rng.uniform(0.5, 2, (ROWS, *[1] * (len(shape) - 1)))
        return (rows * rng.standard_normal(shape) + rows).astype(leaf.dtype)

    arrays = {name: draw(name, leaf) for name, leaf in inputs(family).items()}
    if "hidden" in arrays:  # the units that are not visible
        seen, hidden = (arrays[name].shape[1] for name in ("visible", "hidden"))
        units = np.tile(np.arange(seen + hidden, dtype=np.int32), (ROWS, 1))
        units = rng.permuted(units, axis=1)
        arrays |= dict(visible=units[:, :seen], hidden=units[:, seen:])
    return arrays


def gradient(apply, all_gather=lambda params: params):
    """(params, state, batch) -> (loss, new state), gradients.

    Args:
      apply: (params, state, batch) -> output, new state.
    """

    def loss(params, state, batch):
        out, state = apply(all_gather(params), state, batch)
        return sum(jnp.square(y).mean() for y in jax.tree.leaves(out)), state

    return jax.value_and_grad(loss, has_aux=True)


def apply_in_training(model, params, state, batch):
    every = {"params": params, **state}
    rngs = {"dropout": jax.random.key(0)}
    return model.apply(every, **batch, train=True, mutable=list(state), rngs=rngs)


def compile_on(mesh, layout, apply, params, state, batch):
    """The gradient of a step on eight devices, and its arguments placed there."""
    shards, whole = meshes.shardings(mesh, params, layout), meshes.replicated(mesh)

    def all_gather(params):
        return jax.lax.with_sharding_constraint(params, meshes.gathered(shards))

    step = jax.jit(gradient(apply, all_gather), out_shardings=(whole, shards))
    places = shards, whole, meshes.over_data(mesh)
    placed = [jax.device_put(x, y) for x, y in zip((params, state, batch), places, strict=True)]
    compiled = step.lower(*placed).compile()
    assert "all-reduce(" in (compiled.as_text() or "")  # it is a program of many devices
    return compiled, placed


def check_equal(found, want, rough):
    """Compare losses, new states and, unless `rough`, gradients.

    A sum in another order moves a few activations over the kink of a ReLU, and a variance that is
    the difference of two large numbers has few digits, which float32 cannot avoid. So arrays are
    compared by their norms, and gradients also as a whole.
    """
    (loss, state), gradients = jax.device_get(found)
    (wanted_loss, wanted_state), wanted = jax.device_get(want)
    assert loss == pytest.approx(wanted_loss, rel=1e-4)
    check_arrays(state, wanted_state, 1e-3)
    if rough:
        return
    gaps, norms = check_arrays(gradients, wanted, 0.02)
    assert np.linalg.norm(gaps) < 1e-3 * np.linalg.norm(norms)


def check_arrays(found, want, share):
    """Compare arrays one by one; returns the norms of the differences, and those of `want`."""
    arrays, wanted = param_rules.flatten(found), param_rules.flatten(want)
    norms = {path: np.linalg.norm(x) for path, x in wanted.items()}
    gaps = {path: np.linalg.norm(arrays[path] - x) for path, x in wanted.items()}
    least = 1e-3 * max(norms.values(), default=0)
    assert not [path for path, gap in gaps.items() if gap > share * (norms[path] + least)]
    return [*gaps.values()], [*norms.values()]


def is_sharded(x):
    return not x.sharding.is_fully_replicated


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=() if name in KINDS else pytest.mark.slow)
        for name in sorted(FAMILIES.keys() - LEFT_OUT)
    ],
)
def test_eight_devices_compute_what_one_does_and_keep_their_activations(family):
    model = make(family, **OPTIONS.get(family, {}))
    batch = example(family)
    shapes = variables_of(family) if family not in OPTIONS else trace(family, model)
    variables = fill(shapes)
    state = {k: v for k, v in variables.items() if k != "params"}
    known = functools.partial(apply_in_training, model), variables["params"], state, batch
    want = jax.jit(gradient(known[0]))(*known[1:])

    # A data-parallel step whose parameters are gathered first.
    step, placed = compile_on(meshes.build(8, 1), "fsdp", *known)
    assert any(map(is_sharded, jax.tree.leaves(placed[0])))
    assert crossings(step.as_text()) == []
    check_equal(step(*placed), want, family in ROUGH)

    mesh = meshes.build(4, 2)
    layout = meshes.shardings(mesh, variables["params"], "tensor")
    if not all(x.is_fully_replicated for x in jax.tree.leaves(layout)):  # of most convolutions
        step, placed = compile_on(mesh, "tensor", *known)
        check_equal(step(*placed), want, family in ROUGH)


def test_the_test_sees_rows_in_another_order():
    order = np.random.default_rng(0).permutation(ROWS)
    rows, kernel = np.zeros((ROWS, 4), np.float32), np.zeros((4, 4), np.float32)

    def found(mix):
        known = lambda w, s, x: (mix(x @ w) @ w, s), kernel, {}, rows
        return crossings(compile_on(meshes.build(8, 1), "replicated", *known)[0].as_text())

    assert found(lambda x: x[order])
    assert found(lambda x: x[::-1])
    assert found(lambda x: x @ (x.T @ x)) == []  # statistics of the batch may cross
