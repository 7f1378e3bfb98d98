"""MultiSports' metrics: the published numbers, and the parts they are made of."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from jaxvid.metrics import tubes
from jaxvid.metrics.tubes import MultiSportsMAP, Tube
from tests.conftest import CASES, logs
from tests.metrics.test_detection import batch

DATA = Path(os.environ.get("JAXVID_DATA", ""), "eval")
NAMES = {
    "v_map@0.2": "video_map20",
    "v_map@0.5": "video_map50",
    "v_map_0.05:0.45": "video_map05_45",
    "v_map_0.10:0.90": "video_map10_90",
    "v_map_0.50:0.95": "video_map50_95",
}
UNSCORED = {
    "aerobic kick jump",
    "aerobic off axis jump",
    "aerobic butterfly jump",
    "aerobic balance turn",
    "basketball save",
    "basketball jump ball",
}


@pytest.fixture(scope="module")
def published():
    if not os.environ.get("JAXVID_DATA"):
        pytest.skip("JAXVID_DATA names no folder of published samples")
    about = json.loads((DATA / "multisports_gt.json").read_text())
    found = np.load(DATA / "multisports_predictions.npz")
    (video,) = about["test_videos"][0]
    height, width = about["resolution"][video]
    true = {}
    every = [(int(c), tube) for c, some in about["gttubes"][video].items() for tube in some]
    for number, (label, tube) in enumerate(every):
        for frame, *box in tube:
            true.setdefault(int(frame), []).append((box, np.eye(66)[label], number))
    ends = found["n"].cumsum()
    unscored = [i for i, name in enumerate(about["labels"]) if name in UNSCORED]
    metric = MultiSportsMAP(66, unscored=unscored, published=True)
    for frame, count, end in zip(found["timestamp"], found["n"], ends, strict=True):
        boxes, labels, numbers = zip(*true[int(frame)], strict=True)
        rows = slice(end - count, end)
        places = found["bboxes"][rows] * np.array([width, height] * 2)
        tube = np.array([*numbers, -1])
        metric.update(batch(found["scores"][rows], places, boxes, labels, time=frame, tube=tube))
    return metric.compute()


def test_what_mmaction2_reports(published):
    expected = CASES["MultiSports-01"]["expected"]
    assert published["frame_map"] * 100 == pytest.approx(expected["frameAP"], abs=1e-4)
    for theirs, ours in NAMES.items():
        assert published[f"{ours}_published"] * 100 == pytest.approx(expected[theirs], abs=1e-4)


def test_what_it_would_report_without_its_error(published):
    expected = CASES["MultiSports-02"]["expected"]
    for theirs, ours in NAMES.items():
        assert published[ours] * 100 == pytest.approx(expected[theirs], abs=1e-4)


# Linking


def walk(first, frames, start, step=1.0, score=0.9):
    """{frame: (1, 5)} of a box that walks to the right."""
    return {
        first + i: np.array([[start + i * step, 0, start + i * step + 20, 30, score]])
        for i in range(frames)
    }


def together(*walks):
    every = sorted({frame for some in walks for frame in some})
    return {f: np.concatenate([some[f] for some in walks if f in some]) for f in every}


def spans(found):
    return [(t.frames[0], t.frames[-1], round(float(t.boxes[0, 0]))) for t in found]


def test_boxes_that_follow_each_other_are_a_tube():
    (tube,) = tubes.link(3, walk(5, 20, 100.0, score=0.4))
    assert tube.clip == 3
    assert tube.frames.tolist() == list(range(5, 25))
    assert tube.boxes[:, 0].tolist() == [100.0 + i for i in range(20)]
    assert tube.score == pytest.approx(0.4)


def test_a_frame_without_a_box_ends_a_tube():
    gap = walk(1, 40, 0.0)
    del gap[18]
    assert spans(tubes.link(0, gap)) == [(1, 17, 0), (19, 40, 18)]


def test_a_jump_ends_a_tube():
    jump = together(walk(1, 16, 0.0), walk(17, 16, 300.0))
    assert spans(tubes.link(0, jump)) == [(1, 16, 0), (17, 32, 300)]


def test_tubes_that_are_short_or_weak_are_none():
    assert len(tubes.link(0, walk(1, 15, 0.0))) == 1
    assert tubes.link(0, walk(1, 14, 0.0)) == []
    assert tubes.link(0, walk(1, 30, 0.0, score=0.004)) == []


def test_the_better_tube_chooses_first_and_takes_the_best_box():
    """Two far apart, until one box between lies near to both."""
    strong, weak = walk(1, 20, 100.0, 0, 0.9), walk(1, 20, 112.0, 0, 0.5)
    both = together(strong, weak)
    both[20] = np.array([[106.0, 0, 126, 30, 0.7]])
    found = {t.frames[-1]: t for t in tubes.link(0, both)}
    assert found[20].boxes[0, 0] == 100
    assert found[19].boxes[0, 0] == 112


def test_scores_near_a_better_box_are_lowered_by_the_overlap():
    rows = np.array([[0.0, 0, 9, 9, 0.5], [1, 0, 10, 9, 0.9], [40, 0, 49, 9, 0.2]])
    got = tubes.suppress(rows)
    # 10 pixels wide each, 9 in common: 90 of 110.
    np.testing.assert_allclose(got[:, 4], [0.9, 0.2, 0.5 * (1 - 90 / 110)])
    np.testing.assert_allclose(got[:, 0], [1, 40, 0])
    apart = rows + np.array([[0, 0, 0, 0, 0], [4, 0, 4, 0, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(tubes.suppress(apart)[:, 4], [0.9, 0.5, 0.2])
    assert tubes.suppress(rows[:0]).shape == (0, 5)


def test_a_box_that_is_lowered_lowers_none():
    rows = np.array([[0.0, 0, 9, 9, 0.9], [2, 0, 11, 9, 0.6], [4, 0, 13, 9, 0.5]])
    assert tubes.suppress(rows)[:, 4].tolist() == pytest.approx([0.9, 0.5, 0.6 * (1 - 80 / 120)])


def test_ten_boxes_of_a_frame_are_kept():
    crowd = together(*(walk(1, 15, 100.0 * k, score=0.5 + 0.01 * k) for k in range(12)))
    found = tubes.link(0, crowd)
    assert sorted(t.boxes[0, 0] for t in found) == [100.0 * k for k in range(2, 12)]


# Overlap of tubes


def tube(first, last, shift=0.0, clip=0, score=1.0):
    frames = np.arange(first, last + 1)
    return Tube(clip, frames, np.tile([shift, 0, shift + 10, 10.0], (len(frames), 1)), score)


@pytest.mark.parametrize(
    "other,want",
    [
        (tube(0, 20), 1.0),
        (tube(0, 10), 0.5),
        (tube(10, 30), 1 / 3),
        (tube(0, 20, shift=5), 1 / 3),
        (tube(0, 10, shift=5), 1 / 6),
        (tube(20, 30), 0.0),  # one frame in common is no time
        (tube(21, 30), 0.0),
    ],
)
def test_overlap_is_in_space_times_in_time(other, want):
    assert tubes.tube_iou(tube(0, 20), other) == pytest.approx(want)
    assert tubes.tube_iou(other, tube(0, 20)) == pytest.approx(want)


def test_tubes_of_another_video_find_nothing():
    truth = [tube(0, 20), tube(0, 20, clip=1)]
    found = [tube(0, 20, score=0.9), tube(0, 20, clip=2, score=0.8)]
    assert tubes.tube_precision(found, truth, 0.5) == 0.5
    assert tubes.tube_precision([], truth, 0.5) == 0.0
    twice = [tube(0, 20, score=0.9), tube(0, 19, score=0.8), tube(0, 20, clip=1, score=0.7)]
    assert tubes.tube_precision(twice, truth, 0.5) == pytest.approx(0.5 + 0.5 * 2 / 3)


# The metric


def frames_of(score, label=0, shift=0.0, count=20, classes=3):
    for f in range(1, count + 1):
        box = np.array([[10.0 + f, 5, 40 + f, 60]])
        labels = np.eye(classes)[[label]]
        yield batch([score], box + shift, box, labels, time=f, tube=np.array([7, -1]))


def evaluate(frames, **options):
    metric = MultiSportsMAP(3, **options)
    for frame in frames:
        metric.update(frame)
    values = metric.compute()
    assert metric.larger_is_better == tuple(values)
    return values


def test_a_box_has_its_best_class_alone():
    assert evaluate(frames_of([0.6, 0.3, 0.1]))["frame_map"] == 1.0
    found = evaluate(frames_of([0.4, 0.5, 0.1]))
    assert set(found.values()) == {0.0}
    found = evaluate(frames_of([0.6, 0.3, 0.1]))
    assert found["video_map20"] == found["video_map50_95"] == 1.0


def test_the_published_error_gives_all_boxes_the_score_of_the_last():
    frames = list(frames_of([0.6, 0.3, 0.1]))
    assert evaluate(frames, published=True)["video_map50_published"] == 1.0
    frames[-1]["score"] = np.full_like(frames[-1]["score"], 0.001)
    found = evaluate(frames, published=True)
    assert found["video_map50"] == 1.0
    assert found["video_map50_published"] == 0.0  # all tubes are too weak


def test_thresholds_are_averaged():
    """Boxes that overlap by 2 of 4 thirds."""
    found = evaluate(frames_of([0.6, 0.3, 0.1], shift=np.array([10.0, 0, 10, 0])))
    assert found["video_map20"] == found["video_map50"] == found["video_map05_45"] == 1.0
    assert found["video_map10_90"] == pytest.approx(5 / 9)
    assert found["video_map50_95"] == pytest.approx(1 / 10)


def test_classes_can_be_left_out():
    every = [*frames_of([0.6, 0.3, 0.1]), *frames_of([0.6, 0.3, 0.1], label=1, count=19)]
    for i, frame in enumerate(every[20:]):
        frame["clip"], frame["tube"] = np.array([1]), np.array([[8, -1]])
        frame["time"] = np.array([i + 1.0])
    half, whole = evaluate(every), evaluate(every, unscored=(1,))
    assert half["video_map50"] == pytest.approx(0.5)
    assert whole["video_map50"] == 1.0
    assert whole["frame_map"] == pytest.approx(2 * half["frame_map"])


def test_nothing_found_is_zero():
    nothing = [f | {"proposal_mask": np.zeros((1, 3))} for f in frames_of([0.6, 0.3, 0.1])]
    assert set(evaluate(nothing, published=True).values()) == {0.0}


def test_rows_are_of_the_mean():
    metric = MultiSportsMAP(3, unscored=(1,))
    for frame in [*frames_of([0.6, 0.3, 0.1]), *frames_of([0.6, 0.3, 0.1], label=1)]:
        metric.update(frame)
    first, second, third = metric.per_class(["a", "b", "c"])
    assert (first.name, first.n, first.ap) == ("a", 20, metric.compute()["frame_map"])
    assert (second.n, third.n) == (20, 0)
    assert np.isnan([second.ap, third.ap]).all()


def test_a_low_frame_map_is_explained():
    metric = MultiSportsMAP(2)
    nobody, box = np.zeros((0, 4)), np.array([[0, 0, 10, 10]])
    for time in range(3):
        metric.update(batch(np.zeros((0, 2)), nobody, box, [[1, 0]], time=time, tube=[0, 0]))
    with logs("3 of 3 key frames have no proposal"):
        assert metric.compute()["frame_map"] == 0
