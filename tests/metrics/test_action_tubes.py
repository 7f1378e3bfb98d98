"""Metrics of UCF101-24 and JHMDB, against a slow evaluation with loops over single numbers."""

import numpy as np
import pytest

from jaxvid.metrics import action_tubes
from jaxvid.metrics.action_tubes import ActionTubeMAP
from jaxvid.metrics.tubes import Tube
from tests.metrics.test_detection import batch

CLASSES, FRAMES = 3, 24


def slow_iou(a, b):
    w = max(0, min(a[2] + 1, b[2] + 1) - max(a[0], b[0]))
    h = max(0, min(a[3] + 1, b[3] + 1) - max(a[1], b[1]))
    own = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return w * h / (sum(own) - w * h)


def slow_soft(boxes, scores):
    """Scores after the published suppression: what a better box covers by 0.6 is multiplied."""
    scores, left = list(scores), sorted(range(len(scores)), key=lambda i: (-scores[i], -i))
    result = list(scores)
    while left:
        best, rest = left[0], left[1:]
        left = []
        for i in rest:
            near = slow_iou(boxes[best], boxes[i])
            if near > 0.6:
                result[i] = scores[i] * (1 - near)
            else:
                left.append(i)
    return result


def slow_tube_iou(a, b):
    """Overlap of tubes {frame: box}."""
    first, last = max(min(a), min(b)), min(max(a), max(b))
    if last < first:
        return 0.0
    near = [slow_iou(a[f], b[f]) for f in range(first, last + 1)]
    whole = max(max(a), max(b)) - min(min(a), min(b)) + 1
    return sum(near) / len(near) * (last - first + 1) / whole


def slow_ap(found, true, near, least):
    """AP of [(score, key, thing)] in {key: things}."""
    left = {key: list(things) for key, things in true.items()}
    count, hits, area = sum(map(len, left.values())), 0, 0.0
    precision, recall = 1.0, 0.0
    for n, (_, key, thing) in enumerate(sorted(found, key=lambda row: -row[0]), 1):
        each = [near(other, thing) for other in left.get(key, [])]
        if each and max(each) >= least:
            left[key].pop(each.index(max(each)))
            hits += 1
        before = precision, recall
        precision, recall = hits / n, hits / count
        area += (recall - before[1]) * (precision + before[0]) / 2
    return area


def slow_link(by_frame):
    """Tubes of [(score, {frame: box})] of {frame: (boxes, scores)} of one class and video."""
    done, going = [], []
    for f in range(1, FRAMES + 1):
        boxes, scores = by_frame.get(f, ([], []))
        rows = sorted(zip(slow_soft(boxes, scores), boxes, strict=True), key=lambda r: -r[0])[:10]
        going.sort(key=lambda t: -sum(r[1] for r in t) / len(t))
        kept = []
        for t in going:
            near = [r for r in rows if slow_iou(r[1], t[-1][2]) >= 0.5]
            if near:
                t.append((f, near[0][0], near[0][1]))
                rows = [r for r in rows if r is not near[0]]
                kept.append(t)
            else:
                done.append(t)
        going = kept + [[(f, s, box)] for s, box in rows]
    tubes = []
    for t in done + going:
        score = sum(r[1] for r in t) / len(t)
        if len(t) >= 15 and score >= 0.005:
            tubes.append((score, {f: box for f, _, box in t}))
    kept = []
    for score, tube in sorted(tubes, key=lambda t: -t[0]):
        if all(slow_tube_iou(tube, other) <= 0.3 for _, other in kept):
            kept.append((score, tube))
    return kept


@pytest.fixture(scope="module")
def videos():
    """True tubes (class, {frame: box}) and boxes with scores of three videos."""
    rng = np.random.default_rng(0)
    made = []
    for video in range(3):
        true = []
        for k in range(2):
            start, first, last = rng.uniform(0, 60, 2), rng.integers(1, 5), rng.integers(18, 25)
            walk = {f: np.r_[start + f, start + f + [40, 60]] for f in range(first, last + 1)}
            true.append(((video + k) % CLASSES, walk))
        found = {}
        for f in range(1, FRAMES + 1):
            boxes, scores = [], []
            for label, walk in true:
                for _ in range(2):
                    if f in walk and rng.random() < 0.98:
                        boxes.append(walk[f] + rng.normal(0, (2, 4, 7)[video], 4))
                        scores.append(np.eye(CLASSES)[label] * 0.5 + rng.random(CLASSES) * 0.5)
            if video == 1:  # nobody is there
                boxes.append(np.array([200.0, 200, 240, 260]))
                scores.append(rng.random(CLASSES))
            found[f] = np.array(boxes).reshape(-1, 4), np.array(scores).reshape(-1, CLASSES)
        made.append((true, found))
    return made


