"""Several labels a clip, in categories that were not all looked for: loss, metrics, a run."""

import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base, datasets
from data_prep import build
from jaxvid import plug
from jaxvid.data import dataset
from jaxvid.data.recipes import clip
from jaxvid.errors import UserError
from jaxvid.metrics.classification import MultiLabelMAP
from jaxvid.ops.augment import Augment
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.train import loop
from tests.conftest import CASES
from tests.data_prep import fakes

SIZES = (3, 2, 4)
CATEGORIES = tuple(zip("abc", SIZES, strict=True))
CLASSES = sum(SIZES)


def task(**options):
    return MultiLabel(num_classes=CLASSES, **dict[str, Any](categories=CATEGORIES) | options)


def batch(rows=5, seed=0):
    """Labels in some categories of each row; none at all in the last."""
    rng = np.random.default_rng(seed)
    present = rng.random((rows, 3)) < 0.6
    present[0], present[-1] = [True, False, True], False
    known = np.repeat(present, SIZES, 1).astype(np.float32)
    label = (rng.random((rows, CLASSES)) < 0.4) * known
    return {
        "video": rng.integers(0, 256, (rows, 1, 2, 4, 6, 3), np.uint8),
        "label": label.astype(np.int32),
        "label_mask": known,
        "mask": np.ones(rows, np.float32),
    }


def prepared(task, data, train=True):
    return jax.device_get(task.prepare(jax.random.key(0), data, train))


def entropy(logit, target):
    p = 1 / (1 + np.exp(-np.float64(logit)))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def logits(rows, seed=1):
    return np.random.default_rng(seed).standard_normal((rows, CLASSES)).astype(np.float32)


# Loss


@pytest.mark.parametrize("name", ["Losses-11", "Losses-12", "Losses-13", "Losses-14"])
def test_published_losses(name):
    args, given, want = (CASES[name][key] for key in ("args", "input", "expected"))
    sizes = args["category_nums"]
    weights = (1.0,) * len(sizes) if args["loss_type"] == "individual" else ()
    categories = tuple(zip("ab", sizes, strict=True))
    ours = MultiLabel(num_classes=sum(sizes), category_weights=weights, categories=categories)
    label = jnp.array(given["gt"])
    data = batch(len(label)) | {"label": label, "label_mask": jnp.ones_like(label)}
    if args["with_mask"]:
        data["label_mask"] = jnp.array(given["mask"])
    loss, _ = ours.loss(jnp.array(given["pred"]), prepared(ours, data))
    if args["reduction"] == "sum":  # over what ours is the mean of
        loss = loss * (sizes[0] if weights else sum(sizes))
    assert float(loss) == pytest.approx(want, rel=1e-5)


def test_published_binary_cross_entropy():
    given = CASES["Losses-08"]["input"]
    ours, label = MultiLabel(num_classes=3), jnp.array(given["label"])
    data = batch(len(label)) | {"label": label, "label_mask": jnp.ones_like(label)}
    loss, _ = ours.loss(jnp.array(given["logits"]), prepared(ours, data))
    assert float(loss) == pytest.approx(CASES["Losses-08"]["expected"], rel=1e-6)


def test_focal_loss_and_class_weights():
    data, out = batch(2), logits(2)
    data["label_mask"][:] = 1
    weights = tuple(np.linspace(0.5, 2, CLASSES).tolist())
    focal = task(criterion="focal", gamma=1.5, class_weight=weights)
    p = 1 / (1 + np.exp(-np.float64(out)))
    miss = np.where(data["label"] > 0, 1 - p, p)
    want = (np.array(weights) * miss**1.5 * -np.log(1 - miss)).mean()
    assert float(focal.loss(jnp.array(out), prepared(focal, data))[0]) == pytest.approx(want, 1e-5)
    with pytest.raises(UserError, match='criterion="nll" is for one label'):
        task(criterion="nll")


def test_classes_that_nobody_looked_for_do_not_count():
    data, out = batch(), logits(5)
    data["mask"][1] = 0
    rows = [
        np.mean([entropy(out[i, c], data["label"][i, c]) for c in np.flatnonzero(known)])
        for i, known in enumerate(data["label_mask"])
        if data["mask"][i] and known.any()
    ]
    assert len(rows) == 3
    loss, _ = task().loss(jnp.array(out), prepared(task(), data))
    assert float(loss) == pytest.approx(np.mean(rows), rel=1e-5)
    unknown = (data["label_mask"] == 0) | (data["mask"] == 0)[:, None]
    gradient = jax.grad(lambda x: task().loss(x, prepared(task(), data))[0])(jnp.array(out))
    assert not np.asarray(gradient)[unknown].any() and np.asarray(gradient)[~unknown].all()


