"""GPU kernels for attention inside windows, forward and backward, in Pallas.

Scores never leave the chip: a program holds a tile of queries and visits the tiles of keys with an
online softmax (FlashAttention: Dao, 2023). The bias of a pair of tokens is read from the table of
relative positions, and a pair from different regions is hidden.

The gradient of the bias is a sum over all windows. One program for each head, tile of queries and
tile of keys holds a tile of this sum while it visits the windows, so that no two programs add to
the same number. Where these programs would not fill a GPU, each of several sets of windows has its
own.

Shapes: w windows, n tokens, g heads, d channels of a head, r rows of the table, s region maps. The
table has one row for each relative position: that of query i and key j is codes[i] - codes[j] +
r // 2. Window i has the region map i % s.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

LOG2E = math.log2(math.e)
HIDDEN = -1e30  # a finite score: the difference of two infinite ones is NaN
PROGRAMS = 1024  # several for each of the 132 processors of an H100


def forward(q, k, v, table, codes, regions, *, scale, tile, interpret):
    """Compute attention and what the backward pass needs of it.

    Args:
      q, k, v: (w, n, g, d); d is a power of 2 of at least 16.
      table: (g, r) float32.
      codes: (n,) int32.
      regions: (s, n) int32, none negative.
      scale: Factor of the products of queries and keys.
      tile: Tokens in a tile, a power of 2 of at least 16.
      interpret: Run on any backend, slowly.

    Returns:
      out (w, n, g, d) in the dtype of `v`, and (w, g, n) float32: the logarithm to base 2 of the
      sum of exp(score) over the keys.
    """
    w, n, g, _ = q.shape
    tokens, rows, shared = _blocks(q, table, regions)
    return pl.pallas_call(
        partial(_forward, n=n, scale=scale, tile=tile),
        grid=(pl.cdiv(n, tile), g, w),
        in_specs=[tokens, tokens, tokens, *shared],
        out_specs=[tokens, rows],
        out_shape=[_like(v), jax.ShapeDtypeStruct((w, g, n), jnp.float32)],
        interpret=interpret,
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        name="window_attention",
    )(q, k, v, table * LOG2E, codes, regions)


def backward(q, k, v, table, codes, regions, out, sums, d_out, *, scale, tile, interpret):
    """Compute the gradients of q, k, v, and of the bias (g, n, n) in float32.

    Args:
      out, sums: What `forward` returns.
      d_out: (w, n, g, d), the gradient of `out`.
    """
    w, n, g, d = q.shape
    tiles = pl.cdiv(n, tile)
    delta = (out.astype(jnp.float32) * d_out.astype(jnp.float32)).sum(-1).swapaxes(1, 2)
    arrays = (q, k, v, d_out, sums, delta, table * LOG2E, codes, regions)
    options = dict(n=n, scale=scale, tile=tile)
    tokens, rows, shared = _blocks(q, table, regions)

    def of_tokens(kernel, name, like):
        return pl.pallas_call(
            partial(kernel, **options),
            grid=(tiles, g, w),
            in_specs=[tokens] * 4 + [rows] * 2 + shared,
            out_specs=[tokens] * len(like),
            out_shape=[_like(x) for x in like],
            interpret=interpret,
            compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
            name=name,
        )(*arrays)

    (dq,) = of_tokens(_backward_queries, "window_attention_dq", [q])
    dk, dv = of_tokens(_backward_keys, "window_attention_dkv", [k, v])

    sets = max(1, min(w, PROGRAMS // (tiles * tiles * g)))
    d_bias = pl.pallas_call(
        partial(_backward_bias, **options, per_set=pl.cdiv(w, sets)),
        grid=(tiles * tiles, g, sets),
        in_specs=[
            *[pl.BlockSpec((w, n, None, d), lambda i, h, s: (0, 0, h, 0))] * 4,
            *[pl.BlockSpec((w, None, n), lambda i, h, s: (0, h, 0))] * 2,
            shared[0],
            shared[1],
            pl.BlockSpec(regions.shape, lambda i, h, s: (0, 0)),
        ],
        out_specs=pl.BlockSpec((None, None, n, n), lambda i, h, s: (s, h, 0, 0)),
        out_shape=jax.ShapeDtypeStruct((sets, g, n, n), jnp.float32),
        interpret=interpret,
        compiler_params=plgpu.CompilerParams(num_warps=8, num_stages=2),
        name="window_attention_dbias",
    )(*arrays)
    return dq, dk, dv, d_bias.sum(0)


def _blocks(q, table, regions):
    """Blocks of the program of a tile, a head and a window.

    Returns:
      Those of (w, n, g, d), of (w, g, n), and of table, codes and regions.
    """
    _, n, _, d = q.shape
    tokens = pl.BlockSpec((None, n, None, d), lambda i, h, w: (w, 0, h, 0))
    rows = pl.BlockSpec((None, None, n), lambda i, h, w: (w, h, 0))
    maps = regions.shape[0]
    shared = [
        pl.BlockSpec((None, table.shape[1]), lambda i, h, w: (h, 0)),
        pl.BlockSpec((n,), lambda i, h, w: (0,)),
        pl.BlockSpec((None, n), lambda i, h, w: (lax.rem(w, maps), 0)),
    ]
    return tokens, rows, shared


def _like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


class _Tile:
    """A run of tokens of a window. The last one may reach past the window's end."""

    def __init__(self, index, n: int, tile: int):
        self.at = pl.ds(index * tile, tile)
        self.inside = index * tile + jnp.arange(tile) < n

    def load(self, ref, other=0, window=None):
        """Load (tile,) or (tile, d) numbers of its tokens; those past the end are `other`.

        Args:
          window: Its index, where `ref` has an axis of windows before the tokens.
        """
        before = () if window is None else (window,)
        mask, *after = self._mask(ref.shape[len(before) + 1 :])
        return plgpu.load(ref.at[(*before, self.at, *after)], mask=mask, other=other)

    def store(self, ref, value):
        """Store the rows of its tokens."""
        mask, *after = self._mask(ref.shape[1:])
        plgpu.store(ref.at[(self.at, *after)], value.astype(ref.dtype), mask=mask)

    def _mask(self, channels):
        """Return the mask of its tokens with `channels` (), or (d,) and an index of all d."""
        if not channels:
            return (self.inside,)
        whole = (len(self.inside), *channels)
        return jnp.broadcast_to(self.inside[:, None], whole), slice(None)


