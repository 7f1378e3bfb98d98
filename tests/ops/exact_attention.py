"""Attention and its gradients in float64 NumPy, and the error that bfloat16 may have."""

import numpy as np


def reference(q, k, v, bias, shown, d_out, scale):
    """Output, and gradients of q, k, v and of the broadcast bias, in float64."""
    q, k, v, bias, d_out = (np.float64(x) for x in (q, k, v, bias, d_out))
    scores = scale * np.einsum("...ngd,...mgd->...gnm", q, k) + bias
    weights = np.where(shown, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    total = weights.sum(-1, keepdims=True)
    weights = np.divide(weights, total, where=total > 0, out=np.zeros_like(weights))
    d_weights = np.einsum("...nge,...mge->...gnm", d_out, v)
    d_scores = weights * (d_weights - (weights * d_weights).sum(-1, keepdims=True))
    return (
        np.einsum("...gnm,...mge->...nge", weights, v),
        scale * np.einsum("...gnm,...mgd->...ngd", d_scores, k),
        scale * np.einsum("...gnm,...ngd->...mgd", d_scores, q),
        np.einsum("...gnm,...nge->...mge", weights, d_out),
        d_scores,
    )


def sum_to(x, shape):
    """Sum over the axes that broadcasting added or stretched."""
    x = x.sum(tuple(range(x.ndim - len(shape))))
    stretched = [i for i, size in enumerate(shape) if size == 1]
    return x.sum(tuple(stretched), keepdims=True)


def check_bfloat16(found, exact):
    """Compare by the largest number: sums of products that were rounded to 8 bits each."""
    assert found.shape == exact.shape
    np.testing.assert_allclose(np.float64(found), exact, rtol=0, atol=2**-7 * np.abs(exact).max())