def test_categories_are_weighed():
    data, out, weights = batch(), logits(5), (1.0, 2.0, 5.0)
    data["label_mask"][:, 3:5] = 0  # the second category is in no row
    each, start = [], 0
    for size in SIZES:
        own, start = slice(start, start + size), start + size
        rows = [
            entropy(out[i, own], data["label"][i, own]).mean()
            for i in range(5)
            if data["label_mask"][i, own].all()
        ]
        each.append(np.mean(rows) if rows else 0)
    weighed = task(category_weights=weights)
    loss, logs = weighed.loss(jnp.array(out), prepared(weighed, data))
    assert float(loss) == pytest.approx((each[0] + 5 * each[2]) / 6, rel=1e-5)
    assert {k: float(v) for k, v in logs.items()} == pytest.approx(
        {f"loss_{name}": value for name, value in zip("abc", each, strict=True)}, rel=1e-5
    )


@pytest.mark.parametrize("weights", [(), (1.0, 1.0, 1.0)])
def test_a_batch_that_nobody_looked_at_has_no_loss(weights):
    data = batch()
    data["label_mask"][:] = 0
    chosen = task(category_weights=weights)
    value, gradient = jax.value_and_grad(lambda x: chosen.loss(x, prepared(chosen, data))[0])(
        jnp.array(logits(5))
    )
    assert float(value) == 0 and not np.asarray(gradient).any()


def test_views_repeat_what_is_known():
    data, out = prepared(task(), batch()), logits(5)
    one, _ = task().loss(jnp.array(out), data)
    two, _ = task().loss(jnp.array(np.repeat(out, 2, 0)), data)
    assert float(one) == pytest.approx(float(two), rel=1e-6)


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5)])
def test_validation_has_the_loss_of_training_and_prediction_needs_no_labels(weights):
    chosen, out = task(category_weights=weights), jnp.array(logits(5))
    train, val = (chosen.loss(out, prepared(chosen, batch(), split))[0] for split in (True, False))
    assert float(val) == pytest.approx(float(train), rel=1e-6) and val > 0
    alone = {key: batch()[key] for key in ("video", "mask")} | {"label": np.zeros(5, np.int32)}
    assert chosen.predict(out, prepared(chosen, alone, False))["score"].shape == (5, CLASSES)


# Before the model


def test_what_is_known_follows_flips_and_mixing():
    swap = ((0, 3), (1, 5))
    data, order = batch(), [3, 5, 2, 0, 4, 1, 6, 7, 8]
    got = prepared(task(augment=Augment(flip=1.0, flip_labels=swap)), data)
    for key in ("label", "label_mask"):
        np.testing.assert_array_equal(got[key], data[key][:, order])
    got = prepared(task(augment=Augment(mixup=0.8)), data)
    both = data["label_mask"] * data["label_mask"][::-1]
    np.testing.assert_array_equal(got["label_mask"], both)


# Metrics


def precision(scores, truth):
    """Average precision, of scores that all differ."""
    truth = truth[np.argsort(-scores)]
    return (np.cumsum(truth) / np.arange(1, len(truth) + 1))[truth > 0].mean()


def test_metrics_are_of_each_category():
    data, scores = batch(rows=40), logits(40)
    (metric,) = task().metrics()
    assert isinstance(metric, MultiLabelMAP)
    for rows in (slice(0, 15), slice(15, 40)):
        part = {k: jnp.array(v[rows]) for k, v in data.items()}
        metric.update(task().predict(jnp.array(scores[rows]), part) | {"mask": part["mask"]})
    each, start = {}, 0
    for name, size in CATEGORIES:
        values = []
        for c in range(start, start + size):
            looked = data["label_mask"][:, c] > 0
            values.append(precision(scores[looked, c], data["label"][looked, c]))
        each[f"map_{name}"], start = np.mean(values), start + size
    found = metric.compute()
    assert set(found) == {"map", "map_a", "map_b", "map_c", "mmit_map"}
    assert metric.larger_is_better == tuple(found)
    assert {k: found[k] for k in each} == pytest.approx(each, abs=1e-6)
    assert found["map"] == pytest.approx(np.mean(list(each.values())), abs=1e-6)


def test_what_is_not_known_does_not_count_without_categories():
    data, scores = batch(rows=20), logits(20)
    (metric,) = task(categories=()).metrics()
    metric.update(data | {"score": scores})
    label, known = data["label"], data["label_mask"] > 0
    classes = [precision(scores[known[:, c], c], label[known[:, c], c]) for c in range(CLASSES)]
    samples = [precision(scores[i, k], label[i, k]) for i, k in enumerate(known) if label[i].any()]
    expected = {"map": np.mean(classes), "mmit_map": np.mean(samples)}
    assert metric.compute() == pytest.approx(expected, abs=1e-6)


def test_a_category_without_a_label_is_left_out():
    data = batch(rows=20)
    data["label"][:, 3:5] = 0
    (metric,) = task().metrics()
    metric.update(data | {"score": logits(20)})
    found = metric.compute()
    assert set(found) == {"map", "map_a", "map_c", "mmit_map"}
    assert found["map"] == pytest.approx((found["map_a"] + found["map_c"]) / 2)


