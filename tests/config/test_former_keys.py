"""Keys of earlier versions: an error that names today's, and checkpoints that still evaluate."""

import dataclasses

import pytest

from configs import quickstart, slowfast_ava21
from jaxvid import compare, plug
from jaxvid.config import changes, flat, former_keys, hashable, plain, schema
from jaxvid.config.values import mismatch
from jaxvid.errors import UserError
from jaxvid.ops.augment import Augment
from jaxvid.ops.heatmap import Drawing
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tasks.recognition import Recognition

SCALES = (1.0, 0.875, 0.75, 0.66)
# As version 0.1 wrote them into a checkpoint.
FORMER = {
    "name": "recognition", "keys": ["video"], "mean": [1.0], "std": [2.0], "multi_label": False,
    "categories": [], "category_weights": [], "flow": False, "average": "score", "smoothing": 0.1,
    "flip": 0.5, "flip_labels": [[0, 1]], "crop": [], "color": [], "mixup": 0.8, "cutmix": 0.0,
    "erasing": 0.25, "heatmap_size": 48, "heatmap_sigma": 0.6, "heatmap_limbs": [],
}  # fmt: skip


def migrated(task):
    return former_keys.migrate({"task": task, "data": {}})["task"]


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
    assert former_keys.migrate(today) == today


def test_a_run_of_an_earlier_version_goes_on():
    today = plain(quickstart.get_config())
    former = dict(today, task=formerly(today["task"]))
    assert former["task"].keys() == FORMER.keys()
    former["data"] = dict(today["data"], recipe=CLIP | dict(area=[0.85, 1.0]))
    assert changes(former, today) == []
    assert compare.preprocessing(former_keys.migrate(former), today) == {}
    former["task"]["mixup"] = 0.3
    assert changes(former, today) == ["config.task.augment.mixup: 0.3 there, 0.0 now"]


NEW = (
    "augment",
    "heatmap",
    "auxiliary",
    "criterion",
    "gamma",
    "class_weight",
    "class_balance",
    "class_counts",
)


def formerly(task):
    """Today's spec of recognition as version 0.1 wrote it."""
    rest = {k: v for k, v in task.items() if k not in NEW}
    maps = {f"heatmap_{key}": value for key, value in task["heatmap"].items()}
    several = dict(multi_label=False, categories=[], category_weights=[])
    return rest | task["augment"] | maps | several


# As version 0.1 wrote them into a checkpoint: what is not given had these values.
CLIP = {
    "name": "clip", "frames": 8, "stride": 2, "channels": 3, "uniform": False, "exact": False,
    "dense": False, "every": 0, "target_fps": 0.0, "order": "forward", "size": 32,
    "short_side": 32, "short_side_max": 0, "crop": "resized", "area": [0.08, 1.0],
    "scales": [1.0, 0.875, 0.75, 0.66], "scale_gap": 1, "places": 5, "randaugment": [0, 0.0],
    "policy": [], "color_jitter": [], "grayscale": 0.0, "repeats": 1, "clips": 1, "crops": 1,
    "test_size": 0, "test_short_side": 0,
}  # fmt: skip
SEGMENTS = {
    "name": "segments", "frames": 8, "test_frames": 0, "dense": False, "flow": 0,
    "order": "forward", "size": 32, "short_side": 32, "crop": "scales", "area": [0.08, 1.0],
    "scales": [1.0, 0.875, 0.75, 0.66], "scale_gap": 1, "places": 5, "policy": [],
    "color_jitter": [], "repeats": 1, "clips": 1, "crops": 1, "test_size": 0,
    "test_short_side": 32,
}  # fmt: skip


def test_keys_that_a_run_of_an_earlier_version_lacks_have_their_defaults():
    today = plain(quickstart.get_config())
    former = {k: v for k, v in today.items() if k != "precise_bn"}
    former["loader"] = {k: v for k, v in today["loader"].items() if k != "balance"}
    former["task"] = {k: v for k, v in today["task"].items() if k != "average"}
    assert changes(former, today) == []
    today["precise_bn"], today["task"] = 9, {**today["task"], "average": "score"}
    assert changes(former, today) == [
        "config.precise_bn: 0 there, 9 now",
        "config.task.average: prob there, score now",
    ]


