"""Adjacency matrices of skeleton graphs.

Shapes: k subsets, j joints. An entry [v, w] is the weight of joint v in the sum for joint w.
"""

import numpy as np

from jaxvid import skeletons
from jaxvid.skeletons import Layout


def spatial(layout: Layout) -> np.ndarray:
    """Each joint itself, its neighbor towards the center, and the mean of those away from it.

    The partition of 2s-AGCN (Shi et al., 2019) and PYSKL (Duan et al., 2022).

    Returns:
      (3, j, j) float32.
    """
    inward = edges(layout)
    subsets = np.eye(len(inward)), normalize(inward), normalize(inward.T)
    return np.stack(subsets).astype(np.float32)


def stgcn_spatial(layout: Layout, max_hop: int = 1) -> np.ndarray:
    """The mean over all joints within `max_hop` edges, in subsets by distance.

    The spatial partition of ST-GCN (Yan et al., 2018): for every distance but 0 there are two
    subsets, the joints that are not nearer to the center and those that are.

    Returns:
      (1 + 2 max_hop, j, j) float32.
    """
    between = distances(layout, max_hop)
    # Distances beyond `max_hop` are all the same, those to the center too: published weights were
    # trained so.
    center = between[:, skeletons.get(layout).center]
    outward = center[:, None] >= center
    mean = normalize(between <= max_hop)
    subsets = [np.where(between == 0, mean, 0)]
    for hop in range(1, max_hop + 1):
        subsets += [np.where((between == hop) & side, mean, 0) for side in (outward, ~outward)]
    return np.stack(subsets).astype(np.float32)


def stgcn_distance(layout: Layout, max_hop: int = 1) -> np.ndarray:
    """The mean over all joints within `max_hop` edges, in subsets by distance.

    The distance partition of ST-GCN (Yan et al., 2018).

    Returns:
      (1 + max_hop, j, j) float32.
    """
    between = distances(layout, max_hop)
    mean = normalize(between <= max_hop)
    subsets = [np.where(between == hop, mean, 0) for hop in range(max_hop + 1)]
    return np.stack(subsets).astype(np.float32)


def k_hop(layout: Layout, scales: int, window: int = 1) -> np.ndarray:
    """The mean over the joint itself and all that are exactly k edges apart, for k below `scales`.

    The disentangled scales of MS-G3D (Liu et al., 2020).

    Args:
      window: Number of frames. In a window, a joint and its neighbors in all frames are neighbors.

    Returns:
      (scales, window j, window j) float32.
    """
    (adjacency,) = binary_adj(layout)
    adjacency = np.tile(adjacency + np.eye(len(adjacency), dtype=np.float32), (window, window))
    return np.stack([normalize(k_adjacency(adjacency, k, with_self=True)) for k in range(scales)])


def binary_adj(layout: Layout) -> np.ndarray:
    """1 for neighbors, without regard to the center: (1, j, j) float32."""
    inward = edges(layout)
    return (inward + inward.T)[None].astype(np.float32)


def k_adjacency(
    adjacency: np.ndarray, k: int, *, with_self: bool = False, self_factor: float = 1
) -> np.ndarray:
    """1 for joints exactly `k` edges apart (Liu et al., 2020, MS-G3D).

    Args:
      adjacency: (j, j) of zeros and ones.
      with_self: add `self_factor` to the diagonal; not at k = 0, which is the diagonal.

    Returns:
      (j, j), in the dtype of `adjacency`.
    """
    loops = np.eye(len(adjacency), dtype=adjacency.dtype)
    if k == 0:
        return loops
    within, nearer = (np.linalg.matrix_power(adjacency + loops, n) > 0 for n in (k, k - 1))
    apart = (within & ~nearer).astype(adjacency.dtype)
    return apart + self_factor * loops if with_self else apart


def edges(layout: Layout) -> np.ndarray:
    """(j, j): 1 at [v, w] where v is the neighbor of w towards the center."""
    skeleton = skeletons.get(layout)
    inward = np.zeros((skeleton.joints, skeleton.joints))
    for joint, neighbor in skeleton.edges:
        inward[neighbor, joint] = 1
    return inward


def distances(layout: Layout, max_hop: int) -> np.ndarray:
    """(j, j) number of edges between joints; infinity beyond `max_hop`."""
    inward = edges(layout)
    found = np.full(inward.shape, np.inf)
    for hop in range(max_hop, -1, -1):
        found[np.linalg.matrix_power(np.eye(len(inward)) + inward + inward.T, hop) > 0] = hop
    return found


def normalize(adjacency: np.ndarray) -> np.ndarray:
    """Each column divided by its sum; a column of zeros stays."""
    total = adjacency.sum(0)
    return adjacency / np.where(total > 0, total, 1)
