"""Layouts: every joint hangs on the center, and left and right are mirror images."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxvid import skeletons
from jaxvid.errors import UserError
from jaxvid.skeletons import SKELETONS


@pytest.mark.parametrize("layout", SKELETONS)
def test_every_joint_but_the_center_leads_to_the_center(layout):
    skeleton = skeletons.get(layout)
    towards = dict(skeleton.edges)
    assert len(towards) == len(skeleton.edges) == skeleton.joints - 1
    assert towards.keys() | {skeleton.center} == set(range(skeleton.joints))
    for joint in range(skeleton.joints):
        for _ in range(skeleton.joints):
            joint = towards.get(joint, skeleton.center)
        assert joint == skeleton.center


@pytest.mark.parametrize("layout", SKELETONS)
def test_bones_start_at_a_joint_and_one_is_zero(layout):
    skeleton = SKELETONS[layout]
    assert len(skeleton.bones) == skeleton.joints
    assert [j for j, start in enumerate(skeleton.bones) if j == start] in ([0], [20])


@pytest.mark.parametrize("layout", ["coco", "nturgb+d", "openpose"])
def test_a_mirror_changes_the_names_of_joints_but_no_edge(layout):
    skeleton = SKELETONS[layout]
    mirror = skeleton.mirror
    assert [mirror[mirror[j]] for j in range(skeleton.joints)] == list(range(skeleton.joints))
    assert not set(skeleton.left) & set(skeleton.right)
    assert all(
        mirror[left] == right for left, right in zip(skeleton.left, skeleton.right, strict=True)
    )
    mirrored = {(mirror[a], mirror[b]) for a, b in skeleton.edges}
    assert mirrored == set(skeleton.edges)


def test_a_hand_has_five_fingers_of_four_joints():
    hand = SKELETONS["handmp"]
    assert sorted(j for j, towards in hand.edges if towards == 0) == [1, 5, 9, 13, 17]
    assert hand.mirror == tuple(range(21))  # one hand: nothing to swap


def test_an_unknown_layout_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r'no skeleton layout "coco17"\. Did you mean "coco"\?'):
        skeletons.get("coco17")


@pytest.mark.skipif("JAXVID_GOLDENS" not in os.environ, reason="JAXVID_GOLDENS is not set")
@pytest.mark.parametrize("layout", ["coco", "nturgb+d", "openpose"])
def test_edges_and_center_are_the_published_ones(layout):
    with np.load(Path(os.environ["JAXVID_GOLDENS"]) / "constants.npz") as file:
        edges, center = file[f"graph/{layout}/inward"], file[f"graph/{layout}/center"]
    assert SKELETONS[layout].edges == tuple(map(tuple, edges.tolist()))
    assert SKELETONS[layout].center == int(center)
