"""mAP by key frame: AVA's quirks one by one, against a slow evaluation, and the published cases."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.metrics import detection
from jaxvid.metrics.detection import AvaMAP
from tests.conftest import CASES, logs

DATA = Path(os.environ.get("JAXVID_DATA", ""), "eval", "eval_detection")
needs_data = pytest.mark.skipif(
    not os.environ.get("JAXVID_DATA"), reason="JAXVID_DATA names no folder of published samples"
)


def batch(score, found, truth, labels, clip=0, time=0.0, **more):
    """One key frame, padded."""
    n, k = len(found), len(truth)
    score = np.reshape(np.asarray(score, np.float32), (n, np.shape(score)[-1]))
    return {
        "score": np.pad(score, ((0, 2), (0, 0)))[None],
        "proposals": np.pad(np.reshape(found, (n, 4)), ((0, 2), (0, 0)))[None],
        "proposal_mask": (np.arange(n + 2) < n)[None].astype(np.float32),
        "boxes": np.pad(np.reshape(truth, (k, 4)), ((0, 1), (0, 0)))[None],
        "box_label": np.pad(
            np.reshape(labels, (k, score.shape[-1])), ((0, 1), (0, 0)), constant_values=1
        )[None],
        "box_mask": (np.arange(k + 1) < k)[None].astype(np.float32),
        "clip": np.array([clip]),
        "time": np.array([time]),
        "mask": np.ones(1),
    } | {key: np.asarray(value)[None] for key, value in more.items()}


def metric(frames, classes, **options):
    found = AvaMAP(classes, **options)
    for frame in frames:
        found.update(frame)
    return found


def value(frames, classes, **options):
    found = metric(frames, classes, **options)
    values = found.compute()
    assert values.keys() <= set(found.larger_is_better)
    return values


A, B, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


# Against a slow evaluation


def overlap(a, b):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def slow_precision(frames, c, scores, count):
    """VOC's average precision of one class, from lists of (score, right)."""
    said = []
    for i, frame in enumerate(frames):
        rows = [(scores[i][n][c], box) for n, box in enumerate(frame["found"])]
        rows = sorted((r for r in rows if r[0] is not None), key=lambda r: -r[0])
        true = [box for box, label in zip(frame["truth"], frame["labels"], strict=True) if label[c]]
        taken = []
        for score, box in rows:
            best = max(range(len(true)), key=lambda k: overlap(box, true[k]), default=None)
            right = best is not None and overlap(box, true[best]) >= 0.5 and best not in taken
            taken += [best] if right else []
            said.append((score, right))
    said.sort(key=lambda r: -r[0])
    found, points = 0, []
    for i, (_, right) in enumerate(said):
        found += right
        points.append((found / count, found / (i + 1)))
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(p for _, p in points[i:])
        before = recall
    return area


def random_frames(seed, classes=4):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(12):
        truth = rng.uniform(0, 40, (rng.integers(1, 4), 2))
        truth = np.concatenate([truth, truth + rng.uniform(8, 20, truth.shape)], 1)
        found = np.concatenate([truth, truth[:1]]) + rng.normal(0, 2, (len(truth) + 1, 4))
        labels = rng.random((len(truth), classes)) < 0.4
        labels[labels.sum(1) == 0, 0] = True
        score = rng.random((len(found), classes)) ** 3
        frames.append(dict(truth=truth, found=found, labels=labels, score=np.float32(score)))
    return frames


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_that_of_a_slow_evaluation(seed):
    frames = random_frames(seed)
    found = metric(
        [batch(f["score"], f["found"], f["truth"], f["labels"]) for f in frames], 4, least=0.1
    )
    counts = sum(f["labels"].sum(0) for f in frames)

    def rounded(score):
        return None if score <= 0.1 else float(np.round(score, 4))

    published = [[[rounded(s) for s in row] for row in f["score"]] for f in frames]
    plain = [f["score"].tolist() for f in frames]
    want = [slow_precision(frames, c, published, counts[c]) for c in range(4)]
    np.testing.assert_allclose(found.average_precision(), want, rtol=1e-6)
    want = [slow_precision(frames, c, plain, counts[c]) for c in range(4)]
    np.testing.assert_allclose(found.corrected_precision(), want, rtol=1e-6)
    assert 0.2 < np.mean(want) < 0.95  # neither trivial


# AVA's quirks


def test_a_class_that_no_box_is_given_counts_in_the_corrected_mean_only():
    frames = [batch([[0.9, 0.001], [0.0, 0.002]], [A, B], [A, B], [[1, 0], [0, 1]])]
    found = value(frames, 2, corrected=True, least=0.002)
    assert found == {"map": 1.0, "map_corrected": 1.0}  # unrounded, 0.002 > 0.001 ranks right
    frames = [batch([[0.9, 0.0], [0.0, 0.0]], [A, FAR], [A, B], [[1, 0], [0, 1]])]
    assert value(frames, 2, corrected=True) == {"map": 1.0, "map_corrected": 0.5}


