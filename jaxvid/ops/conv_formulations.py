"""Ways to write the same convolution; `jaxvid.ops.conv` chooses among them.

XLA's speed depends on how a convolution is written, on a CPU by up to 200 times. Each function here
is exact for every convolution that it accepts, and so are its gradients. A "tap" is one element of
the kernel. Sums over taps, also those in gradients, are in float32 (float64 for float64): each term
is rounded to the compute dtype at most once, and so is the sum.

Shapes: x (n, *space, c), kernel (*space, c / groups, out), result (n, *space', out).
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Ints = tuple[int, ...]


class Convolution(NamedTuple):
    """A convolution; tuples have one number an axis of space.

    Attributes:
      size: Lengths of the kernel.
      channels: Input channels of each group.
      features: Output channels of all groups.
      padding: Zeros on both sides.
      groups: Number of groups that the input and output channels are divided into. A group of
        output channels is computed from its group of input channels.
    """

    size: Ints
    channels: int
    features: int
    strides: Ints
    padding: Ints
    dilation: Ints
    groups: int = 1

    def axes(self, which: slice) -> "Convolution":
        """Return the same over some of the axes."""
        each = (self.size, self.strides, self.padding, self.dilation)
        size, strides, padding, dilation = (numbers[which] for numbers in each)
        return self._replace(size=size, strides=strides, padding=padding, dilation=dilation)

    def lengths(self, space: Ints) -> Ints:
        """Return the lengths of the result for an input of these lengths."""
        each = zip(space, self.size, self.strides, self.padding, self.dilation, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)

    @property
    def taps(self) -> int:
        """Number of elements of the kernel for each pair of channels."""
        return math.prod(self.size)

    @property
    def depthwise(self) -> bool:
        """True if every channel is a group."""
        return 1 < self.groups == self.features and self.channels == 1

    @property
    def along_first(self) -> bool:
        """True if only the first of several axes has a kernel."""
        return len(self.size) > 1 and math.prod(self.size[1:]) == 1 and not any(self.padding[1:])

    @property
    def moves_by_its_size(self) -> bool:
        """True if the input is divided into patches, one for each position of the result."""
        dense = max(self.dilation) == 1 and not any(self.padding)
        return self.groups == 1 and self.size == self.strides and dense


def plain(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """One `lax.conv` over all axes."""
    letters = "THW"[-len(conv.size) :]
    return lax.conv_general_dilated(
        x,
        kernel,
        conv.strides,
        [(p, p) for p in conv.padding],
        rhs_dilation=conv.dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=conv.groups,
    )


def flat2d(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """A 2-D convolution over (t, h w): for kernels along the first axis."""
    x = x[:, :, *(slice(None, None, stride) for stride in conv.strides[1:])]
    first = conv.axes(slice(1))
    flat = first._replace(
        size=(*first.size, 1),
        strides=(*first.strides, 1),
        padding=(*first.padding, 0),
        dilation=(*first.dilation, 1),
    )
    kernel = kernel.reshape(*flat.size, *kernel.shape[-2:])
    y = plain(x.reshape(*x.shape[:2], math.prod(x.shape[2:-1]), x.shape[-1]), kernel, flat)
    return y.reshape(*y.shape[:2], *x.shape[2:-1], y.shape[-1])


def taps2d(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """A sum over the taps of the first axis, each a convolution over the later axes."""
    taps = _taps(x, conv.axes(slice(1)))
    rest = conv.axes(slice(1, None))
    return _sum(_over_frames(tap, w, rest) for tap, w in zip(taps, kernel, strict=True))


def cat2d(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """A convolution over the later axes, with the taps of the first axis in the channels."""
    taps = jnp.concatenate([*_taps(x, conv.axes(slice(1)))], axis=-1)
    kernel = jnp.concatenate([*kernel], axis=-2)
    return _over_frames(taps, kernel, conv.axes(slice(1, None)))


def space_to_depth(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """`cat2d` without strides over the later axes: the pixels of one step become channels."""
    size = conv.size[:1]
    for axis in range(1, len(conv.size)):
        stride, pad = conv.strides[axis], conv.padding[axis]
        steps = -(-conv.size[axis] // stride)  # of the kernel
        count = (x.shape[1 + axis] + 2 * pad - conv.size[axis]) // stride + steps  # of the input
        kernel = _pad(kernel, axis, 0, steps * stride - conv.size[axis])
        kernel = _move_to_channels(kernel, axis, steps, kernel.ndim - 2)
        x = _pad(x, 1 + axis, pad, count * stride - x.shape[1 + axis] - pad)
        x = _move_to_channels(x, 1 + axis, count, x.ndim - 1)
        size = (*size, steps)
    ones, zeros = (1,) * (len(size) - 1), (0,) * (len(size) - 1)
    strides, padding = conv.strides[:1] + ones, conv.padding[:1] + zeros
    return cat2d(x, kernel, conv._replace(size=size, strides=strides, padding=padding))


def products(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """A sum of matrix products over all taps."""
    pairs = zip(_taps(x, conv), kernel.reshape(-1, *kernel.shape[-2:]), strict=True)
    if conv.groups == 1:
        return _sum(tap @ weights for tap, weights in pairs)

    def product(tap, weights):
        tap = tap.reshape(*tap.shape[:-1], conv.groups, -1)
        weights = weights.reshape(len(weights), conv.groups, -1)
        return jnp.einsum("...gi,igo->...go", tap, weights)

    y = _sum(product(tap, weights) for tap, weights in pairs)
    return y.reshape(*y.shape[:-2], -1)


def one_product(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """One matrix product, with all taps in the channels."""
    taps = jnp.concatenate([*_taps(x, conv)], axis=-1)
    return taps @ kernel.reshape(-1, kernel.shape[-1])


def patches(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """One matrix product of patches: for kernels that move by their own size."""
    counts = conv.lengths(x.shape[1:-1])
    for axis, (size, count) in enumerate(zip(conv.size, counts, strict=True), 1):
        x = lax.slice_in_dim(x, 0, count * size, axis=axis)
        x = _move_to_channels(x, axis, count, x.ndim - 1)
    for axis in range(len(conv.size)):
        kernel = _move_to_channels(kernel, axis, 1, kernel.ndim - 2)
    return x @ kernel.reshape(-1, kernel.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """A sum of shifted inputs, each times one number a channel: for depthwise kernels."""
    return _weighted(_stored(_padded(x, conv)), kernel, conv, conv.lengths(x.shape[1:-1]))


def _shifted_forward(x, kernel, conv):
    return shifted(x, kernel, conv), (x, kernel)


def _shifted_backward(conv, saved, gradient):
    x, kernel = saved
    space, out = x.shape[1:-1], gradient.shape[1:-1]
    padded, gradient = _stored(_padded(x, conv)), _stored(gradient)

    # The gradient of x is a convolution with the reversed kernel, without strides.
    each = (space, out, conv.size, conv.strides, conv.padding, conv.dilation)
    edges = [
        (d * (k - 1) - p, n + p - 1 - (m - 1) * s, s - 1)
        for n, m, k, s, p, d in zip(*each, strict=True)
    ]
    spread = _stored(lax.pad(gradient, _zero(gradient), [NO_EDGE, *edges, NO_EDGE]))
    reverse = jnp.flip(kernel, range(len(conv.size)))
    of_x = _weighted(spread, reverse, conv._replace(strides=(1,) * len(space)), space)

    # One reduction for many taps reads the gradient once. On a CPU it takes a quarter of the time.
    # It leaves the batch, so that devices add their parts like those of any other gradient.
    of_taps, axes = list[jax.Array](), tuple(range(1, x.ndim - 1))
    for taps in _groups(_slices(padded, conv, out)):
        terms = [tap.astype(_wide(x)) * gradient for tap in taps]
        zeros = [_zero(term) for term in terms]
        of_taps += lax.reduce(terms, zeros, lambda a, b: [*map(jnp.add, a, b)], axes)
    of_kernel = jnp.stack(of_taps).sum(1).reshape(kernel.shape)
    return of_x, of_kernel.astype(kernel.dtype)


shifted.defvjp(_shifted_forward, _shifted_backward)


def _weighted(padded: jax.Array, kernel: jax.Array, conv: Convolution, out: Ints) -> jax.Array:
    """Return the sum over the taps of a padded input, each times its numbers in the kernel."""
    pairs = zip(_slices(padded, conv, out), kernel.reshape(-1, kernel.shape[-1]), strict=True)
    total = jnp.zeros((), _wide(padded))
    for group in _groups(pairs):
        total = _stored(sum((tap.astype(total.dtype) * w for tap, w in group), total))
    return total.astype(padded.dtype)


class Formulation(NamedTuple):
    """A function that computes a convolution, and whether it can compute a certain one."""

    compute: Callable[[jax.Array, jax.Array, Convolution], jax.Array]
    accepts: Callable[[Convolution], bool]


def _joins_first(conv: Convolution) -> bool:
    return len(conv.size) > 1 and conv.groups == 1


FORMULATIONS = {
    "plain": Formulation(plain, lambda conv: True),
    "flat2d": Formulation(flat2d, lambda conv: conv.along_first),
    "taps2d": Formulation(taps2d, lambda conv: len(conv.size) > 1),
    "cat2d": Formulation(cat2d, _joins_first),
    "space_to_depth": Formulation(
        space_to_depth, lambda conv: _joins_first(conv) and max(conv.dilation[1:]) == 1
    ),
    "products": Formulation(products, lambda conv: True),
    "one_product": Formulation(one_product, lambda conv: conv.groups == 1),
    "patches": Formulation(patches, lambda conv: conv.moves_by_its_size),
    "shifted": Formulation(shifted, lambda conv: conv.depthwise),
}


# Parts of several formulations


def _taps(x: jax.Array, conv: Convolution) -> Iterator[jax.Array]:
    """Yield what each tap is multiplied by, in the order of the kernel's elements.

    The convolution may be over the first axes of space alone: the later ones stay as they are.
    """
    many = len(conv.size)
    space, later = x.shape[1 : 1 + many], x.shape[1 + many :]
    out = conv.lengths(space)
    wide = x.astype(_wide(x))  # the gradient of x is a sum over taps, in this dtype
    if max(conv.strides) > 1:
        yield from (tap.astype(x.dtype) for tap in _slices(_padded(wide, conv), conv, out))
        return
    for starts in _starts(conv):  # one operation, which XLA fuses with what follows
        lows = [p - start for p, start in zip(conv.padding, starts, strict=True)]
        edges = [(low, n - m - low, 0) for low, n, m in zip(lows, out, space, strict=True)]
        tap = lax.pad(wide, _zero(wide), [NO_EDGE, *edges, *(NO_EDGE for _ in later)])
        yield tap.astype(x.dtype)


def _slices(padded: jax.Array, conv: Convolution, out: Ints) -> Iterator[jax.Array]:
    """Yield the taps as slices of the padded input; `out` are the lengths of the result."""
    later = padded.shape[1 + len(out) :]
    none, ones = (0,) * len(later), (1,) * len(later)
    for starts in _starts(conv):
        ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, out, conv.strides, strict=True)]
        limits = (len(padded), *ends, *later)
        yield lax.slice(padded, (0, *starts, *none), limits, (1, *conv.strides, *ones))


def _starts(conv: Convolution) -> Iterator[Ints]:
    """Yield the position of each tap in the padded input, in the order of the kernel's elements."""
    for index in itertools.product(*map(range, conv.size)):
        yield tuple(i * d for i, d in zip(index, conv.dilation, strict=True))


