"""Recognition: what the batch becomes, what is learnt from it and what is predicted."""

import functools
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.metrics.classification import Accuracy, MultiLabelMAP
from jaxvid.ops.augment import Augment, random_erasing
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tasks.recognition import Recognition
from tests.conftest import cases

CLASSES = 5
RAW = dict(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # pixels stay as they are


def batch(rows=6, views=2, size=(16, 12), seed=0, **extra):
    rng = np.random.default_rng(seed)
    return {
        "video": rng.integers(0, 256, (rows, views, 3, *size, 3), np.uint8),
        "label": (np.arange(rows) % CLASSES).astype(np.int32),
        "mask": np.ones(rows, np.float32),
        "index": np.arange(rows, dtype=np.int32),
        **extra,
    }


def flat_clips(rows=4, size=(16, 12)):
    """Clip i has the value 10 i + 10 everywhere."""
    values = 10 * np.arange(rows, dtype=np.uint8) + 10
    video = np.broadcast_to(values[:, None, None, None, None, None], (rows, 1, 2, *size, 3))
    return batch(rows, video=video), values.astype(np.float32)


AUGMENT = {field.name for field in fields(Augment)}


def task(kind=Recognition, **options):
    """A task, with options of its augmentation among the others."""
    augment = Augment(**{k: v for k, v in options.items() if k in AUGMENT})
    rest = {k: v for k, v in options.items() if k not in AUGMENT}
    return kind(num_classes=CLASSES, augment=augment, **rest)


@functools.cache
def prepare(task, train=True):
    """(seed, batch) -> batch, compiled."""
    jitted = jax.jit(lambda key, batch: task.prepare(key, batch, train))
    return lambda seed, batch: jax.device_get(jitted(jax.random.key(seed), batch))


def one_hot(labels):
    return np.eye(CLASSES, dtype=np.float32)[labels]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Before the model


@pytest.mark.parametrize("train", [False, True])
def test_prepare_normalizes_and_makes_targets(train):
    data = batch()
    got = prepare(task(), train)(0, data)
    want = (data["video"] - np.array([123.675, 116.28, 103.53])) / [58.395, 57.12, 57.375]
    assert got["video"].dtype == np.float32
    np.testing.assert_allclose(got["video"], want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got["target"], one_hot(data["label"]))
    for key in ("label", "mask", "index"):
        np.testing.assert_array_equal(got[key], data[key])


def test_augmentation_is_for_training_only():
    everything = task(flip=0.5, mixup=0.4, cutmix=1.0, erasing=1.0)
    a, b = prepare(everything, False)(1, batch()), prepare(task(), False)(0, batch())
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_augmentation_is_a_function_of_the_key():
    everything = prepare(task(flip=0.5, mixup=0.4, cutmix=1.0, erasing=1.0))
    a, b, again = (everything(seed, batch()) for seed in (1, 2, 1))
    jax.tree.map(np.testing.assert_array_equal, a, again)
    assert np.abs(a["video"] - b["video"]).max() > 0.1


def test_views_fold_into_the_batch_sample_by_sample():
    data = batch(rows=3, views=4)
    video = task().inputs(data)["video"]
    assert video.shape == (12, 3, 16, 12, 3)
    np.testing.assert_array_equal(video[7], data["video"][1, 3])


def test_smoothing_takes_from_the_label_and_gives_to_all():
    got = prepare(task(smoothing=0.1))(0, batch())["target"]
    np.testing.assert_allclose(got, 0.9 * one_hot(batch()["label"]) + 0.1 / CLASSES, rtol=1e-6)


# Other keys


def test_each_key_goes_to_the_model_and_pixels_are_normalized():
    rng = np.random.default_rng(0)
    point = rng.standard_normal((6, 2, 3, 17, 2)).astype(np.float32)
    person = rng.integers(0, 9, (6, 2, 1)).astype(np.int32)
    depth = rng.integers(0, 256, (6, 2, 3, 4, 4, 1), np.uint8)
    keys = ("video", "keypoint", "person", "depth")
    several = task(keys=keys, mean=(100.0,), std=(50.0,))
    data = batch(keypoint=point, person=person, depth=depth, score=point)
    got = prepare(several)(0, data)
    for key in ("video", "depth"):
        np.testing.assert_allclose(got[key], (data[key] - 100.0) / 50, rtol=1e-5, atol=1e-5)
    for key in ("keypoint", "person", "score"):
        np.testing.assert_array_equal(got[key], data[key])
        assert got[key].dtype == data[key].dtype
    taken = several.inputs(got)
    assert taken.keys() == set(keys)
    for key in keys:
        np.testing.assert_array_equal(taken[key][3], got[key][1, 1])


def test_a_clip_without_pixels_needs_no_video():
    point = np.ones((6, 2, 3, 17, 2), np.float32)
    data = {k: v for k, v in batch(keypoint=point).items() if k != "video"}
    skeletons = task(keys=("keypoint",), smoothing=0.1)
    got = prepare(skeletons)(0, data)
    assert got.keys() == data.keys() | {"target"}
    assert skeletons.inputs(got).keys() == {"keypoint"}


@pytest.mark.parametrize("keys", [("keypoint",), ("video", "keypoint")])
@pytest.mark.parametrize("name", ["flip", "mixup", "cutmix", "erasing"])
def test_augmenting_pixels_needs_a_model_of_videos_alone(name, keys):
    with pytest.raises(UserError, match=f"augment.{name} augments videos, not {', '.join(keys)}"):
        task(keys=keys, **{name: 0.5})


# Flip


def test_flip_mirrors_the_chosen_clips_as_a_whole():
    data = batch(rows=64)
    got = prepare(task(flip=0.5, **RAW))(0, data)["video"]
    mirrored = data["video"][..., ::-1, :]
    chosen = np.array([np.array_equal(g, m) for g, m in zip(got, mirrored, strict=True)])
    assert 16 < chosen.sum() < 48  # of 64 with probability 1/2: beyond 4 standard deviations
    np.testing.assert_array_equal(got[~chosen], data["video"][~chosen])


def test_flip_swaps_the_paired_labels():
    data = batch(rows=64)
    got = prepare(task(flip=0.5, flip_labels=((0, 3), (4, 1)), **RAW))(0, data)
    mirrored = data["video"][..., ::-1, :]
    chosen = np.array([np.array_equal(g, m) for g, m in zip(got["video"], mirrored, strict=True)])
    want = np.where(chosen, np.array([3, 4, 2, 0, 1])[data["label"]], data["label"])
    np.testing.assert_array_equal(got["label"], want)
    np.testing.assert_array_equal(got["target"], one_hot(want))
    assert (want != data["label"]).any()


def test_flip_swaps_columns_of_several_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (4, CLASSES)).astype(np.int32)
    data = batch(rows=4, label=labels)
    got = prepare(task(flip=1.0, flip_labels=((0, 3),), kind=MultiLabel))(0, data)
    np.testing.assert_array_equal(got["target"], labels[:, [3, 1, 2, 0, 4]])


