"""Convolutions over the last axes before the channels, in the formulation that costs least.

XLA's speed depends on how the same convolution is written: on a CPU by up to 200 times for 3-D
kernels. The rules here come from measurements (docs/benchmarks.md); `lax.conv` is the fallback.

Shapes: x (..., *space, c), kernel (*space, c, out); what stands before the space is batch.
"""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

Ints = tuple[int, ...]


def conv(
    x: jax.Array, kernel: jax.Array, strides: Ints, padding: Ints, dilation: Ints = ()
) -> jax.Array:
    """Convolve as PyTorch does: `padding` zeros on both sides of each axis.

    Args:
      kernel: (*space, c, out), one to three axes of space.
      strides, padding, dilation: one number an axis; no dilation is 1 everywhere.

    Returns:
      (..., *space', out).

    Raises:
      ValueError: more or fewer numbers than axes of space.
    """
    space = kernel.shape[:-2]
    dilation = dilation or (1,) * len(space)
    _check_lengths(space, strides, padding, dilation)
    first = x.ndim - 1 - len(space)  # the first axis of space
    if math.prod(space[1:]) == 1 and not any(padding[1:]):
        x = _every(x, strides[1:], first + 1)
        if space[0] == 1 or jax.default_backend() == "cpu":
            taps = _taps(x, first, space[0], strides[0], padding[0], dilation[0])
            weights = kernel.reshape(space[0], *kernel.shape[-2:])
            return _sum(tap @ w for tap, w in zip(taps, weights, strict=True))
        return _lax_in_time(x, kernel, first, strides[0], padding[0], dilation[0])
    if space[0] == 1 and not padding[0]:  # the axis is batch
        x = _every(x, strides[:1], first)
        return conv(x, kernel[0], strides[1:], padding[1:], dilation[1:])
    if len(space) == 3 and jax.default_backend() == "cpu":
        taps = _taps(x, first, space[0], strides[0], padding[0], dilation[0])
        rest = strides[1:], padding[1:], dilation[1:]
        return _sum(conv(tap, w, *rest) for tap, w in zip(taps, kernel, strict=True))
    return _lax(x, kernel, strides, padding, dilation)


def depthwise_conv(
    x: jax.Array, kernel: jax.Array, strides: Ints, padding: Ints, dilation: Ints = ()
) -> jax.Array:
    """Convolve every channel on its own, as a sum of shifted products.

    Args:
      kernel: (*space, 1, c).
      strides, padding, dilation: see `conv`.

    Returns:
      (..., *space', c).

    Raises:
      ValueError: more or fewer numbers than axes of space.
    """
    space = kernel.shape[:-2]
    dilation = dilation or (1,) * len(space)
    _check_lengths(space, strides, padding, dilation)

    def shifted(x, kernel, axis, settings):
        if not settings:
            yield x * kernel[0]
            return
        taps = _taps(x, axis, len(kernel), *settings[0])
        for tap, part in zip(taps, kernel, strict=True):
            yield from shifted(tap, part, axis + 1, settings[1:])

    settings = list(zip(strides, padding, dilation, strict=True))
    return _sum(shifted(x, kernel, x.ndim - 1 - len(space), settings))


def _check_lengths(space: Ints, strides: Ints, padding: Ints, dilation: Ints) -> None:
    if not len(space) == len(strides) == len(padding) == len(dilation):
        raise ValueError(
            f"a kernel of {space} with strides {strides}, padding {padding}, dilation {dilation}:"
            " give one number an axis"
        )


def _taps(x, axis: int, size: int, stride: int, pad: int, dilation: int) -> Iterator[jax.Array]:
    """What each element of a kernel of `size` sees along `axis`."""
    if pad:
        x = jnp.pad(x, [(pad, pad) if a == axis else (0, 0) for a in range(x.ndim)])
    count = (x.shape[axis] - dilation * (size - 1) - 1) // stride + 1
    for i in range(size):
        start = i * dilation
        yield lax.slice_in_dim(x, start, start + (count - 1) * stride + 1, stride, axis)


def _every(x, strides: Ints, axis: int):
    """Each `strides[i]`-th element along axis `axis + i`."""
    if all(s == 1 for s in strides):
        return x
    return x[(slice(None),) * axis + tuple(slice(None, None, s) for s in strides)]


def _lax(x, kernel, strides, padding, dilation):
    space = len(strides)
    batch = x.shape[: x.ndim - 1 - space]
    letters = "THW"[-space:]
    y = lax.conv_general_dilated(
        x.reshape(math.prod(batch), *x.shape[len(batch) :]),
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )
    return y.reshape(*batch, *y.shape[1:])


def _lax_in_time(x, kernel, axis: int, stride: int, pad: int, dilation: int):
    """A kernel along `axis` alone: all later axes become one."""
    later = x.shape[axis + 1 : -1]
    flat = x.reshape(*x.shape[: axis + 1], math.prod(later), x.shape[-1])
    weights = kernel.reshape(kernel.shape[0], 1, *kernel.shape[-2:])
    y = _lax(flat, weights, (stride, 1), (pad, 0), (dilation, 1))
    return y.reshape(*y.shape[: axis + 1], *later, y.shape[-1])


def _sum(parts):
    total = next(parts)
    for part in parts:
        total = total + part
    return total
