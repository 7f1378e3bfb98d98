"""The largest batch that fits."""

import pytest

from configs import bmn_own, fast_rcnn_own, finetune, quickstart
from jaxvid.errors import UserError
from jaxvid.tools import find_batch
from jaxvid.train import memory
from jaxvid.train.plan import Plan

pytestmark = pytest.mark.long


@pytest.mark.parametrize("unit,limit,found", [(1, 1, 1), (1, 100, 96), (8, 87, 80), (8, 999, 960)])
def test_the_largest_multiple_that_fits_to_an_eighth(unit, limit, found):
    tried = []

    def fits(batch):
        tried.append(batch)
        return batch <= limit

    assert find_batch.largest(fits, unit) == found
    assert len(set(tried)) == len(tried) <= 16


def test_nothing_fits():
    with pytest.raises(UserError, match="not even a batch of 8 fits"):
        find_batch.largest(lambda batch: False, 8)


@pytest.mark.slow
def test_a_step_of_twice_the_batch_needs_more():
    """On no data at all, also where their number of classes is not known."""
    config = finetune.get_config("tiny")
    config.model = dict(name="swin", variant="test", remat=False)
    config.data.recipe.size = config.data.recipe.short_side = 32
    config.data.recipe.frames = 4
    needs = find_batch.needing(config)
    small, large = needs(8), needs(16)
    assert small < large < 2 * small


def test_other_tasks_have_batches_too():
    config = bmn_own.get_config("mini")
    config.model = dict(name="bmn", variant="test", channels=16, samples=4)
    config.data.recipe.frames, config.data.recipe.channels = 8, 16
    assert find_batch.needing(config)(8) > 0


def test_detection_has_boxes_to_learn_from():
    config = fast_rcnn_own.get_config("mini")
    config.data.recipe.boxes = 4
    assert find_batch.needing(config)(8) > 0


def test_what_is_clearly_too_large_is_not_compiled(monkeypatch):
    config = bmn_own.get_config("mini")
    config.model = dict(name="bmn", variant="test", channels=16, samples=4)
    config.data.recipe.frames, config.data.recipe.channels = 8, 16
    monkeypatch.setattr(Plan, "step", lambda plan, *_: pytest.fail("compiled"))
    assert find_batch.needing(config, 1000)(8) > 1000


@pytest.mark.slow
def test_where_no_batch_fits_other_settings_are_named():
    config = finetune.get_config("mini")
    config.accumulate, config.data.recipe.frames = 1, 16
    with pytest.raises(UserError, match=r"batch of 8 fits\. .* --config\.data\.recipe\.frames="):
        find_batch.report(config, 25 / 1024)


def test_the_command_says_each_batch_and_the_largest(monkeypatch, capsys):
    monkeypatch.setattr(find_batch, "needing", lambda config, most: lambda batch: batch * 2**20)
    monkeypatch.setattr(memory, "capacity", lambda: 100 * 2**20)
    find_batch.report(quickstart.get_config(), 0.0)
    header, *lines, last = capsys.readouterr().out.splitlines()
    assert "100 MiB each" in header
    said = {int(line.split()[0]): line.endswith("fits") for line in lines}
    assert said == {batch: batch <= 100 for batch in (8, 16, 32, 64, 128, 96, 112, 104)}
    assert last == "--config.batch=96"
