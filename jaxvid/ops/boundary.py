"""The boundary-matching layer of BMN (Lin et al., 2019), https://arxiv.org/abs/1907.09702.

Cell (d, s) of a map is the segment of d + 1 bins from bin s on. A segment and its surroundings are
sampled at evenly spread places, a few for each of n means, by linear interpolation. That is linear
in the features, so upstream multiplies them with a constant of 32 M entries. All but 3 % of these
are zero, and half of them belong to cells that reach beyond the video.

Shapes: b batch, t bins of time, d durations, s starts, p cells within the video, n samples of a
cell, k places of a sample, c channels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def valid_cells(frames: int) -> np.ndarray:
    """bool (d, s): the cells that end within `frames` bins."""
    return np.add.outer(np.arange(frames), np.arange(frames)) < frames


def places(frames: int, samples: int, per_sample: int, ratio: float) -> np.ndarray:
    """Return the positions where each cell is sampled, in bins: float64 (d, s, n, k).

    Args:
      frames: bins, and so durations and starts.
      samples, per_sample: n and k.
      ratio: of a segment's length, how far the places reach beyond either end of it.
    """
    length, start = np.meshgrid(np.arange(1.0, frames + 1), np.arange(frames), indexing="ij")
    first, last = start - length * ratio, start + length - 1 + length * ratio
    step = (last - first) / (samples * per_sample - 1)
    found = first[..., None] + step[..., None] * np.arange(samples * per_sample)
    return found.reshape(frames, frames, samples, per_sample)


def interpolation(where: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The bin before each place, and the share of the bin after it.

    As published: the first bin stands for places up to one before it, beyond that and after the
    last bin there is nothing. Bin `frames` stands for nothing.
    """
    low, share = np.floor(where).astype(np.int32), where - np.floor(where)
    before = (where > -1) & (where < 0)
    low = np.where(before, 0, np.where((where > -1) & (where < frames), low, frames))
    return low, np.where(before, 0.0, share)


def sampling_mask(frames: int, samples: int, per_sample: int, ratio: float) -> np.ndarray:
    """Return the weights that upstream stores: float32 (t, n d s), 0 for cells beyond the video."""
    low, share = interpolation(places(frames, samples, per_sample, ratio), frames)
    low[~valid_cells(frames)] = frames
    mask = np.zeros((frames + 2, samples, frames, frames), np.float32)
    d, s = np.ix_(np.arange(frames), np.arange(frames))
    for n in range(samples):
        weights = np.zeros((frames + 2, frames, frames))  # float64, as they are summed upstream
        for k in range(per_sample):
            np.add.at(weights, (low[:, :, n, k], d, s), 1 - share[:, :, n, k])
            np.add.at(weights, (low[:, :, n, k] + 1, d, s), share[:, :, n, k])
        mask[:, n] = weights / per_sample
    return mask[:frames].reshape(frames, -1)


@functools.lru_cache(maxsize=4)
def _table(frames: int, samples: int, per_sample: int, ratio: float):
    """`interpolation` of the valid cells (p, n, k), and for each cell (d s) its p, or beyond."""
    valid = valid_cells(frames)
    low, share = interpolation(places(frames, samples, per_sample, ratio)[valid], frames)
    cells = np.where(valid.ravel(), valid.cumsum() - 1, valid.sum())
    return low.astype(np.int16), share.astype(np.float32), cells.astype(np.int32)


def sample_cells(x, kernel, samples: int, per_sample: int, ratio: float):
    """Sample every cell and mix its samples: (b, t, c), (n, c, o) -> (b, d, s, o).

    Mixing channels before sampling, and for the cells within the video only, takes a sixth of the
    operations of the published order, and never holds the n samples of a cell.

    Returns:
      The sums over samples and channels; 0 for cells beyond the video.
    """
    frames = x.shape[1]
    low, share, cells = _table(frames, samples, per_sample, ratio)
    # Without the barrier XLA evaluates the matrix while it compiles, for minutes.
    low, share = jax.lax.optimization_barrier((jnp.asarray(low), jnp.asarray(share)))
    bins = jnp.arange(frames, dtype=low.dtype)[:, None]
    weights = jnp.zeros((samples, frames, low.shape[0]), jnp.float32)
    for k in range(per_sample):
        at, part = low[:, :, k].T[:, None], share[:, :, k].T[:, None]  # (n, 1, p)
        weights += jnp.where(at == bins, 1 - part, 0) + jnp.where(at + 1 == bins, part, 0)
    weights = (weights / per_sample).astype(x.dtype)
    mixed = jnp.einsum("btc,nco->bnto", x, kernel)
    # TF32 would round the weights to three digits.
    found = jnp.einsum("bnto,ntp->bpo", mixed, weights, precision=jax.lax.Precision.HIGHEST)
    found = jnp.take(found, cells, axis=1, mode="fill", fill_value=0)
    return found.reshape(len(x), frames, frames, -1)
