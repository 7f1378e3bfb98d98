"""Averages of steps, and how metrics are written for people."""

import numpy as np
import pytest

from jaxvid.train.progress import Progress, metrics_line


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
    assert metrics_line({key: value}) == text


class OnDevice:
    """A value of a step that a device still computes: reading it is a mistake for now."""

    ready = False

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        assert self.ready, "waited for a step that nobody needs to see"
        return np.array(self.value, dtype)

    __float__ = lambda self: float(np.asarray(self))  # noqa: E731


def test_logs_stay_on_the_device_until_an_average_is_needed(monkeypatch):
    progress = Progress(total=10, batch=4)
    for loss in (1.0, 2.0, np.nan):
        progress.add(dict(loss=OnDevice(loss), grad_norm=OnDevice(1.0)), 0.5, 0.1)
    monkeypatch.setattr(OnDevice, "ready", True)
    assert progress.steps == 2, "steps that were not finite do not count"
    values = progress.flush()
    assert values["train/loss"] == 1.5 and values["train/step_time"] == 0.5
    assert values["train/clips_per_s"] == 8 and values["train/data_wait"] == pytest.approx(0.2)
    assert progress.steps == 0


def test_averages_continue_from_a_checkpoint():
    first = Progress(total=10, batch=4)
    first.add(dict(loss=1.0, grad_norm=1.0), 0.5, 0.0)
    second = Progress(total=10, batch=4, state=first.state())
    second.add(dict(loss=3.0, grad_norm=1.0), 0.5, 0.0)
    values = second.flush()
    assert values["train/loss"] == 2.0 and values["train/step_time"] == 0.5
