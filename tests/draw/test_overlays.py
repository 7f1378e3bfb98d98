"""Skeletons on frames: colors of sides and fingers, and uncertain joints."""

import numpy as np

from jaxvid import skeletons
from jaxvid.draw import overlays

FRAME = np.full((200, 300, 3), 60, np.uint8)


def standing(scores=0.9):
    """A person whose joints are far from each other, (17, 3)."""
    j = np.arange(17)
    places = np.stack([20 + 260 * (j % 5) / 4, 20 + 160 * (j // 5) / 3], 1)
    return np.concatenate([places, np.full((17, 1), scores)], 1).astype(np.float32)


def color_at(frame, joint):
    x, y = np.rint(joint[:2]).astype(int)
    return tuple(frame[y, x].tolist())


def test_left_and_right_have_colors_of_their_own():
    coco, person = skeletons.get("coco"), standing()
    drawn = overlays.people(FRAME, person[None], coco)
    assert (FRAME == 60).all() and drawn.shape == FRAME.shape
    assert {color_at(drawn, person[j]) for j in coco.left} == {overlays.LEFT}
    assert {color_at(drawn, person[j]) for j in coco.right} == {overlays.RIGHT}
    assert color_at(drawn, person[0]) == overlays.MIDDLE


def test_fingers_have_colors_of_their_own():
    shades = overlays.joint_shades(skeletons.get("handmp"))
    assert shades[0] == overlays.MIDDLE
    assert [shades[j] for j in (1, 5, 9, 13, 17)] == list(overlays.FINGERS)
    assert shades[5:9] == [overlays.FINGERS[1]] * 4


def test_uncertain_joints_are_transparent_or_left_out():
    coco, person = skeletons.get("coco"), standing()
    person[5, 2], person[16, 2] = 0.45, 0.1
    drawn = overlays.people(FRAME, person[None], coco)
    np.testing.assert_allclose(
        color_at(drawn, person[5]), (np.array(overlays.LEFT) + 60) / 2, atol=1
    )
    assert color_at(drawn, person[16]) == (60, 60, 60)
    assert (overlays.people(FRAME, standing(0.2)[None], coco) == FRAME).all()
    assert (overlays.people(FRAME, np.zeros((0, 17, 3), np.float32), coco) == FRAME).all()


def test_joints_outside_the_frame_are_no_error():
    person = standing()
    person[:, :2] += (1000, -500)
    assert (overlays.people(FRAME, person[None], skeletons.get("coco")) == FRAME).all()
