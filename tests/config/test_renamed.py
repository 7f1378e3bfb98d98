"""Keys of earlier versions: an error that names today's, and checkpoints that still evaluate."""

import dataclasses

import pytest

from configs import quickstart
from jaxvid import compare, plug
from jaxvid.config import differences, flat, hashable, plain, renamed, schema
from jaxvid.errors import UserError
from jaxvid.ops.augment import Augment
from jaxvid.ops.heatmap import Drawing
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tasks.recognition import Recognition

# As version 0.1 wrote them into a checkpoint.
FORMER = {
    "name": "recognition", "keys": ["video"], "mean": [1.0], "std": [2.0], "multi_label": False,
    "categories": [], "category_weights": [], "flow": False, "average": "score", "smoothing": 0.1,
    "flip": 0.5, "flip_labels": [[0, 1]], "crop": [], "color": [], "mixup": 0.8, "cutmix": 0.0,
    "erasing": 0.25, "heatmap_size": 48, "heatmap_sigma": 0.6, "heatmap_limbs": [],
}  # fmt: skip


def migrated(task):
    return renamed.migrate({"task": task, "data": {}})["task"]


def test_the_task_of_an_older_checkpoint_is_what_it_was():
    found = plug.load("tasks", migrated(hashable(FORMER)), num_classes=3)
    augment = Augment(flip=0.5, flip_labels=((0, 1),), mixup=0.8, erasing=0.25)
    assert found == Recognition(
        num_classes=3, mean=(1.0,), std=(2.0,), average="score", smoothing=0.1, augment=augment,
        heatmap=Drawing(size=48),
    )  # fmt: skip


def test_several_labels_have_a_task_of_their_own():
    former = FORMER | dict(multi_label=True, categories=[["a", 3]], category_weights=[2.0])
    found = plug.load("tasks", migrated(hashable(former)), num_classes=3)
    assert type(found) is MultiLabel and found.augment.mixup == 0.8
    assert found.categories == (("a", 3),) and found.category_weights == (2.0,)
    assert found.smoothing == 0.0  # which had no effect on them


@pytest.mark.parametrize(
    "task", [dict(name="detection", multi_label=False), dict(name="retrieval")]
)
def test_other_tasks_and_todays_configs_stay_as_they_are(task):
    assert migrated(task) == task
    today = plain(quickstart.get_config())
    assert renamed.migrate(today) == today


def test_a_run_of_an_earlier_version_goes_on():
    today = plain(quickstart.get_config())
    former = dict(today, task=formerly(today["task"]))
    assert former["task"].keys() == FORMER.keys()
    assert differences(former, today) == []
    assert compare.preprocessing(renamed.migrate(former), today) == {}
    former["task"]["mixup"] = 0.3
    assert differences(former, today) == ["config.task.augment.mixup: 0.3 there, 0.0 now"]


def formerly(task):
    """Today's spec of recognition as version 0.1 wrote it."""
    rest = {k: v for k, v in task.items() if k not in ("augment", "heatmap")}
    maps = {f"heatmap_{key}": value for key, value in task["heatmap"].items()}
    several = dict(multi_label=False, categories=[], category_weights=[])
    return rest | task["augment"] | maps | several


@pytest.mark.parametrize("key", renamed.RENAMED)
def test_a_former_key_is_an_error_that_names_todays(key):
    config = quickstart.get_config().to_dict()
    *folders, last = key.split(".")
    tree = config
    for folder in folders:
        tree = tree[folder]
    tree[last] = 1
    with pytest.raises(UserError, match=f'no config key "{key}". It is now config') as error:
        schema.check(config)
    now = str(error.value).partition("It is now config.")[2].partition("=")[0].rstrip(".")
    assert now in flat(quickstart.get_config().to_dict())


def test_all_options_of_augmentation_were_once_those_of_recognition():
    assert {f"task.{f.name}" for f in dataclasses.fields(Augment)} <= renamed.RENAMED.keys()