@pytest.mark.parametrize("channels", [2, 10])
def test_a_mirror_inverts_x_of_flow(channels):
    flow = np.random.default_rng(0).integers(0, 256, (64, 1, 2, 4, 6, channels), np.uint8)
    same = dict(flow=True, mean=(0.0,), std=(1.0,))
    data = batch(rows=64, video=flow)
    mirrored = flow[..., ::-1, :].copy()
    mirrored[..., 0::2] = 255 - mirrored[..., 0::2]
    got = prepare(task(flip=0.5, **same))(0, data)["video"]
    chosen = np.array([np.array_equal(g, m) for g, m in zip(got, mirrored, strict=True)])
    assert 16 < chosen.sum() < 48
    np.testing.assert_array_equal(got[~chosen], flow[~chosen])
    np.testing.assert_array_equal(prepare(task(flip=1.0, **same), False)(0, data)["video"], flow)


# Mixup and cutmix: the partner of clip i is clip n - 1 - i


def share_of(target, labels):
    """The share of each clip's own label; the rest must be the partner's."""
    share = target[0, labels[0]]
    want = share * one_hot(labels) + (1 - share) * one_hot(labels)[::-1]
    np.testing.assert_allclose(target, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(target.sum(1), 1, rtol=1e-6)
    return share


def test_mixup_mixes_pixels_as_it_mixes_targets():
    data, values = flat_clips()
    mix = prepare(task(mixup=0.8, **RAW))
    shares = []
    for seed in range(8):
        got = mix(seed, data)
        share = share_of(got["target"], data["label"])
        want = share * values + (1 - share) * values[::-1]
        np.testing.assert_allclose(got["video"].min((1, 2, 3, 4, 5)), want, rtol=1e-5)
        np.testing.assert_allclose(got["video"].max((1, 2, 3, 4, 5)), want, rtol=1e-5)
        shares.append(share)
    assert len(set(shares)) == 8


def test_cutmix_pastes_one_rectangle_of_the_share_it_says():
    data, values = flat_clips()
    mix = prepare(task(cutmix=1.0, **RAW))
    shares = []
    for seed in range(8):
        got = mix(seed, data)
        share = share_of(got["target"], data["label"])
        pasted = got["video"] == values[::-1, None, None, None, None, None]
        kept = got["video"] == values[:, None, None, None, None, None]
        assert (pasted ^ kept).all()
        np.testing.assert_allclose(pasted.mean((1, 2, 3, 4, 5)), 1 - share, atol=1e-6)
        assert is_rectangle(pasted[0, 0, 0, :, :, 0])
        assert (pasted == pasted[:1, :1, :1, :, :, :1]).all()
        shares.append(share)
    assert len({round(float(s), 4) for s in shares}) > 4
    assert min(shares) < 0.8


def test_with_both_each_batch_draws_one():
    data, values = flat_clips()
    mix = prepare(task(mixup=0.8, cutmix=1.0, **RAW))
    kinds = []
    for seed in range(12):
        got = mix(seed, data)
        share_of(got["target"], data["label"])
        kinds.append(set(np.unique(got["video"])) <= set(values))
    assert 0 < sum(kinds) < 12


def test_mixing_spares_partners_of_skipped_samples():
    data, _ = flat_clips()
    data["mask"] = np.array([1, 0, 1, 1], np.float32)
    got = prepare(task(mixup=0.8, **RAW))(0, data)
    np.testing.assert_array_equal(got["mask"], [1, 0, 0, 1])


# Erasing


def is_rectangle(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return True
    return bool(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())


def erased(probability, rows=400, side=64):
    """(rows, side, side) bool, after a check that all frames and channels agree."""
    video = jnp.ones((rows, 1, 2, side, side, 3))
    out = jax.jit(lambda key, x: random_erasing(key, x, probability))(jax.random.key(0), video)
    blank = np.asarray(out) == 0
    assert (blank | (np.asarray(out) == 1)).all()
    assert (blank == blank[:, :1, :1, :, :, :1]).all()
    return blank[:, 0, 0, :, :, 0]


def test_erasing_takes_the_said_share_of_clips():
    hit = erased(0.25).any((1, 2))
    assert abs(hit.mean() - 0.25) < 4 * (0.25 * 0.75 / len(hit)) ** 0.5


def test_erased_rectangles_have_the_published_sizes():
    blank = erased(1.0)
    assert all(map(is_rectangle, blank))
    height, width = blank.any(2).sum(1), blank.any(1).sum(1)
    area = height * width / 64**2
    # Uniform from 1/50 to 1/3; rounding moves each side by less than a pixel.
    slack = (height + width + 1) / 64**2
    assert (area > 0.02 - slack).all()
    assert (area < 1 / 3 + slack).all()
    assert abs(area.mean() - (0.02 + 1 / 3) / 2) < 4 * (1 / 3 - 0.02) / (12 * len(area)) ** 0.5
    # Log-uniform from 0.3 to 1 / 0.3: as often tall as wide.
    ratio = height / width
    assert ratio.min() > 0.3 * 0.8
    assert ratio.max() < 1 / 0.3 / 0.8
    assert abs(np.log(ratio).mean()) < 4 * np.log(1 / 0.3) / (3 * len(ratio)) ** 0.5
    # They lie anywhere.
    assert blank.any((0, 1)).all()
    assert blank.any((0, 2)).all()


def test_erasing_blanks_to_the_mean_pixel_of_the_clip_only():
    data = batch(rows=8, views=2)
    got, plain = prepare(task(erasing=1.0))(0, data), prepare(task())(0, data)
    blank = got["video"] == 0
    np.testing.assert_array_equal(got["video"], np.where(blank, 0, plain["video"]))
    assert (blank.mean((1, 2, 3, 4, 5)) > 0).all()
    np.testing.assert_array_equal(got["target"], plain["target"])


# Loss


def test_loss_is_the_mean_cross_entropy_of_unmasked_samples():
    rng = np.random.default_rng(0)
    data = batch(rows=4, views=2, mask=np.array([1, 0, 1, 1], np.float32))
    data = prepare(task(smoothing=0.2))(0, data)
    out = rng.standard_normal((8, CLASSES)).astype(np.float32)
    losses, right = [], []
    for i in (0, 2, 3):
        for logits in out[2 * i : 2 * i + 2]:
            losses.append(-(data["target"][i] * np.log(softmax(logits))).sum())
            right.append(logits.argmax() == data["label"][i])
    loss, logs = task().loss(jnp.asarray(out), data)
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(logs["top1"]) == pytest.approx(np.mean(right))
    out[2:4] = 100 * rng.standard_normal((2, CLASSES))
    assert float(task().loss(jnp.asarray(out), data)[0]) == float(loss)


def test_a_batch_of_skipped_samples_has_no_loss():
    data = prepare(task())(0, batch(rows=2, views=1, mask=np.zeros(2, np.float32)))
    grad = jax.grad(lambda out: task().loss(out, data)[0])(jnp.ones((2, CLASSES)))
    assert float(jnp.abs(grad).max()) == 0


# Several labels


def test_several_labels_take_a_sigmoid_each():
    several = task(MultiLabel)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (3, CLASSES)).astype(np.int32)
    data = prepare(several)(0, batch(rows=3, views=2, label=labels))
    np.testing.assert_array_equal(data["target"], labels)
    assert data["target"].dtype == np.float32
    out = rng.standard_normal((6, CLASSES)).astype(np.float32)
    data["mask"] = np.array([1, 1, 0], np.float32)
    p = 1 / (1 + np.exp(-out.reshape(3, 2, CLASSES)))
    terms = np.where(labels[:, None] == 1, np.log(p), np.log(1 - p))
    loss, _ = several.loss(jnp.asarray(out), data)
    assert float(loss) == pytest.approx(-terms[:2].mean(), rel=1e-5)
    found = several.predict(jnp.asarray(out), data)
    np.testing.assert_allclose(found["score"], p.mean(1), rtol=1e-5)
    np.testing.assert_array_equal(found["label"], labels)


def test_smoothing_of_several_labels_is_as_published():
    """MMAction2's BaseHead: (1 - smoothing) of the labels, and smoothing / classes for each."""
    labels = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 1, 0]], np.int32)
    got = prepare(task(MultiLabel, smoothing=0.1))(0, batch(rows=2, label=labels))["target"]
    np.testing.assert_allclose(got, 0.9 * labels + 0.1 / CLASSES, rtol=1e-6)