@pytest.mark.parametrize(
    "former,changes,today",
    [
        (CLIP, {}, {}),
        (CLIP, dict(uniform=True), dict(sampler=("uniform",))),
        (CLIP, dict(uniform=True, exact=True), dict(sampler=("uniform", True))),
        (CLIP, dict(dense=True), dict(sampler=("dense",))),
        (CLIP, dict(every=9), dict(sampler=("every", 9))),
        (CLIP, dict(target_fps=15.0), dict(sampler=("clip", 15.0))),
        (CLIP, dict(area=[0.5, 1.0]), dict(crop=("resized", (0.5, 1.0)))),
        (CLIP, dict(crop="plain"), dict(crop=("plain",))),
        (CLIP, dict(crop="scales"), dict(crop=("scales",))),
        (CLIP, dict(crop="scales", places=13), dict(crop=("scales", 13))),
        (CLIP, dict(crop="scales", scale_gap=0), dict(crop=("scales", 5, SCALES, 0))),
        (CLIP, dict(randaugment=[4, 7.0]), dict(policy=("randaugment", 4, 7.0))),
        (CLIP, dict(policy=["augmix", 2.0]), dict(policy=("augmix", 2.0))),
        (
            CLIP,
            dict(randaugment=[3, 9.0], color_jitter=[0.1, 0.2], grayscale=0.3),
            dict(policy=(("randaugment", 3, 9.0), ("color_jitter", 0.1, 0.2), ("grayscale", 0.3))),
        ),
        (SEGMENTS, {}, {}),
        (SEGMENTS, dict(dense=True, clips=3), dict(sampler=("dense",), clips=3)),
        (SEGMENTS, dict(places=0), dict(crop=("scales", 0))),
        (SEGMENTS, dict(crop="resized", area=[0.3, 0.9]), dict(crop=("resized", (0.3, 0.9)))),
    ],
)
def test_the_recipe_of_an_older_checkpoint_is_what_it_was(former, changes, today):
    found = former_keys.migrate({"data": {"recipe": hashable(former | changes)}})["data"]["recipe"]
    kept = {k: former[k] for k in ("name", "frames", "size", "short_side")}
    kept |= {k: former[k] for k in ("stride", "test_short_side") if k in former}
    want = plug.spec("data.recipes", **kept, **today)
    del want["policy_first"]  # this key is newer, and its default is what they did
    assert found == want
    assert plug.load("data.recipes", found, split="train")
    assert former_keys.migrate({"data": {"recipe": found}})["data"]["recipe"] == found


def test_a_row_of_few_keys_keeps_what_it_does_not_say():
    row = {"name": "segments", "frames": 8, "dense": True}
    found = former_keys.migrate({"data": {"recipe": row}})["data"]["recipe"]
    assert found == {"name": "segments", "frames": 8, "sampler": ("dense",)}


# A value of each former key, and what to write now.
VALUES = {
    **{f"task.{key}": (value, f"task.augment.{key}", value) for key, value in (
        ("flip", 0.5), ("flip_labels", ((0, 1),)), ("flow", True), ("crop", (0.5, 1.0)),
        ("color", (0.4, 0.4, 0.4)), ("erasing", 0.25), ("mixup", 0.8), ("cutmix", 1.0),
    )},
    "task.heatmap_size": (48, "task.heatmap.size", 48),
    "task.heatmap_sigma": (0.6, "task.heatmap.sigma", 0.6),
    "task.heatmap_limbs": ((), "task.heatmap.limbs", ()),
    "task.multi_label": (True, "task.name", "multi_label"),
    "data.recipe.uniform": (True, "data.recipe.sampler", ("uniform",)),
    "data.recipe.exact": (True, "data.recipe.sampler", ("clip",)),  # had an effect on uniform only
    "data.recipe.dense": (True, "data.recipe.sampler", ("dense",)),
    "data.recipe.every": (9, "data.recipe.sampler", ("every", 9)),
    "data.recipe.target_fps": (15.0, "data.recipe.sampler", ("clip", 15.0)),
    "data.recipe.area": ((0.5, 1.0), "data.recipe.crop", ("resized", (0.5, 1.0))),
    "data.recipe.places": (13, "data.recipe.crop", ("scales", 13)),
    "data.recipe.scales": ((1.0, 0.8), "data.recipe.crop", ("scales", 5, (1.0, 0.8))),
    "data.recipe.scale_gap": (0, "data.recipe.crop", ("scales", 5, SCALES, 0)),
    "data.recipe.randaugment": ((4, 7.0), "data.recipe.policy", ("randaugment", 4, 7.0)),
    "data.recipe.color_jitter": ((0.5, 0.5), "data.recipe.policy", ("color_jitter", 0.5, 0.5)),
    "data.recipe.grayscale": (0.2, "data.recipe.policy", ("grayscale", 0.2)),
}  # fmt: skip


