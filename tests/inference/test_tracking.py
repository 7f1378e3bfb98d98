"""Poses of frames become tracks of people."""

import numpy as np
import pytest

from jaxvid.inference import tracking
from jaxvid.inference.tracking import Tracking, track

BODY = np.array([[0, 0], [20, 30], [-20, 30], [15, 100], [-15, 100]], np.float32)


def pose(x, y=100.0, score=0.9):
    return np.concatenate([BODY + np.array([x, y]), np.full((5, 1), score)], 1).astype(np.float32)


def frames(*people):
    """Poses of frames from the position of each person in each frame; None is nobody."""
    count = len(people[0])
    found = [[pose(x[t]) for x in people if x[t] is not None] for t in range(count)]
    return [np.stack(f) if f else np.zeros((0, 5, 3), np.float32) for f in found]


def test_people_keep_their_track_in_any_order_of_the_detector():
    one, two = [100 + 3 * t for t in range(20)], [400 - 3 * t for t in range(20)]
    shuffled = [f[::-1] if t % 2 else f for t, f in enumerate(frames(one, two))]
    people, report = track(shuffled)
    assert [p.points[:, 0, 0].tolist() for p in people] == [one, two]
    assert (report.people, report.nobody, report.interpolated, report.dropped) == (2, 0, 0, 0)


def test_people_who_pass_each_other_keep_their_direction():
    one, two = [100 + 12.0 * t for t in range(20)], [330 - 12.0 * t for t in range(20)]
    people, _ = track(frames(one, two))
    assert sorted(p.points[:, 0, 0].tolist() for p in people) == sorted([one, two])


@pytest.mark.parametrize("missing", [1, 5, 15])
def test_a_gap_is_interpolated_and_counted(missing):
    whole = [100 + 4.0 * t for t in range(30)]
    seen = [None if 5 <= t < 5 + missing else x for t, x in enumerate(whole)]
    [person], report = track(frames(seen), Tracking(gap=15))
    np.testing.assert_allclose(person.points[:, 0, 0], whole, rtol=1e-5)
    assert (person.seen == [x is not None for x in seen]).all()
    assert (report.interpolated, report.nobody) == (missing, missing)


def test_a_longer_gap_starts_another_track():
    seen = [None if 5 <= t < 25 else 100.0 for t in range(30)]
    people, report = track(frames(seen), Tracking(gap=10))
    assert [(p.start, len(p.seen)) for p in people] == [(0, 5), (25, 5)]
    assert report.interpolated == 0
    [person], report = track(frames(seen), Tracking(gap=10, single=True))
    assert len(person.seen) == 30 and not person.points[5:25].any()
    assert (report.interpolated, report.nobody) == (0, 20)


def test_short_tracks_are_dropped_and_long_certain_ones_come_first():
    long, short = [100.0] * 10, [None] * 8 + [500.0] * 2
    found = frames([300.0] * 5 + [None] * 5, long, short)
    people, report = track(found, Tracking(shortest=3))
    assert [len(p.seen) for p in people] == [10, 5]
    assert report.dropped == 1
    [alone], report = track(frames([100.0]), Tracking(shortest=3))  # a video of one frame
    assert len(alone.seen) == 1 and report.dropped == 0


def test_nobody_is_no_error():
    people, report = track([np.zeros((0, 0, 3), np.float32)] * 4)
    assert people == ()
    assert (report.people, report.nobody) == (0, 4)
    people, _ = track([np.zeros((2, 5, 3), np.float32)] * 4)  # zeros are nobody
    assert people == ()
    keypoint, score = tracking.arrays((), 0, 4, 5)
    assert keypoint.shape == (0, 4, 5, 2) and score.shape == (0, 4, 5)


def test_a_single_hand_is_the_best_of_each_frame():
    """It may jump: a hand that swipes does not overlap itself."""
    jumps = [np.stack([pose(200.0 * (t % 2), score=0.9), pose(900.0, score=0.5)]) for t in range(6)]
    [person], report = track(jumps, Tracking(single=True))
    assert person.points[:, 0, 0].tolist() == [0, 200] * 3
    assert report.people == 1


def test_rows_of_a_file_stay_people():
    rows = np.stack([np.stack([pose(100.0)] * 6), np.stack([pose(300.0)] * 6)])
    rows[1, :2] = rows[1, 3] = 0
    people, report = tracking.of_rows(rows)
    assert [(p.start, len(p.seen), int(p.seen.sum())) for p in people] == [(0, 6, 6), (2, 4, 3)]
    assert report.interpolated == 1


def test_arrays_of_a_window_have_its_best_people():
    people, _ = track(frames([100.0] * 10, [None] * 6 + [300.0] * 4, [500.0] * 3 + [None] * 7))
    keypoint, score = tracking.arrays(people, 4, 8, 5)
    assert keypoint.shape == (2, 4, 5, 2)
    assert keypoint[:, :, 0, 0].tolist() == [[100] * 4, [0, 0, 300, 300]]
    assert (score[1, :2] == 0).all() and score[1, 2:] == pytest.approx(0.9)
    assert tracking.arrays(people, 4, 8, 5, most=1)[0].shape[0] == 1


def test_similarity_of_poses():
    same, near, far = (tracking.similarity(pose(100.0), pose(x)) for x in (100.0, 108.0, 600.0))
    assert same == pytest.approx(1)
    assert 0.3 < near < 0.95
    assert far == pytest.approx(0, abs=1e-6)