def test_several_labels_are_mixed_too():
    labels = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 1, 0]], np.int32)
    data = batch(rows=2, label=labels)
    got = prepare(task(MultiLabel, mixup=0.8))(0, data)["target"]
    share = got[0, 0]
    assert 0 < share < 1
    np.testing.assert_allclose(got, share * labels + (1 - share) * labels[::-1], rtol=1e-6)


# Predictions


@pytest.mark.parametrize("args,given,want,seed", cases("Heads"))
def test_views_are_averaged_as_published(args, given, want, seed):
    out = jnp.array(given["cls_scores"])
    n = len(out) // args["num_segs"]
    head = Recognition(num_classes=out.shape[1], average=args["average_clips"])
    score = head.predict(out, {"mask": np.ones(n), "label": np.zeros(n, np.int32)})["score"]
    if args["average_clips"] == "score":  # ours are probabilities in both cases
        want = softmax(np.array(want))
    np.testing.assert_allclose(score, want, rtol=1e-5)


@pytest.mark.parametrize("views", [1, 3])
def test_predictions_are_one_row_a_sample(views):
    out = jax.ShapeDtypeStruct((4 * views, CLASSES), jnp.float32)
    found = jax.eval_shape(task().predict, out, batch(rows=4, views=views))
    assert (found["score"].shape, found["score"].dtype) == ((4, CLASSES), jnp.float32)
    assert found["label"].shape == (4,)


def test_metrics_follow_the_kind_of_labels():
    (one,) = task().metrics()
    (several,) = task(MultiLabel).metrics()
    assert isinstance(one, Accuracy)
    assert isinstance(several, MultiLabelMAP)


@pytest.mark.parametrize(
    "options,message",
    [
        (dict(average="probs"), 'config.task.average is prob or score, not "probs"'),
        (dict(augment=dict(flip_labels=((0, 5),))), "augment.flip_labels: 5 is outside 0..4"),
        (dict(augment=dict(flip_labels=((-1, 2),))), "augment.flip_labels: -1 is outside 0..4"),
    ],
)
def test_settings_that_mean_nothing_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        plug.load("tasks", dict(name="recognition", **options), num_classes=CLASSES)