@pytest.fixture(scope="module")
def measured(videos):
    metric = ActionTubeMAP(CLASSES)
    for video, (true, found) in enumerate(videos):
        for f, (boxes, scores) in found.items():
            own = [(k, label, walk[f]) for k, (label, walk) in enumerate(true) if f in walk]
            labels = [np.eye(CLASSES)[label] for _, label, _ in own]
            tube = np.array([*(10 * video + k for k, _, _ in own), -1])
            true_boxes = [box for _, _, box in own]
            labels = np.reshape(labels, (-1, CLASSES))
            metric.update(batch(scores, boxes, true_boxes, labels, clip=video, time=f, tube=tube))
    values = metric.compute()
    assert tuple(values) == metric.larger_is_better
    return values


def single(scores):  # as predictions come from a model
    return np.asarray(scores, np.float32).astype(float)


def test_frames_are_measured_as_published(videos, measured):
    each = []
    for c in range(CLASSES):
        found, true = [], {}
        for video, (tubes, boxes) in enumerate(videos):
            for f, (own, scores) in boxes.items():
                soft = slow_soft(own, single(scores[:, c]))
                found += [(s, (video, f), box) for s, box in zip(soft, own, strict=True)]
            for label, walk in tubes:
                for f, box in walk.items():
                    if label == c:
                        true.setdefault((video, f), []).append(box)
        each.append(slow_ap(found, true, slow_iou, 0.5))
    assert 0.1 < np.mean(each) < 0.95
    assert measured["frame_map"] == pytest.approx(np.mean(each), rel=1e-6)


def test_tubes_are_measured_as_published(videos, measured):
    each = {}
    for c in range(CLASSES):
        found, true = [], {}
        for video, (tubes, boxes) in enumerate(videos):
            rows = {f: (own, single(scores[:, c])) for f, (own, scores) in boxes.items()}
            found += [(score, video, tube) for score, tube in slow_link(rows)]
            true[video] = [walk for label, walk in tubes if label == c]
        for least in np.unique([0.2, *(0.5 + 0.05 * np.arange(10))]):
            each.setdefault(least, []).append(slow_ap(found, true, slow_tube_iou, least))
    mean = {round(least, 2): np.mean(values) for least, values in each.items()}
    assert 0 < mean[0.75] < mean[0.2]
    for name, want in (("20", mean[0.2]), ("50", mean[0.5]), ("75", mean[0.75])):
        assert measured[f"video_map{name}"] == pytest.approx(want, rel=1e-6)
    strict = np.mean([value for least, value in mean.items() if least >= 0.5])
    assert measured["video_map50_95"] == pytest.approx(strict, rel=1e-6)


def test_a_second_box_takes_the_next_true_one():
    near = np.array([[0.9, 0.6], [0.8, 0.7], [0.9, 0.9]])
    assert action_tubes.taken(near, np.array([0.9, 0.5, 0.1]), 0.5).tolist() == [True, True, False]
    assert action_tubes.taken(near, np.array([0.9, 0.5, 0.1]), 0.75).tolist() == [True, False, True]
    assert action_tubes.taken(near[:, :0], np.ones(3), 0.5).tolist() == [False] * 3


def test_one_common_frame_is_an_overlap():
    box = np.array([[0, 0, 9, 9.0]])
    one, two = Tube(0, np.arange(3), box.repeat(3, 0)), Tube(0, np.arange(2, 5), box.repeat(3, 0))
    assert action_tubes.overlap(one, two) == pytest.approx(1 / 5)
    assert action_tubes.overlap(one, Tube(0, np.arange(3, 5), box.repeat(2, 0))) == 0


def test_the_area_joins_points_by_lines():
    assert action_tubes.area(np.array([0.9]), np.array([True]), 1) == 1.0
    found = action_tubes.area(np.array([0.9, 0.8]), np.array([False, True]), 1)
    assert found == pytest.approx(0.25)  # from (0, 0) to (1, 1/2)
    assert action_tubes.area(np.zeros(0), np.zeros(0, bool), 2) == 0.0
