"""Adjacency matrices: published cases, upstream's own matrices, and walks along the edges."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from jaxvid import skeletons
from jaxvid.ops import graph
from tests.conftest import cases

GOLDENS = os.environ.get("JAXVID_GOLDENS", "")
needs_goldens = pytest.mark.skipif(not GOLDENS, reason="JAXVID_GOLDENS names no folder of goldens")
OWN = 5, 1, ((0, 1), (2, 1), (3, 2), (4, 1))
each_layout = pytest.mark.parametrize("layout", [*skeletons.SKELETONS, pytest.param(OWN, id="own")])


def steps_apart(layout):
    """Number of edges between any two joints, by walking."""
    skeleton = skeletons.get(layout)
    neighbors = {j: set() for j in range(skeleton.joints)}
    for a, b in skeleton.edges:
        neighbors[a].add(b)
        neighbors[b].add(a)
    apart = np.zeros((skeleton.joints, skeleton.joints), int)
    for start in neighbors:
        seen, edge, steps = {start}, {start}, 0
        while edge:
            edge = set().union(*(neighbors[j] for j in edge)) - seen
            seen |= edge
            steps += 1
            apart[start, list(edge)] = steps
        assert len(seen) == skeleton.joints
    return apart


@pytest.mark.parametrize("args,given,want,seed", cases("Graph"))
def test_published_matrices(args, given, want, seed):
    found = getattr(graph, args["mode"])(args["layout"])
    assert list(found.shape) == want["shape"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum((1, 2)), want["sum_per_subset"], atol=1e-6)
    np.testing.assert_allclose(found[:, 0], want["subset_row0"], atol=1e-7)
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), want["trace"], atol=1e-6)


@needs_goldens
@pytest.mark.parametrize("layout", ["coco", "nturgb+d", "openpose"])
@pytest.mark.parametrize(
    "name,options",
    [
        ("spatial", {}),
        ("stgcn_spatial", {}),
        ("stgcn_spatial/max_hop=2", dict(max_hop=2)),
        ("binary_adj", {}),
    ],
)
def test_matrices_are_upstreams_bit_for_bit(layout, name, options):
    want = np.load(Path(GOLDENS) / "constants.npz")[f"graph/{layout}/{name}"]
    found = getattr(graph, name.partition("/")[0])(layout, **options)
    assert found.tobytes() == want.tobytes()


@needs_goldens
@pytest.mark.parametrize("layout,golden", [("coco", "msg3d_2d"), ("nturgb+d", "msg3d_3d")])
def test_distances_are_the_scales_of_ms_g3d(layout, golden):
    stored = np.load(Path(GOLDENS) / f"{golden}.npz")
    want = stored["keep:backbone.sgcn1.0.A"]
    np.testing.assert_allclose(graph.k_hop(layout, 13), want, rtol=1e-6)
    want = stored["keep:backbone.gcn3d1.gcn3d.0.gcn3d.1.A"]
    np.testing.assert_allclose(graph.k_hop(layout, 6, window=3), want, rtol=1e-6)


@each_layout
def test_spatial_separates_towards_and_away_from_the_center(layout):
    apart = steps_apart(layout)
    skeleton = skeletons.get(layout)
    itself, parent, children = graph.spatial(layout)
    np.testing.assert_array_equal(itself, np.eye(skeleton.joints))
    for v, w in itertools.product(range(skeleton.joints), repeat=2):
        nearer = apart[v, skeleton.center] < apart[w, skeleton.center]
        below = [u for u in range(skeleton.joints) if apart[u, w] == 1 and parent[w, u]]
        assert parent[v, w] == (apart[v, w] == 1 and nearer)
        assert children[v, w] == pytest.approx((v in below) / max(len(below), 1))


@each_layout
@pytest.mark.parametrize("max_hop", [1, 2])
def test_stgcn_spatial_splits_a_mean_by_distance(layout, max_hop):
    apart = steps_apart(layout)
    skeleton = skeletons.get(layout)
    found = graph.stgcn_spatial(layout, max_hop)
    within = apart <= max_hop
    np.testing.assert_allclose(found.sum(0), within / within.sum(0), rtol=1e-6)
    # All that is further from the center than `max_hop` counts as equally far.
    far = np.minimum(apart[:, skeleton.center], max_hop + 1)
    for v, w in itertools.product(range(skeleton.joints), repeat=2):
        if within[v, w]:
            hop = apart[v, w]
            subset = 0 if hop == 0 else 2 * hop - (1 if far[v] >= far[w] else 0)
            assert found[:, v, w].nonzero()[0].tolist() == [subset]


@each_layout
@pytest.mark.parametrize("max_hop", [1, 2])
def test_stgcn_distance_has_a_subset_for_each_distance(layout, max_hop):
    apart = steps_apart(layout)
    found = graph.stgcn_distance(layout, max_hop)
    within = apart <= max_hop
    for hop, subset in enumerate(found):
        want = np.where(apart == hop, 1 / within.sum(0), 0)
        np.testing.assert_allclose(subset, want, rtol=1e-6)
    assert len(found) == max_hop + 1


@each_layout
def test_k_hop_is_a_mean_over_joints_so_far_away_and_itself(layout):
    apart = steps_apart(layout)
    for k, scale in enumerate(graph.k_hop(layout, 4)):
        there = (apart == k) | (apart == 0)
        np.testing.assert_allclose(scale, there / there.sum(0), rtol=1e-6)


@each_layout
def test_in_a_window_neighbors_and_the_joint_itself_are_near_in_all_frames(layout):
    joints = len(steps_apart(layout))
    apart = np.tile(np.maximum(steps_apart(layout), 1), (3, 3))
    np.fill_diagonal(apart, 0)
    for k, scale in enumerate(graph.k_hop(layout, 3, window=3)):
        there = (apart == k) | (apart == 0)
        assert scale.shape == (3 * joints, 3 * joints)
        np.testing.assert_allclose(scale, there / there.sum(0), rtol=1e-6)


@each_layout
def test_k_adjacency_is_the_number_of_steps(layout):
    apart = steps_apart(layout)
    (adjacency,) = graph.binary_adj(layout)
    np.testing.assert_array_equal(adjacency, apart == 1)
    eye = np.eye(len(apart))
    for k in range(apart.max() + 2):
        np.testing.assert_array_equal(graph.k_adjacency(adjacency, k), apart == k)
        found = graph.k_adjacency(adjacency, k, with_self=True, self_factor=0.5)
        np.testing.assert_array_equal(found, (apart == k) + (0.5 * eye if k else 0))
        assert found.dtype == np.float32