def test_scores_up_to_the_least_do_not_count():
    frames = [batch([[0.002], [0.0021]], [A, B], [A, B], [[1], [1]])]
    assert value(frames, 1)["map"] == 0.5


def test_scores_have_four_digits():
    """Rounding makes a tie of what was in order; the first box of a tie comes first."""
    frames = [batch([[0.50001], [0.50002]], [FAR, A], [A], [[1]])]
    assert value(frames, 1, corrected=True) == {"map": 0.5, "map_corrected": 1.0}


def test_excluded_boxes_count():
    frame = batch([[0.9]], [A], [A], [[1]], excluded=[3])
    assert value([frame], 1, corrected=True) == {"map": 0.25, "map_corrected": 1.0}


def test_a_true_box_is_found_once_and_only_by_its_nearest():
    near = (0, 0, 10, 9)
    assert value([batch([[0.9], [0.8]], [A, near], [A], [[1]])], 1)["map"] == 1.0
    # The better score finds the box that it overlaps most; the other may not take what is left.
    frames = [batch([[0.9], [0.8]], [near, A], [A, (0, 0, 10, 6)], [[1], [1]])]
    assert value(frames, 1)["map"] == 0.5


def test_half_an_overlap_is_enough():
    assert value([batch([[0.9]], [(0, 0, 10, 5)], [A], [[1]])], 1)["map"] == 1.0
    with logs("0% of the true boxes overlap a proposal"):
        assert value([batch([[0.9]], [(0, 0, 10, 4.9)], [A], [[1]])], 1)["map"] == 0.0


def test_classes_can_be_left_out_and_be_grouped():
    score = [[0.9, 0.9, 0.8, 0], [0, 0.5, 0.9, 0]]
    frames = [batch(score, [A, B], [A, B], [[1, 0, 0, 0], [0, 1, 1, 0]])]
    groups = (("first", 0, 0), ("rest", 1, 2), ("none", 3, 3))
    found = value(frames, 4, groups=groups)
    assert found == {"map": pytest.approx(2.5 / 3), "map_first": 1.0, "map_rest": 0.75}
    assert value(frames, 4, unscored=(1,), corrected=True) == {"map": 1.0, "map_corrected": 1.0}
    rows = metric(frames, 4).per_class(["a", "b", "c", "d"])
    assert [(r.name, r.n, r.ap) for r in rows[:3]] == [("a", 1, 1.0), ("b", 1, 0.5), ("c", 1, 1.0)]
    assert rows[3].n == 0
    assert np.isnan(rows[3].ap)


def test_masked_rows_do_not_count():
    frames = [batch([[0.9]], [A], [A], [[1]]), batch([[0.99]], [FAR], [A], [[1]])]
    frames[1]["mask"] = np.zeros(1)
    assert value(frames, 1)["map"] == 1.0
    with pytest.raises(UserError, match="no key frame of the split has a box"):
        value(frames[1:], 1)


# Published


def rows(file):
    with (DATA / file).open(newline="") as lines:
        return [[r[0], *map(float, r[1:])] for r in csv.reader(lines)]


@needs_data
@pytest.mark.parametrize("case", ["AVA-01", "AVA-02", "AVA-03"])
def test_ava_as_published(case):
    expected = CASES[case]["expected"]
    classes = len(CASES[case]["args"].get("custom_classes", range(4))) - 1
    frames = []
    for key in {(r[0], r[1]): None for r in rows("gt.csv")}:
        true, found = (
            [r for r in rows(f) if (r[0], r[1]) == key and r[6] <= classes]
            for f in ("gt.csv", "pred.csv")
        )
        label = [np.eye(classes)[int(r[6]) - 1] for r in true]
        score = [np.eye(classes)[int(r[6]) - 1] * r[7] for r in found]
        frames.append(batch(score, [r[2:6] for r in found], [r[2:6] for r in true], label))
    groups = (
        ("person_movement", 0, 13),
        ("object_manipulation", 14, 62),
        ("person_interaction", 63, 79),
    )
    found = value(frames, classes, groups=groups)
    assert found == {
        "map": pytest.approx(expected["overall"], abs=1e-8),
        "map_person_movement": pytest.approx(expected["person_movement"], abs=1e-8),
    }
    assert {expected[name] for name in ("object_manipulation", "person_interaction")} == {"nan"}


def test_what_counts_as_published():
    """The published list has a class less: the background is none of ours."""
    args, given = CASES["AVA-04"]["args"], CASES["AVA-04"]["input"]
    said = detection.above(np.array(given["labels"])[:, 1:], args["thr"])
    for c, want in enumerate(CASES["AVA-04"]["expected"]):
        ours = [[*given["bboxes"][i], said[i, c]] for i in np.flatnonzero(np.isfinite(said[:, c]))]
        np.testing.assert_allclose(ours, want, atol=1e-6)


# Why a mAP is 0


