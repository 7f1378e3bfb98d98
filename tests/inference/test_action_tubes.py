"""Detections of several moments become tubes with numbers that stay."""

import numpy as np
import pytest

from jaxvid.inference import action_tubes, draw
from jaxvid.results import Detected


def moment(time, *boxes, labels=("walk", "wave"), scores=(0.8, 0.4)):
    return Detected((labels,) * len(boxes), (scores,) * len(boxes), boxes, time)


LEFT, RIGHT, FAR = (0, 0, 20, 40), (60, 0, 80, 40), (30, 60, 40, 80)


def test_boxes_that_overlap_are_one_person_in_any_order():
    found = action_tubes.link(
        [moment(0.5, LEFT, RIGHT), moment(1.5, (58, 0, 78, 40), (2, 0, 22, 40)), moment(2.5, FAR)]
    )
    assert [m.numbers for m in found.moments] == [(1, 2), (2, 1), (3,)]
    assert [tube.times for tube in found.tubes] == [(0.5, 1.5), (0.5, 1.5), (2.5,)]
    assert found.tubes[1].boxes == (RIGHT, (58, 0, 78, 40))


def test_a_person_can_be_missing_for_two_moments():
    gone = [moment(1.0), moment(2.0, FAR)]
    found = action_tubes.link([moment(0.0, LEFT), *gone, moment(3.0, LEFT)])
    assert found.moments[3].numbers == (1,)
    found = action_tubes.link([moment(0.0, LEFT), *gone, moment(3.0), moment(4.0, LEFT)])
    assert found.moments[4].numbers == (3,)


def test_scores_are_means_and_missing_classes_count_zero():
    two = moment(1.0, LEFT, labels=("walk", "sit"), scores=(0.6, 0.5))
    (tube,) = action_tubes.link([moment(0.0, LEFT), two]).tubes
    assert tube.labels == ("walk", "sit", "wave")
    assert tube.scores == pytest.approx((0.7, 0.25, 0.2))
    assert action_tubes.link([]).tubes == ()


def test_a_person_keeps_the_color_of_its_number():
    found = action_tubes.link([moment(0.0, LEFT, RIGHT), moment(1.0, RIGHT)])
    frame = np.zeros((400, 600, 3), np.uint8)
    before, after = (draw.on_frame(found, frame, time) for time in (0.0, 1.0))
    assert after[39, 70].any()
    np.testing.assert_array_equal(before[39, 70], after[39, 70])
