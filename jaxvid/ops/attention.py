"""Softmax attention, in the formulation that costs least. No other file chooses one.

The rule comes from measurements (docs/benchmarks.md); `ops.formulation` forces a formulation by its
name. "plain" runs everywhere. "cudnn" is the fused attention of cuDNN, for GPUs. "kernel" is that
of `ops.window_attention`; where there are no windows, the rule decides.

Shapes: n queries, m keys, g heads, d channels of a query or a key, e of a value. What stands before
them, such as a batch of windows, is the same for queries, keys and values.
"""

import math
from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvid.ops.formulation import forced_name, log_once

FORMULATIONS = ("plain", "cudnn", "kernel")
HALF = (jnp.bfloat16, jnp.float16)
# On an H100, cuDNN takes 2.5 times as long as XLA for 8 tokens and half as long for 392. Nothing
# between them was measured.
LONG = 128
HIDDEN = -1e30  # added to the scores of hidden pairs; a finite number keeps NaN out of hidden rows


def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    bias: jax.Array | None = None,
    mask: np.ndarray | jax.Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    cap: float = 0.0,
    drop: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Average values over the keys, with weights softmax(scale * q k + bias + mask).

    Args:
      q: (..., n, g, d).
      k: (..., m, g, d).
      v: (..., m, g, e).
      bias: Learned numbers for pairs of queries and keys; broadcast to (..., g, n, m).
      mask: Constants that broadcast to (..., g, n, m). Booleans are False where a key is hidden
        from a query; numbers are added to the scores, and -inf hides a key.
      causal: Hide from query i the keys after i.
      scale: Factor of the products; None is d ** -0.5.
      cap: Soft bound of the products: instead of scale * q k, cap * tanh(scale * q k / cap). 0 is
        no bound.
      drop: Function that is applied to the weights (..., g, n, m), such as dropout.

    Returns:
      (..., n, g, e) in the dtype of `v`; 0 for a query that sees no key. Softmax is float32.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    bias, shown = _bias_and_shown(bias, mask)
    name = forced_name("attention", FORMULATIONS)
    if name == "cudnn" or (
        name != "plain" and _is_faster_on_cudnn(q, k, v, bias, shown, cap, drop)
    ):
        reason = _reason_against_cudnn(q, k, v, cap, drop)
        reason = reason or _cudnn_problem(q, k, bias, shown, causal)
        if not reason:
            return _zero_blind(_cudnn(q, k, v, bias, shown, causal, scale), shown, causal)
        log_once(__name__, f"attention: plain XLA instead of cuDNN: {reason}")
    return _zero_blind(_plain(q, k, v, bias, shown, causal, scale, cap, drop), shown, causal)


def compile_error(function: Callable[..., jax.Array], *arguments: jax.ShapeDtypeStruct) -> str:
    """Return why a function and its gradient do not compile on this machine; "" if they do."""

    def total(*arguments):
        return function(*arguments).astype(jnp.float32).sum()

    every = tuple(range(len(arguments)))
    try:
        jax.jit(jax.value_and_grad(total, every)).lower(*arguments).compile()
    except Exception as error:  # JAX, XLA and cuDNN each raise their own kinds
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def _bias_and_shown(bias, mask):
    """Return what is added to the scores, and which keys are shown; each may be None."""
    if mask is None or mask.dtype == bool:
        return bias, mask
    shown = mask > -np.inf
    constant = mask if isinstance(mask, np.ndarray) else lax.stop_gradient(mask)
    added = _where(shown, constant, 0)
    bias = added if bias is None else bias + added
    return bias, None if isinstance(shown, np.ndarray) and shown.all() else shown


def _plain(q, k, v, bias, shown, causal, scale, cap, drop):
    q, k, v = (jnp.moveaxis(x, -2, -3) for x in (q, k, v))
    if causal:
        earlier = np.tri(q.shape[-2], k.shape[-2], dtype=bool)
        shown = earlier if shown is None else shown & earlier
    # On a CPU, the sum takes a third of the time of a selection by booleans.
    hidden = None if shown is None else _where(shown, 0.0, HIDDEN)
    if drop or cap:
        weights = _weights(q, k, bias, hidden, scale, cap).astype(v.dtype)
        y = (drop(weights) if drop else weights) @ v
    else:
        y = _average(q, k, v, bias, hidden, scale)
    return jnp.moveaxis(y, -3, -2)