def people(seed=0, count=40):
    """Boxes that drift through one video, a key frame a second."""
    rng = np.random.default_rng(seed)
    start, step = rng.uniform(20, 60, 2), np.array([14.0, 9.0])
    for k in range(count):
        x, y = start + k * step
        yield k, np.array([[x, y, x + 12, y + 30]])


def reasons(frames, classes=3):
    with logs(r"mAP is [0-4]\.\d+%") as caught:
        assert value(frames, classes)["map"] < 0.05
    return caught[0]


def test_a_shift_in_time_is_named():
    boxes = [box for _, box in people()]
    frames = [
        batch([[0.9, 0.1, 0.1]], boxes[max(k - 2, 0)], box, [[1, 0, 0]], time=k)
        for k, box in people()
    ][2:]
    assert "fit the true boxes 2 earlier (100%" in reasons(frames)
    frames = [
        batch([[0.9, 0.1, 0.1]], boxes[k + 1], box, [[1, 0, 0]], time=k)
        for k, box in list(people())[:-1]
    ]
    assert "fit the true boxes 1 later (100%" in reasons(frames)


def test_pixels_for_shares_are_named():
    frames = [batch([[0.9, 0.1, 0.1]], box / 640, box, [[1, 0, 0]], time=k) for k, box in people()]
    assert "pixels where shares of the frame, 0..1, are wanted" in reasons(frames)


def test_what_fits_by_chance_is_no_shift_in_time():
    rng = np.random.default_rng(0)

    def box():
        x, y = rng.uniform(0, 16, 2)
        return np.array([[x, y, x + 12, y + 30]])

    frames = [batch([[0.5, 0.1, 0.1]], box(), box(), [[1, 0, 0]], time=k) for k in range(100)]
    told = detection.diagnose(metric(frames, 3).frames, 0.002)
    assert len(told) == 1
    assert "% of the true boxes overlap" in told[0]
    assert not told[0].startswith("0%")


def test_boxes_of_another_video_are_no_neighbors():
    boxes = [box for _, box in people()]
    frames = [
        batch([[0.9, 0.1, 0.1]], boxes[k - 1], box, [[1, 0, 0]], clip=k, time=k)
        for k, box in people()
    ]
    told = reasons(frames[1:])
    assert "0% of the true boxes overlap" in told
    assert "earlier" not in told


@pytest.mark.parametrize("step,said", [(1, "after"), (-1, "before")])
def test_classes_off_by_one_are_named(step, said):
    """Two classes of five are separated with certainty, but have the names of their neighbors."""
    label = np.eye(5)
    frames = [
        batch([label[1 + 2 * (k % 2) + step] * 0.9], box, box, [label[1 + 2 * (k % 2)]], time=k)
        for k, box in people()
    ]
    assert f"scores fit the classes {said} the true ones (mAP 100%)" in reasons(frames, 5)


def test_low_scores_are_named_with_the_highest():
    frames = [batch([[0, 0.001, 0]], box, box, [[1, 0, 0]], time=k) for k, box in people()]
    assert "no score is above 0.002" in (said := reasons(frames))
    assert "the highest of 40 boxes is 0.001" in said


def test_key_frames_without_proposals_are_counted_and_no_model_is_blamed():
    nobody = np.zeros((0, 4))
    frames = [
        batch(np.zeros((0, 3)), nobody, box, [[1, 0, 0]], time=k) for k, box in people(count=40)
    ]
    said = reasons(frames)
    assert "40 of 40 key frames have no proposal" in said
    assert "score" not in said and "train" not in said and "wide" not in said
    frames[0] = batch([[0.001, 0, 0]], *[next(people())[1]] * 2, [[1, 0, 0]], time=0)
    said = reasons(frames)
    assert "39 of 40 key frames have no proposal" in said
    assert "the highest of 1 boxes is 0.001" in said


def test_the_whole_picture_in_place_of_proposals_is_counted():
    picture = np.array([[0, 0, 800, 600]])
    frames = [batch([[0.9, 0.1, 0.1]], picture, box, [[1, 0, 0]], time=k) for k, box in people()]
    assert "40 of 40 key frames have the whole frame as their only proposal" in reasons(frames)


def test_scores_that_are_nan_are_counted():
    frames = [batch([[np.nan] * 3], box, box, [[1, 0, 0]], time=k) for k, box in people()]
    said = reasons(frames)
    assert "scores of 40 of 40 boxes are NaN or infinite" in said
    assert "no score is above" not in said


def test_what_has_no_reason_is_not_explained():
    rng = np.random.default_rng(0)
    with logs() as caught:
        value([batch([[0.9]], box, box, [[1]], time=k) for k, box in people()], 1)
        label = np.eye(150)
        frames = [
            batch([0.9 - 0.5 * label[k] - rng.random(150) / 3], box, box, [label[k]], time=k)
            for k, box in people(count=150)
        ]
        assert value(frames, 150)["map"] < 0.05
    assert not caught