def put(config, key, value):
    *folders, last = key.split(".")
    for folder in folders:
        config = config[folder]
    config[last] = value


@pytest.mark.parametrize("key", former_keys.RENAMED)
def test_a_former_key_is_an_error_that_says_what_to_write_now(key):
    config = quickstart.get_config().to_dict()
    value, now, new = VALUES[key]
    put(config, key, value)
    with pytest.raises(UserError) as error:
        schema.check(config)
    assert str(error.value) == f"config.{key}={value!r} is now config.{now}={new!r}"
    config = quickstart.get_config().to_dict()
    put(config, now, new)
    found, known = flat(config)[now], schema.keys(config)
    assert found == new and mismatch(new, known[now].kind) is None


def test_all_former_keys_of_a_config_are_listed():
    config = quickstart.get_config().to_dict()
    for key in ("task.flip", "task.mixup", "data.recipe.dense"):
        put(config, key, VALUES[key][0])
    with pytest.raises(UserError) as error:
        schema.check(config)
    assert len(str(error.value).splitlines()) == 4
    with pytest.raises(UserError, match=r"(?s)flip=0.5 is now .*mixup=0.8 is now"):
        plug.spec("tasks", "recognition", flip=0.5, mixup=0.8)


@pytest.mark.parametrize("value", [2, 0.4, "(2, 9", True, None, ()])
@pytest.mark.parametrize("key", former_keys.RENAMED)
def test_a_former_key_with_any_value_is_a_clear_error(key, value):
    config = quickstart.get_config().to_dict()
    put(config, key, value)
    with pytest.raises(UserError, match=rf"config\.{key}=.* is now config\.{VALUES[key][1]}="):
        schema.check(config)


def test_all_options_of_augmentation_were_once_those_of_recognition():
    assert {f"task.{f.name}" for f in dataclasses.fields(Augment)} <= former_keys.RENAMED.keys()


# Detectors


@pytest.mark.parametrize(
    "old,backbone",
    [
        (
            dict(variant="slowonly_r50", non_local="gaussian"),
            dict(name="slowonly", variant="r50", strides=(1, 2, 2, 1), non_local="gaussian"),
        ),
        (
            dict(variant="slowfast_r50", alpha=4, strides=(1, 2, 2, 2)),
            dict(name="slowfast", variant="r50", strides=(1, 2, 2, 2), alpha=4),
        ),
        (dict(variant="test", width=8), dict(name="slowonly", variant="test", width=8)),
        (dict(variant="test_slowfast"), dict(name="slowfast", variant="test")),
        (  # an own config that gives a variant to today's spec
            dict(variant="slowfast_r50", backbone=dict(name="slowonly", variant="test")),
            dict(name="slowfast", variant="r50", strides=(1, 2, 2, 1)),
        ),
    ],
)
def test_a_stored_spec_of_an_earlier_version_is_one_of_this(old, backbone):
    config = dict(model=dict(name="fast_rcnn", background=True, mlp=True, **old), batch=8)
    new = dict(name="fast_rcnn", backbone=backbone, background=True, mlp=True)
    assert former_keys.migrate(config) == dict(model=new, batch=8)
    assert former_keys.migrate(dict(model=new)) == dict(model=new)
    assert config["model"]["variant"] == old["variant"]
    head = plug.load("models", new, num_classes=5).head
    assert (head.background, head.mlp, head.context) == (True, True, False)


def test_a_config_of_an_earlier_version_is_refused_with_the_new_keys():
    config = slowfast_ava21.get_config().to_dict()
    config["model"] = dict(name="fast_rcnn", variant="slowfast_r50", alpha=4, background=True)
    with pytest.raises(UserError, match=r"config\.model is that of an earlier version") as error:
        schema.check(config)
    written = dict(name="slowfast", variant="r50", strides=(1, 2, 2, 1), alpha=4)
    assert str(dict(name="fast_rcnn", backbone=written, background=True)) in str(error.value)