def _weights(q, k, bias, hidden, scale, cap=0.0):
    """Return softmax(scale * q k + bias + hidden) in float32; `cap` bounds the products."""
    # The preset keeps the products of the gradient in bfloat16; float32 scores would widen them.
    bf16 = q.dtype == k.dtype == jnp.bfloat16 and _has_bfloat16()
    scores = scale * jnp.einsum(
        "...nd,...md->...nm",
        q,
        k,
        precision=lax.DotAlgorithmPreset.BF16_BF16_F32 if bf16 else None,
        preferred_element_type=jnp.promote_types(q.dtype, jnp.float32),
    )
    if cap:
        scores = cap * jnp.tanh(scores / cap)
    for added in (bias, hidden):
        scores = scores if added is None else scores + added
    return jax.nn.softmax(scores)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _average(q, k, v, bias, hidden, scale):
    """Return the weighted averages of the values (..., m, e)."""
    return _weights(q, k, bias, hidden, scale).astype(v.dtype) @ v


# Autodiff would keep the float32 scores for the backward pass, and compute with their float32
# gradient. Here, weights and gradient are stored in the dtype of the values, which halves the
# memory in bfloat16. The barriers keep XLA from using the float32 numbers instead.


def _average_forward(q, k, v, bias, hidden, scale):
    weights = _weights(q, k, bias, hidden, scale).astype(v.dtype)
    y = weights @ v
    return y, (q, k, v, bias, weights, y)


def _average_backward(scale, saved, of_y):
    q, k, v, bias, weights, y = saved
    wide = jnp.promote_types(q.dtype, jnp.float32)
    weights = lax.optimization_barrier(weights)
    of_v = jnp.einsum("...nm,...ne->...me", weights, of_y)
    of_weights = jnp.einsum("...ne,...me->...nm", of_y, v).astype(wide)
    # This is the sum of weights * of_weights over the keys (Dao et al., 2022).
    total = (y.astype(wide) * of_y.astype(wide)).sum(-1, keepdims=True)
    of_product = scale * weights.astype(wide) * (of_weights - total)
    of_product = lax.optimization_barrier(of_product.astype(q.dtype))
    of_q = jnp.einsum("...nm,...md->...nd", of_product, k, preferred_element_type=wide)
    of_k = jnp.einsum("...nm,...nd->...md", of_product, q, preferred_element_type=wide)
    of_bias = None if bias is None else _sum_to(of_product.astype(wide) / scale, bias)
    return of_q.astype(q.dtype), of_k.astype(k.dtype), of_v.astype(v.dtype), of_bias, None


_average.defvjp(_average_forward, _average_backward)


def _sum_to(x, like):
    """Sum over the axes along which `like` was broadcast to x."""
    shape = (1,) * (x.ndim - like.ndim) + like.shape
    axes = tuple(i for i, size in enumerate(shape) if size == 1)
    return x.sum(axes, keepdims=True).reshape(like.shape).astype(like.dtype)


def _has_bfloat16():
    """Return False on NVIDIA's GPUs before Ampere, which do not compile the preset."""
    capability = getattr(jax.devices()[0], "compute_capability", "")
    return capability not in ("6.0", "6.1", "7.0", "7.2", "7.5")


def _where(shown, x, y):
    """Select by a mask; the result of a constant is a constant."""
    where = np.where if isinstance(shown, np.ndarray) else jnp.where
    return where(shown, x, y).astype(np.float32)


def _zero_blind(y, shown, causal):
    """Set the results (..., n, g, e) of queries that see no key to 0: they are mean values."""
    if shown is None:
        return y
    if causal:
        shown = shown & np.tri(y.shape[-3], shown.shape[-1], dtype=bool)
    sees = shown.any(-1)
    if isinstance(sees, np.ndarray) and sees.all():
        return y
    sees = jnp.swapaxes(jnp.atleast_2d(sees), -2, -1)[..., None]
    return jnp.where(sees, y, 0)


def _is_faster_on_cudnn(q, k, v, bias, shown, cap, drop):
    """Return whether cuDNN was measured as faster: with biases and masks of the whole batch."""
    batch = q.ndim - 3
    return (
        jax.default_backend() == "gpu"
        and min(q.shape[-3], k.shape[-3]) >= LONG
        and not _reason_against_cudnn(q, k, v, cap, drop)
        and _shared_axes(batch, bias, shown) == batch
    )


