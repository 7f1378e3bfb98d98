"""No family sends activations around: on eight devices each one keeps its rows of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.distributed import mesh as meshes
from tests.conftest import ROWS, crossings
from tests.models.test_contract import each_family, inputs, make, variables_of

pytestmark = pytest.mark.long


def compile_step(apply, params, state, batch):
    """HLO of the gradients of a data-parallel step.

    Args:
      apply: (params, state, batch) -> output, new state.
    """
    mesh = meshes.build(8, 1)

    def loss(params, state, batch):
        out, state = apply(params, state, batch)
        return sum(jnp.square(y).mean() for y in jax.tree.leaves(out)), state

    def place(x, sharding):
        return jax.tree.map(lambda x: meshes.shape_on(x, sharding), x)

    whole = place((params, state), meshes.replicated(mesh))
    step = jax.jit(jax.grad(loss, has_aux=True)).lower(*whole, place(batch, meshes.over_data(mesh)))
    text = step.compile().as_text() or ""
    assert "all-reduce(" in text  # it is a program of many devices
    return text


@each_family
def test_no_activation_leaves_its_device(family):
    model, variables = make(family), variables_of(family)
    state = {k: v for k, v in variables.items() if k != "params"}
    batch = {
        k: jax.ShapeDtypeStruct((ROWS, *x.shape[1:]), x.dtype) for k, x in inputs(family).items()
    }

    def apply(params, state, batch):
        rngs = {"dropout": jax.random.key(0)}
        every = {"params": params, **state}
        return model.apply(every, **batch, train=True, mutable=list(state), rngs=rngs)

    assert crossings(compile_step(apply, variables["params"], state, batch)) == []


def test_the_test_sees_rows_in_another_order():
    order = np.random.default_rng(0).permutation(ROWS)
    rows = jax.ShapeDtypeStruct((ROWS, 4), jnp.float32)
    kernel = jax.ShapeDtypeStruct((4, 4), jnp.float32)

    def found(mix):
        return crossings(compile_step(lambda w, s, x: (mix(x @ w) @ w, s), kernel, {}, rows))

    assert found(lambda x: x[order])
    assert found(lambda x: x[::-1])
    assert found(lambda x: x @ (x.T @ x)) == []  # statistics of the batch may cross
