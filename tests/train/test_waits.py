"""The hint on a run that waits for its data."""

import time

import numpy as np

from jaxvid.data.loading import loader
from jaxvid.train.waits import Waits, hint
from tests.data.loading.test_loader import Numbers, draw

SPENT = {"annotation": 0.1, "Decode": 6.0, "Resize": 2.0}


def test_it_names_the_slowest_stage_and_the_fix():
    said = hint(0.4, 0.1, SPENT, elapsed=8, workers=1, cores=8)
    assert "40% of the time is spent waiting for data: the slowest stage is Decode (74%" in said
    assert "--config.loader.workers=8" in said and "tools.transcode`" in said
    assert said.endswith("bench_loader --config ... --step-ms 60` times each stage")
    said = hint(0.4, 0.1, SPENT | {"Resize": 20.0}, elapsed=8, workers=4, cores=0)
    assert "Resize (77%" in said and "--short-side" in said and "loader.workers" not in said
    said = hint(0.4, 0.1, SPENT, elapsed=80, workers=2, cores=8)
    assert "transport (workers read only 5% of the time)" in said and "workers=" not in said


def test_it_comes_once_after_several_lines_of_much_waiting():
    waits = Waits(loader.train_batches(Numbers(10), [draw], batch=2, seed=0, workers=0))
    shares = [0.5, 0.5, 0.1, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9]
    assert [len(waits.lines(share, 1.0)) for share in shares] == [0, 0, 0, 0, 0, 1, 0, 0, 0]


class Slow:
    def __call__(self, sample, rng):
        time.sleep(0.01)
        return sample


def test_a_stream_counts_the_seconds_of_each_stage():
    for workers in (0, 1):
        stream = loader.train_batches(
            Numbers(10), [draw, Slow()], batch=2, seed=0, stop=5, workers=workers
        )
        (*_, last) = stream
        assert list(stream.seconds) == ["annotation", "function", "Slow"]
        assert 0.1 <= stream.seconds["Slow"] < 5 and stream.seconds["annotation"] < 0.1
        assert "spent" not in last and np.isfinite(list(stream.seconds.values())).all()