def test_padding_has_no_label_mask_to_count():
    data, other = batch(rows=6), batch(rows=6, seed=9)
    whole, padded = task().metrics()[0], task().metrics()[0]
    whole.update(data | {"score": logits(6)})
    joined = {k: np.concatenate([data[k], other[k]]) for k in data}
    joined["mask"][6:] = 0
    padded.update(joined | {"score": logits(12)[:6].repeat(2, 0)[[0, 2, 4, 6, 8, 10, *range(6)]]})
    assert padded.compute() == whole.compute()


# Settings


@pytest.mark.parametrize(
    "options,message",
    [
        (dict(categories=(("a", 3),)), r"categories have 3 classes of 9"),
        (dict(category_weights=(1.0, 2.0)), "category_weights: 2 for 3 categories"),
    ],
)
def test_categories_that_do_not_fit(options, message):
    options = dict(categories=CATEGORIES) | options
    with pytest.raises(UserError, match=message):
        plug.load("tasks", dict(name="multi_label", **options), num_classes=CLASSES)


# A run

# Tags of each clip, and a name for validation whose fake has the same gray level.
HVU = {
    "a": ("w", "beach|doing_karate"),
    "b": ("x", "crowd|snowboard"),
    "c": ("y", "beach|snowboard"),
    "d": ("z", "doing_karate|crowd"),
    "e": ("{", "beach"),
    "f": ("|", "snowboard|crowd"),
    "g": ("}", "doing_karate|beach"),
    "h": ("~", "crowd"),
}


def hvu(raw):
    head = "Tags,youtube_id,time_start,time_end"
    for split, own in (("Train", 0), ("Val", 1)):
        names = {(train, val[0])[own]: val[1] for train, val in HVU.items()}
        fakes.text(raw / f"HVU_{split}_V1.0.csv", head, *(f"{t},{n},0,1" for n, t in names.items()))
        fakes.videos(raw / f"videos_{split.lower()}", [f"{n}_000000_000010.mp4" for n in names])


def mmit(raw):
    for split, own in (("training", 0), ("validation", 1)):
        names = [(train, val[0])[own] for train, val in HVU.items()]
        rows = [f"c/{n}.mp4,{i % 4},{i // 2 + 4}" for i, n in enumerate(names)]
        fakes.text(raw / f"{split}Set.csv", *rows)
        fakes.videos(raw / "videos", [f"c/{n}.mp4" for n in names])


class Colors(nn.Module):
    """Learns labels by the gray level of a clip."""

    num_classes: int

    @nn.compact
    def __call__(self, video, train):
        gray = video.mean((1, 2, 3))[:, :1]
        near = jnp.exp(-jnp.square((gray - jnp.linspace(-2, 2, 48)) / 0.1))
        return nn.Dense(self.num_classes)(near)


@pytest.mark.parametrize("make,classes", [(hvu, 3142), (mmit, 313)])
def test_a_fake_archive_is_built_trained_on_and_evaluated(make, classes, tmp_path):
    name, raw = make.__name__, tmp_path / "raw"
    make(raw)
    build.main([name, "--data-dir", str(tmp_path / "data"), "--source", str(raw)])
    c: Any = base.config()
    c.dtype, c.batch, c.epochs, c.eval_every, c.save_every = "float32", 8, 40.0, 40.0, 0
    c.log_every, c.best, c.loader.workers = 1, "val/map", 0
    more: Any = dict(categories=datasets.HVU, category_weights=(1.0,) * 6) if name == "hvu" else {}
    task: Any = MultiLabel(num_classes=classes, **more)
    options = dict(category_mask=True) if name == "hvu" else {}
    listed: Any = dict(name="tfds", dataset=name, **options)
    checks = ("labels", "missing", "duplicates", "overlap")
    c.data = dict(root=str(tmp_path / "data"), num_classes=classes, names=name, checks=checks)
    c.data.update({"train": listed, "val": listed})
    c.optim = dict(name="adamw", lr=0.3, weight_decay=0.0, clip=1.0)
    c.schedule = dict(name="cosine", warmup=0.0)
    recipe = {s: clip.build(s, frames=2, stride=1, size=8, short_side=8) for s in ("train", "val")}
    splits = dataset.for_training(c.data).splits
    found = loop.train(c, Colors(classes), task, splits, recipe, tmp_path / "run", dict(names=()))
    found_of = ("action", "concept", "object", "scene") if name == "hvu" else ()
    assert {k for k in found if k.startswith("val/map_")} == {f"val/map_{c}" for c in found_of}
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert losses[-1] < 0.1 * losses[0]
    assert found["val/map"] > 0.9 and found["val/mmit_map"] > 0.9 and found["val/n"] == 8
