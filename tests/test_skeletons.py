"""Layouts: every joint hangs on the center, and left and right are mirror images."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvid import plug, skeletons
from jaxvid.config import loading, options, schema
from jaxvid.data.transforms.skeleton import Streams
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


HAND = 4, 1, ((0, 1), (2, 1), (3, 2))


def test_a_graph_of_ones_own():
    skeleton = skeletons.get(HAND)
    assert (skeleton.joints, skeleton.center, skeleton.edges) == HAND
    assert skeleton.bones == (1, 1, 1, 2)
    assert skeleton.mirror == (0, 1, 2, 3)


def test_a_published_graph_given_as_ones_own_is_the_same():
    hand = SKELETONS["handmp"]
    assert skeletons.get((hand.joints, hand.center, hand.edges)) == hand


@pytest.mark.parametrize(
    "layout,problem",
    [
        ((4, 4, ((0, 1),)), "the center must be one of the 4 joints, from 0 to 3"),
        ((4, 0, ((1, 0), (2, 4), (3, 0))), r"\(2, 4\) is no edge between two of 4 joints"),
        ((4, 0, ((1, 0), (2, 2), (3, 0))), r"\(2, 2\) is no edge"),
        ((4, 0, ((1, 0), (2, 3), (3, 2))), "no edges lead from joint 2 to the center, 0"),
        ((4, 0, ((1, 0), (2, 0))), "no edges lead from joint 3"),
        ((3, 0, ((0, 1), (2, 0), (1, 0))), r"an edge leads away from the center, 0: \(0, 1\)"),
        ((3, 0), "it needs three items"),
    ],
)
def test_a_wrong_graph_of_ones_own(layout, problem):
    with pytest.raises(UserError, match=problem):
        skeletons.get(layout)


def test_a_config_takes_a_graph_of_ones_own():
    """The model, the streams of the data and the check of the config agree on it."""
    config = loading.load("skeleton_own:2d_b")
    changes = {"model.layout": HAND, "data.recipe.layout": HAND}
    options.admit(config, changes, {})
    options.change(config, changes)
    schema.check(config)
    model = plug.load("models", config.model.to_dict(), num_classes=5)
    keypoint = jax.ShapeDtypeStruct((2, 2, 8, 4, 3), np.float32)
    out, _ = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), keypoint
    )
    assert out.shape == (2, 5)
    transforms = plug.load("data.recipes", config.data.recipe.to_dict(), split="val")
    streams = next(step for step in transforms if isinstance(step, Streams))
    points = np.arange(8, dtype=np.float32).reshape(1, 1, 4, 2)
    bones = streams({"keypoint": points}, np.random.default_rng(0))["keypoint"]
    np.testing.assert_array_equal(bones[0, 0], [[-2, -2], [0, 0], [2, 2], [2, 2]])


@pytest.mark.parametrize("key", ["model.layout", "data.recipe.layout"])
@pytest.mark.parametrize(
    "layout,problem",
    [
        ((4, 1), "layout.*it must be a text, or a tuple of 3"),
        ((4, 1, ((0,), (1, 2))), "layout.*it must be a text, or a tuple of 3"),
        (5, "layout.*it must be a text"),
        ((4, 1, ((0, 1), (2, 1), (3, 4))), r"\(3, 4\) is no edge"),
        ("coco17", 'no skeleton layout "coco17". Did you mean'),
    ],
)
def test_a_config_with_a_wrong_graph(key, layout, problem):
    config = loading.load("skeleton_own:2d_b")
    changes = {key: layout}
    options.admit(config, changes, {})
    options.change(config, changes)
    with pytest.raises(UserError, match=problem):
        schema.check(config)
        plug.load("models", config.model.to_dict(), num_classes=5)