def _padded(x: jax.Array, conv: Convolution) -> jax.Array:
    for axis, pad in enumerate(conv.padding, 1):
        x = _pad(x, axis, pad, pad)
    return x


def _groups(taps: Iterable) -> Iterator[list]:
    """Divide taps into groups of 27: XLA for CPUs does not vectorize sums of many more terms."""
    rest = list(taps)
    for start in range(0, len(rest), 27):
        yield rest[start : start + 27]


def _stored(x: jax.Array) -> jax.Array:
    """Return the argument. A barrier keeps XLA for CPUs from computing it again for every use."""
    return lax.optimization_barrier(x)


NO_EDGE = (0, 0, 0)  # of `lax.pad`: low, high, between elements


def _pad(x: jax.Array, axis: int, low: int, high: int) -> jax.Array:
    """Add zeros before and after the elements along an axis; negative numbers remove elements."""
    edges = [(low, high, 0) if a == axis else NO_EDGE for a in range(x.ndim)]
    return lax.pad(x, _zero(x), edges) if low or high else x


def _zero(x: jax.Array) -> jax.Array:
    return jnp.zeros((), x.dtype)


def _move_to_channels(x: jax.Array, axis: int, count: int, channels: int) -> jax.Array:
    """Divide an axis into `count` equal parts; the elements of each go to the axis `channels`."""
    x = x.reshape(*x.shape[:axis], count, -1, *x.shape[axis + 1 :])
    x = jnp.moveaxis(x, axis + 1, channels)
    return x.reshape(*x.shape[:channels], -1, *x.shape[channels + 2 :])


def _over_frames(x: jax.Array, kernel: jax.Array, conv: Convolution) -> jax.Array:
    """`plain` over the axes of space but the first, which is batch."""
    y = plain(x.reshape(-1, *x.shape[2:]), kernel, conv)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def _sum(terms: Iterable[jax.Array]) -> jax.Array:
    """Add in a wide dtype and return the dtype of the terms."""
    first, *others = terms
    total = first.astype(_wide(first))
    for term in others:
        total = total + term.astype(total.dtype)
    return total.astype(first.dtype)


def _wide(x: jax.Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)