def _reason_against_cudnn(q, k, v, cap, drop):
    """Return what cuDNN does not support of these arrays; "" if it supports them."""
    if jax.default_backend() != "gpu":
        return "there is no GPU"
    if q.dtype not in HALF or not q.dtype == k.dtype == v.dtype:
        return f"it takes bfloat16 or float16, not {q.dtype}"
    d, e = q.shape[-1], v.shape[-1]
    if d != e or d % 8 or d > 128:
        return f"a head has {d} and {e} channels, not a multiple of 8 up to 128 for both"
    if cap:
        return "the products have a soft bound"
    if drop:
        return "weights are dropped"
    return ""


def _cudnn_problem(q, k, bias, shown, causal):
    """Compile a small case of the same kind: an older GPU or cuDNN may have no plan for it."""
    heads = [0 if x is None else 1 if x.ndim < 3 else min(2, x.shape[-3]) for x in (bias, shown)]
    return _probe_cudnn(q.shape[-3], k.shape[-3], q.shape[-1], q.dtype, *heads, causal)


@cache
def _probe_cudnn(n, m, d, dtype, bias_heads, shown_heads, causal):
    def run(q, k, v, bias):
        shown = np.ones((shown_heads, n, m), bool) if shown_heads else None
        return _cudnn(q, k, v, bias if bias_heads else None, shown, causal, 1.0)

    queries, keys = (jax.ShapeDtypeStruct((2, x, 2, d), dtype) for x in (n, m))
    bias = jax.ShapeDtypeStruct((bias_heads, n, m), jnp.float32)
    return compile_error(run, queries, keys, keys, bias)


def _shared_axes(batch, *pairs):
    """Count the leading ones of `batch` axes over which none of `pairs` (..., g, n, m) differs."""
    shapes = [(1,) * (batch + 3 - x.ndim) + x.shape for x in pairs if x is not None]
    return next((i for i in range(batch) if any(s[i] > 1 for s in shapes)), batch)


def _cudnn(q, k, v, bias, shown, causal, scale):
    """Call cuDNN, which takes even lengths, with one axis of batch."""
    *batch, n, g, _ = q.shape
    m = k.shape[-3]
    # cuDNN takes one bias for each head, and sums its gradient over the batch. So axes over which
    # the bias or the mask differs become heads: windows with different masks, for example. They
    # come after the heads, which devices may share.
    shared = _shared_axes(len(batch), bias, shown)
    size, own = math.prod(batch[:shared]), batch[shared:]

    def fold(x):  # (..., n, g, d) -> (size, n, heads, d)
        x = jnp.moveaxis(x.reshape(size, *own, *x.shape[-3:]), (-3, -2), (1, 2))
        return _pad_to_even(x.reshape(*x.shape[:2], -1, x.shape[-1]), 0, (1,))

    def fold_pairs(x, value):  # (..., g, n, m) -> (1, heads, n, m)
        x = x.reshape((1,) * (len(own) + 3 - x.ndim) + x.shape[max(0, x.ndim - len(own) - 3) :])
        x = jnp.broadcast_to(x, (*own, g if own else x.shape[-3], n, m))
        return _pad_to_even(jnp.moveaxis(x, -3, 0).reshape(1, -1, n, m), value, (2, 3))

    # Padded keys are after all queries, so a causal mask hides them.
    is_padded = m % 2 and not (causal and n <= m)
    y = jax.nn.dot_product_attention(
        fold(q),
        fold(k),
        fold(v),
        None if bias is None else fold_pairs(bias.astype(q.dtype), 0),
        None if shown is None else fold_pairs(jnp.asarray(shown), True),
        scale=scale,
        is_causal=causal,
        key_value_seq_lengths=jnp.full(size, m, jnp.int32) if is_padded else None,
        implementation="cudnn",
    )
    y = y[:, :n].reshape(size, n, g, *own, -1)
    return jnp.moveaxis(y, (1, 2), (-3, -2)).reshape(q.shape)


def _pad_to_even(x, value, axes):
    if not any(x.shape[axis] % 2 for axis in axes):
        return x
    pads = [(0, x.shape[axis] % 2 if axis in axes else 0) for axis in range(x.ndim)]
    return jnp.pad(x, pads, constant_values=value)
