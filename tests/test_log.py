"""How metrics are written for people."""

import pytest

from jaxvid import log


@pytest.mark.parametrize(
    "key,value,text",
    [
        ("val/n", 1, "val/n 1"),
        ("val/loss", 0.5, "val/loss 0.5"),
        ("n", 0, "n 0"),
        ("test/n", 19404, "test/n 19,404"),
        ("val/t2v_median_rank", 1.0, "val/t2v_median_rank 1"),
        ("val/v2t_mean_rank", 2.5, "val/v2t_mean_rank 2.5"),
        ("val/top1", 1.0, "val/top1 100.00%"),
        ("val/mean_class", 0.256, "val/mean_class 25.60%"),
    ],
)
def test_counts_and_ranks_are_no_percentages(key, value, text):
    assert log.metrics_line({key: value}) == text