def _bias(table_ref, queries, keys):
    """Read the bias (queries, keys) for the codes of tokens."""
    return table_ref[queries[:, None] - keys[None, :] + table_ref.shape[0] // 2]


def _scores(q, k, bias, query_regions, key_regions, scale):
    """Compute the scores of pairs to base 2; `bias` is to base 2 as well."""
    scores = _dot(q, k, 1, 1) * (scale * LOG2E) + bias
    return jnp.where(query_regions[:, None] == key_regions[None, :], scores, HIDDEN)


def _dot(a, b, i, j):
    """Contract axis `i` of `a` with axis `j` of `b`, in float32."""
    return lax.dot_general(a, b, (((i,), (j,)), ((), ())), preferred_element_type=jnp.float32)


def _gradients(p, d_out, v, delta):
    """Compute the gradients of the scores from their softmax."""
    return p * (_dot(d_out, v, 1, 1) - delta[:, None])


def _forward(
    q_ref, k_ref, v_ref, table_ref, codes_ref, regions_ref, out_ref, sums_ref, *, n, scale, tile
):
    queries = _Tile(pl.program_id(0), n, tile)
    q, codes, regions = queries.load(q_ref), queries.load(codes_ref), queries.load(regions_ref)

    def visit(j, carry):
        out, top, total = carry
        keys = _Tile(j, n, tile)
        bias = _bias(table_ref, codes, keys.load(codes_ref))
        s = _scores(q, keys.load(k_ref), bias, regions, keys.load(regions_ref, -1), scale)
        new_top = jnp.maximum(top, s.max(1))
        p, shrink = jnp.exp2(s - new_top[:, None]), jnp.exp2(top - new_top)
        v = keys.load(v_ref)
        out = out * shrink[:, None] + _dot(p.astype(v.dtype), v, 1, 0)
        return out, new_top, total * shrink + p.sum(1)

    start = jnp.zeros(q.shape, jnp.float32), jnp.full(tile, HIDDEN), jnp.zeros(tile)
    out, top, total = lax.fori_loop(0, pl.cdiv(n, tile), visit, start)
    queries.store(out_ref, out / total[:, None])
    queries.store(sums_ref, top + jnp.log2(total))


def _backward_queries(
    q_ref,
    k_ref,
    v_ref,
    d_out_ref,
    sums_ref,
    delta_ref,
    table_ref,
    codes_ref,
    regions_ref,
    dq_ref,
    *,
    n,
    scale,
    tile,
):
    queries = _Tile(pl.program_id(0), n, tile)
    q, d_out = queries.load(q_ref), queries.load(d_out_ref)
    sums, delta = queries.load(sums_ref), queries.load(delta_ref)
    codes, regions = queries.load(codes_ref), queries.load(regions_ref)

    def visit(j, dq):
        keys = _Tile(j, n, tile)
        k = keys.load(k_ref)
        bias = _bias(table_ref, codes, keys.load(codes_ref))
        s = _scores(q, k, bias, regions, keys.load(regions_ref, -1), scale)
        ds = _gradients(jnp.exp2(s - sums[:, None]), d_out, keys.load(v_ref), delta)
        return dq + _dot(ds.astype(k.dtype), k, 1, 0)

    dq = lax.fori_loop(0, pl.cdiv(n, tile), visit, jnp.zeros(q.shape, jnp.float32))
    queries.store(dq_ref, dq * scale)


def _backward_keys(
    q_ref,
    k_ref,
    v_ref,
    d_out_ref,
    sums_ref,
    delta_ref,
    table_ref,
    codes_ref,
    regions_ref,
    dk_ref,
    dv_ref,
    *,
    n,
    scale,
    tile,
):
    keys = _Tile(pl.program_id(0), n, tile)
    k, v = keys.load(k_ref), keys.load(v_ref)
    codes, regions = keys.load(codes_ref), keys.load(regions_ref, -1)

    def visit(i, carry):
        dk, dv = carry
        queries = _Tile(i, n, tile)
        q, d_out = queries.load(q_ref), queries.load(d_out_ref)
        bias = _bias(table_ref, queries.load(codes_ref), codes)
        s = _scores(q, k, bias, queries.load(regions_ref), regions, scale)
        p = jnp.exp2(s - queries.load(sums_ref)[:, None])
        ds = _gradients(p, d_out, v, queries.load(delta_ref))
        return dk + _dot(ds.astype(q.dtype), q, 0, 0), dv + _dot(p.astype(v.dtype), d_out, 0, 0)

    start = jnp.zeros(k.shape, jnp.float32), jnp.zeros(v.shape, jnp.float32)
    dk, dv = lax.fori_loop(0, pl.cdiv(n, tile), visit, start)
    keys.store(dk_ref, dk * scale)
    keys.store(dv_ref, dv)


def _backward_bias(
    q_ref,
    k_ref,
    v_ref,
    d_out_ref,
    sums_ref,
    delta_ref,
    table_ref,
    codes_ref,
    regions_ref,
    d_bias_ref,
    *,
    n,
    scale,
    tile,
    per_set,
):
    tiles = pl.cdiv(n, tile)
    queries = _Tile(lax.div(pl.program_id(0), tiles), n, tile)
    keys = _Tile(lax.rem(pl.program_id(0), tiles), n, tile)
    bias = _bias(table_ref, queries.load(codes_ref), keys.load(codes_ref))
    windows, maps = q_ref.shape[0], regions_ref.shape[0]

    def visit(w, d_bias):
        q, d_out = queries.load(q_ref, window=w), queries.load(d_out_ref, window=w)
        k, v = keys.load(k_ref, window=w), keys.load(v_ref, window=w)
        sums, delta = queries.load(sums_ref, window=w), queries.load(delta_ref, window=w)
        region = lax.rem(w, maps)
        of_queries, of_keys = (
            queries.load(regions_ref, 0, region),
            keys.load(regions_ref, -1, region),
        )
        p = jnp.exp2(_scores(q, k, bias, of_queries, of_keys, scale) - sums[:, None])
        return d_bias + _gradients(p, d_out, v, delta)

    first = pl.program_id(2) * per_set
    last = jnp.minimum(first + per_set, windows)
    d_bias = lax.fori_loop(first, last, visit, jnp.zeros((tile, tile), jnp.float32))
    mask = queries.inside[:, None] & keys.inside[None, :]
    plgpu.store(d_bias_ref.at[queries.at, keys.at], d_bias, mask=mask)
