"""Stages, transport and workers of the input pipeline, timed."""

import re
import time
from dataclasses import dataclass

import numpy as np
import pytest

from configs import quickstart
from jaxvid import plug
from jaxvid.data import dataset
from jaxvid.tools import bench_loader

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def config():
    config = quickstart.get_config()
    for split in ("train", "val"):
        config.data[split].update(train=16, val=8)
    config.data.checks = ("labels",)
    config.batch = 4
    return config


@pytest.fixture(scope="module")
def source(config):
    return dataset.for_training(config.data).splits["train"]


@dataclass(frozen=True)
class Slow:
    seconds: float

    def __call__(self, sample, rng):
        time.sleep(self.seconds)
        return sample


def test_every_stage_has_its_time(config, source):
    recipe = plug.load("data.recipes", config.data.recipe, split="train")
    stages, sample = bench_loader.stage_seconds(source, [Slow(0.02), *recipe], 5, seed=0)
    names = [type(transform).__name__ for transform in (Slow(0), *recipe)]
    assert [name for name in stages if name != bench_loader.SEEK] == names
    assert list(stages).index(bench_loader.SEEK) == list(stages).index("Decode") + 1
    assert 0.02 <= stages["Slow"] < 0.09  # a clip, not all of them
    assert 0 <= stages[bench_loader.SEEK] <= stages["Decode"]
    assert sample["video"].shape == (1, 8, 32, 32, 3)


def test_seeks_are_watched_only_while_decoding(source):
    from jaxvid.data.video.packets import Demuxed

    before = Demuxed.seek
    with pytest.raises(ZeroDivisionError), bench_loader.timed_seeks({}):
        assert Demuxed.seek is not before
        raise ZeroDivisionError
    assert Demuxed.seek is before


def test_rates_are_of_the_transforms(source):
    sample = {"video": np.zeros((1, 2, 4, 4, 3), np.uint8)}
    slow = [Slow(0.01), bench_loader.Same(sample)]
    rate = bench_loader.clips_a_second(source, slow, batch=4, batches=3, workers=0)
    assert 50 < rate <= 100


@pytest.mark.parametrize(
    "batch,rates,count,each", [(64, {1: 10.0, 2: 16.0}, 32, "8.0"), (4, {0: 20.0}, 1, "20.0")]
)
def test_needed_workers_go_by_the_most_tried(batch, rates, count, each):
    text = bench_loader.needed(batch, 250.0, rates)
    plural = "s" if count > 1 else ""
    assert text.endswith(f"clips/s: {count} worker{plural} at {each} clips/s each")
    assert f"{4 * batch:,.1f} clips/s" in text


def test_the_report_shows_stages_and_loaders(config, capsys):
    bench_loader.report(config, clips=2, batches=1, workers=[0, 1], step_ms=100.0)
    text = capsys.readouterr().out
    for stage in ("Open", "Decode", "RandomResizedCrop", "transport", "transfer", "all transforms"):
        assert re.search(rf"{stage}.* [\d,]+\.\d\d ", text), stage
    assert re.search(r"^ +1 +\d", text, re.M)
    assert not re.search(r"trans(port|fer) .*%", text)  # shares are of the transforms
    assert "a batch of 4 every 100 ms is 40.0 clips/s" in text
