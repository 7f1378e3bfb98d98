"""Pooling over the axes before the channels.

Shapes: x (..., *space, c), with as many axes of space as a window has; what precedes them is batch.
"""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Ints = tuple[int, ...]


class Windows(NamedTuple):
    """The windows over an input: one number for each axis of space in every field.

    Attributes:
      space: Length of the input.
      size: Positions that a window spans.
      strides: Positions from one window to the next.
      padding: Positions that are added to the input on both sides.
    """

    space: Ints
    size: Ints
    strides: Ints
    padding: Ints

    @property
    def starts(self) -> Iterator[Ints]:
        """Iterate over the positions in a window."""
        return itertools.product(*map(range, self.size))


def max_pool(x: jax.Array, size: Ints, strides: Ints = (), padding: Ints = ()) -> jax.Array:
    """Return the maximum of each window.

    The gradient goes to the first maximum of a window, as in PyTorch.

    Args:
      x: (..., *space, c), floating point.
      size: Positions that a window spans along each axis.
      strides: Positions from one window to the next; () means `size`.
      padding: Positions that are added on both sides and never are the maximum; () means none.

    Returns:
      (..., *space', c).
    """
    space = x.shape[-1 - len(size) : -1]
    return _max_pool(x, Windows(space, size, strides or size, padding or (0,) * len(size)))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(x, windows):
    def every_axis(numbers, other):
        return (*[other] * (x.ndim - 1 - len(numbers)), *numbers, other)

    pads = [(p, p) for p in every_axis(windows.padding, 0)]
    sizes, strides = every_axis(windows.size, 1), every_axis(windows.strides, 1)
    return lax.reduce_window(x, np.array(-np.inf, x.dtype), lax.max, sizes, strides, pads)


# XLA scatters the gradient of `reduce_window`: on a GPU, the forward pass then stores four indices
# of 32 bits for each window, and the backward pass adds with atomic operations. Here, the forward
# pass stores the number of the maximum in its window, one byte, and the gradient is a sum.


def _forward(x, windows):
    (_, y), *others = enumerate(_values(x, windows))
    number = jnp.zeros(y.shape, jnp.uint8 if math.prod(windows.size) <= 256 else jnp.int32)
    for n, value in others:
        number = jnp.where(value > y, number.dtype.type(n), number)
        y = jnp.maximum(y, value)  # NaN stays
    return y, number


def _backward(windows, number, gradient):
    wide = jnp.promote_types(gradient.dtype, jnp.float32)
    total = jnp.zeros((), wide)
    for n, start in enumerate(windows.starts):
        part = jnp.where(number == n, gradient, 0).astype(wide)
        total = total + lax.pad(part, np.zeros((), wide), _pads(part.shape, windows, start))
    return (total.astype(gradient.dtype),)


_max_pool.defvjp(_forward, _backward)


def _values(x: jax.Array, windows: Windows) -> Iterator[jax.Array]:
    """Yield the values (..., *space', c) at each position in the windows."""
    before = [(0, 0, 0)] * (x.ndim - 1 - len(windows.size))
    pads = [*before, *((p, p, 0) for p in windows.padding), (0, 0, 0)]
    x = lax.pad(x, np.array(-np.inf, x.dtype), pads)
    lengths = x.shape[len(before) : -1]
    for start in windows.starts:
        places = zip(start, lengths, windows.size, windows.strides, strict=True)
        yield x[..., *(slice(at, length - size + at + 1, by) for at, length, size, by in places), :]


def _pads(shape: Ints, windows: Windows, start: Ints) -> list[tuple[int, int, int]]:
    """Return the pads that move values (..., *space', c) to a position in their windows."""
    pads = [(0, 0, 0)] * len(shape)
    places = zip(start, windows.space, windows.strides, windows.padding, strict=True)
    for axis, (at, length, by, padding) in enumerate(places, len(shape) - 1 - len(start)):
        low = at - padding
        pads[axis] = (low, length - low - (shape[axis] - 1) * by - 1, by - 1)
    return pads
