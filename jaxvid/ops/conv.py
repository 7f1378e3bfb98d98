"""Convolutions over the last axes before the channels, in the formulation that costs least.

The rules below rest on the measurements in docs/benchmarks.md. They see the backend when a program
is traced, by `jax.default_backend()`: jaxvid runs a program where it traces it, and a choice at
lowering (`lax.platform_dependent`) would trace every formulation and count as several.
`ops.formulation.forced(conv="plain")` overrides them.

Shapes: x (..., *space, c), kernel (*space, c / groups, out); what precedes the space is batch.
"""

import math

import jax

from jaxvid.errors import UserError
from jaxvid.ops.conv_formulations import FORMULATIONS, Convolution, Ints
from jaxvid.ops.formulation import forced_name


def conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: Ints,
    padding: Ints,
    dilation: Ints = (),
    groups: int = 1,
) -> jax.Array:
    """Convolve as PyTorch does: `padding` zeros on both sides of each axis.

    Args:
      kernel: (*space, c / groups, out), one to three axes of space.
      strides, padding, dilation: One number an axis; no dilation is 1 everywhere.
      groups: Number of groups of channels that are convolved separately; c of them is a depthwise
        convolution.

    Returns:
      (..., *space', out).

    Raises:
      ValueError: more or fewer numbers than axes of space, or groups that do not divide the
        channels.
      UserError: the kernel is longer than the padded input, as with clips of too few frames.
    """
    size = kernel.shape[:-2]
    dilation = dilation or (1,) * len(size)
    if not len(size) == len(strides) == len(padding) == len(dilation):
        raise ValueError(
            f"a kernel of {size} with strides {strides}, padding {padding}, dilation {dilation}:"
            " give one number an axis"
        )
    channels, features = kernel.shape[-2:]
    if x.shape[-1] != channels * groups or features % groups:
        raise ValueError(
            f"{x.shape[-1]} input channels, {features} output channels and {groups} groups do not"
            f" fit a kernel for {channels} input channels a group"
        )
    what = Convolution(size, channels, features, strides, padding, dilation, groups)
    first = x.ndim - 1 - len(size)  # the first axis of space
    batch, space = x.shape[:first], x.shape[first:-1]
    if min(what.lengths(space)) < 1:
        raise UserError(
            f"the clips are too small for this model: a kernel of {size} with dilation {dilation}"
            f" is longer than the input {space} with padding {padding}; raise the frames or the"
            " size of config.data.recipe"
        )
    x = x.reshape(math.prod(batch), *space, x.shape[-1])
    y = FORMULATIONS[choose(x.shape, what)].compute(x, kernel, what)
    y = y.reshape(*batch, *y.shape[1:])
    return _with_one_gradient(y) if jax.default_backend() == "cpu" else y


@jax.custom_vjp
def _with_one_gradient(y: jax.Array) -> jax.Array:
    """Return the argument. Its gradient is computed once, and stored.

    XLA for CPUs would compute the gradient of the normalization and activation that follow a
    convolution twice: for the gradient of its input, and transposed for that of its kernel.
    """
    return y


_with_one_gradient.defvjp(
    lambda y: (y, None), lambda _, gradient: (jax.lax.optimization_barrier(gradient),)
)


def choose(shape: Ints, conv: Convolution) -> str:
    """Return the name of the formulation for an input (n, *space, c)."""
    name = forced_name("conv", FORMULATIONS)
    if name and FORMULATIONS[name].accepts(conv):
        return name
    if conv.taps == 1:
        return "shifted" if conv.depthwise else "products"
    return {"cpu": _on_cpu, "gpu": _on_gpu}.get(jax.default_backend(), _elsewhere)(shape, conv)


# docs/benchmarks.md#convolutions has the numbers behind each line.


def _on_cpu(shape: Ints, conv: Convolution) -> str:
    if conv.depthwise:
        return "shifted"
    if conv.moves_by_its_size:
        return "patches"
    few = (16 if conv.along_first else 8) * max(conv.channels, conv.features)
    if conv.groups > 1 or math.prod(shape[:-1]) < few:
        return "products"  # for groups, XLA's kernel gradient is up to 400 times slower
    if conv.along_first:
        return "one_product" if conv.strides[0] > 1 else "flat2d"
    if len(conv.size) == 3:
        return "cat2d" if conv.channels <= 4 else "taps2d"
    return "plain"


def _on_gpu(shape: Ints, conv: Convolution) -> str:
    if conv.depthwise:
        spans_space = len(conv.size) == 3 and not conv.along_first
        return "taps2d" if spans_space else "plain" if len(conv.size) == 2 else "shifted"
    if conv.moves_by_its_size:
        return "patches"
    if conv.groups > 1:  # XLA gathers a batch that is spread over devices for a grouped lax.conv
        return "plain" if jax.device_count() == 1 else "products"
    if (conv.along_first and conv.strides[0] > 1) or _gradient_is_forward(shape, conv):
        return "one_product"
    if conv.along_first:
        return "flat2d"
    if len(conv.size) == 3:
        narrow = conv.channels <= 4 and conv.features <= 16 and max(conv.strides[1:]) > 1
        return "space_to_depth" if narrow and conv.size[0] > 1 else "cat2d"
    return "plain"


def _elsewhere(shape: Ints, conv: Convolution) -> str:
    return "plain"


def _gradient_is_forward(shape: Ints, conv: Convolution) -> bool:
    """Return whether XLA computes the kernel's gradient as a forward convolution, a slow one.

    Its GPU compiler recognizes this gradient of a `lax.conv` if no axis is dilated, and if there
    are strides or the result is longer than the kernel along every axis (`MatchBackwardFilter` in
    its conv_rewriter.cc). The other axes are batch, or not convolved.
    """
    convolved = slice(1) if conv.along_first else slice(1 if len(conv.size) == 3 else 0, None)
    part = conv.axes(convolved)
    if max(part.dilation) > 1:
        return True
    longer = (n > k for n, k in zip(part.lengths(shape[1:-1][convolved]), part.size, strict=True))
    return max(part.strides) == 1 and not all(longer)
