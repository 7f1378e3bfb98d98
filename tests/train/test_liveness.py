"""What a program holds at once, by its trace."""

import jax
import jax.numpy as jnp
import pytest

from jaxvid.train import liveness

N = 64
ARRAY = 4 * N * N
X = jax.ShapeDtypeStruct((N, N), jnp.float32)


def peak(function, *shapes, keep=True, **options):
    return liveness.peak(jax.make_jaxpr(function)(*shapes).jaxpr, keep=keep, **options)


def test_arguments_do_not_count_and_results_do():
    assert peak(lambda x: x @ x, X) == ARRAY
    assert peak(lambda x: x @ x, X, keep=False) == 0  # it takes the memory of an argument


def test_an_array_is_freed_after_its_last_reader():
    assert peak(lambda x: x @ x @ x @ x @ x, X) == 2 * ARRAY

    def kept(x):
        first = x @ x
        return first @ x @ x @ x @ first

    assert peak(kept, X) == 3 * ARRAY


def test_elementwise_operations_hold_nothing_between_them():
    assert peak(lambda x: (((x + 1) * 2 - x).reshape(-1)).sum(), X) <= 8
    assert peak(lambda x: ((x + 1) * 2) @ x, X) == 2 * ARRAY  # a product reads memory


def test_called_functions_are_part_of_the_program():
    def inner(x):
        return x @ x @ x

    for wrap in (jax.jit, jax.checkpoint):
        assert peak(wrap(inner), X) == peak(inner, X)


def test_a_loop_holds_what_its_body_does_once():
    def loop(x):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c @ c) @ x, None), x, None, length=50)[0]

    assert 2 * ARRAY <= peak(loop, X) <= 4 * ARRAY


def chain(block, x):
    for _ in range(16):
        x = block(x)
    return x.sum()


def test_recomputation_holds_less():
    def block(x):
        return jnp.tanh(jnp.tanh(jnp.tanh(x @ x) @ x) @ x)

    plain = peak(jax.grad(lambda x: chain(block, x)), X)
    less = peak(jax.grad(lambda x: chain(jax.checkpoint(block), x)), X)
    assert plain >= 3 * 16 * ARRAY
    assert 16 * ARRAY <= less < 0.6 * plain


@pytest.mark.parametrize("float_size,times", [(1, 1), (4, 2)])
def test_small_floats_may_count_as_larger_ones(float_size, times):
    half = jax.ShapeDtypeStruct((N, N), jnp.bfloat16)
    assert peak(lambda x: x @ x, half, float_size=float_size) == times * ARRAY // 2


def test_it_is_close_to_what_xla_sets_aside():
    def loss(w, x):
        for _ in range(8):
            x = jax.nn.relu(x @ w)
        return (x**2).sum()

    x = jax.ShapeDtypeStruct((4096, N), jnp.float32)
    compiled = jax.jit(jax.grad(loss)).lower(X, x).compile()
    found = compiled.memory_analysis().temp_size_in_bytes
    assert found / 1.5 < peak(jax.grad(loss), X, x) < 1.5 * found
