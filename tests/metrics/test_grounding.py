"""R@n at thresholds of IoU, counted by hand."""

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.metrics.grounding import GroundingMetrics, overlap

# Segments of four sentences; their true part is 0 to 10 s of 10 s, which the last exceeds.
FOUND = [
    [[0, 10, 0.9]],  # right
    [[0, 3, 0.9], [0, 6, 0.8]],  # the second is right at 0.5
    [[0, 5, 0.9]],  # IoU 0.5 is not above 0.5
    [[11, 12, 0.9], [1, 9, 0.5]],  # 0.8
]


def test_recall_counts_sentences_with_a_segment_above_the_threshold():
    metric = GroundingMetrics(lambda sample: np.array(FOUND[int(sample["row"])], float))
    preds = {
        "row": np.arange(5),
        "segments": np.float32([[[0, 10]]] * 3 + [[[0, 30]]] * 2),
        "duration": np.full(5, 10.0),
        "mask": np.float32([1, 1, 1, 1, 0]),
    }
    metric.update(preds)
    values = metric.compute()
    assert [values[f"r1_iou{t}"] for t in (30, 50, 70)] == [0.5, 0.25, 0.25]
    assert [values[f"r5_iou{t}"] for t in (30, 50, 70)] == [1.0, 0.75, 0.5]
    assert values["miou"] == pytest.approx((1 + 0.3 + 0.5 + 0) / 4)
    assert set(metric.larger_is_better) == set(values)


def test_segments_apart_have_a_negative_overlap():
    np.testing.assert_allclose(
        overlap(np.array([[2.0, 3], [0, 4]]), np.array([0, 1.0])), [-1 / 3, 0.25]
    )
    with pytest.raises(UserError, match="nothing to evaluate"):
        GroundingMetrics(lambda sample: sample).compute()
