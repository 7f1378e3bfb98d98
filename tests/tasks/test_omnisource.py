"""Clips and images in one run: both losses, their batches, and what a config must say."""

import json
from typing import Any

import cv2
import jax
import numpy as np
import pytest

from configs import quickstart
from jaxvid import main, plug
from jaxvid.distributed import mesh
from jaxvid.errors import UserError
from jaxvid.train import estimate, fitting, loop, plan
from tests.faults.kill_resume import compare
from tests.train.test_loop import asking_at

CLASSES, IMAGES = 7, 11


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_both_losses_are_added_and_logged():
    task = plug.load("tasks", dict(name="omnisource", image_weight=0.5), num_classes=CLASSES)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 1, 2, 8, 8, 3), np.uint8)
    batch = {
        "video": pixels,
        "label": np.array([1, 2], np.int32),
        "mask": np.ones(2, np.float32),
        "image_video": rng.integers(0, 256, (3, 1, 1, 8, 8, 3), np.uint8),
        "image_label": np.array([4, 0, 10], np.int32),
        "image_mask": np.array([1, 0, 1], np.float32),
    }
    ready = task.prepare(jax.random.key(0), batch, train=True)
    inputs = task.inputs(ready)
    assert (inputs["video"].shape, inputs["image"].shape) == ((2, 2, 8, 8, 3), (3, 8, 8, 3))
    clips, images = draw(2, CLASSES), draw(3, IMAGES)
    loss, logs = task.loss((clips, images), ready)

    def entropy(logits, label):
        return np.log(np.exp(np.float64(logits)).sum()) - logits[label]

    of_clips = np.mean([entropy(clips[i], label) for i, label in enumerate([1, 2])])
    of_images = np.mean([entropy(images[0], 4), entropy(images[2], 10)])
    assert float(logs["loss_video"]) == pytest.approx(of_clips, rel=1e-5)
    assert float(logs["loss_image"]) == pytest.approx(of_images, rel=1e-5)
    assert float(loss) == pytest.approx(of_clips + 0.5 * of_images, rel=1e-5)
    ready = task.prepare(jax.random.key(0), batch, train=False)
    assert task.inputs(ready).keys() == {"video"}
    assert float(task.loss(clips, ready)[0]) == pytest.approx(of_clips, rel=1e-5)


@pytest.fixture
def config(cache, tmp_path) -> Any:
    """Generated clips, and twelve images of three classes."""
    rng, lines = np.random.default_rng(0), []
    for i in range(12):
        image = rng.integers(0, 256, (40 + i, 50, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        lines.append(f"{tmp_path / f'{i}.png'},{i % 3}\n")
    (tmp_path / "images.csv").write_text("".join(lines))
    c = quickstart.get_config()
    clips = dict(name="motion", train=96, val=16, seed=0)
    c.data.train, c.data.val = clips, clips
    c.data.images = dict(name="video_list", file=str(tmp_path / "images.csv"))
    c.data.image_batch = 24
    c.model = dict(name="omnisource", variant="test", image_classes=3)
    c.task = dict(c.task.to_dict(), name="omnisource")
    c.epochs, c.batch, c.eval_batch, c.log_every, c.loader.workers = 1.0, 16, 16, 2, 0
    return c


@pytest.mark.slow
@pytest.mark.long
def test_a_run_learns_from_both_and_resumes_exactly(config, tmp_path, monkeypatch):
    whole = main.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(3))
        with pytest.raises(loop.Interrupted):
            main.train(config, tmp_path / "stopped")
    assert main.train(config, tmp_path / "stopped") == whole
    assert compare(tmp_path / "whole", tmp_path / "stopped") == []
    lines = [json.loads(x) for x in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    logs = next(line for line in lines if "train/loss" in line)
    parts = logs["train/loss_video"] + logs["train/loss_image"]
    assert logs["train/loss"] == pytest.approx(parts, rel=1e-4)
    assert "train/top1_image" in logs


def test_images_are_read_beside_the_clips(config):
    parts = main.build(config)
    assert len(parts.data.splits["images"]) == 12
    assert list(parts.data.summary())[-1] == "images: 12, 3 classes"
    reading = dict(workers=0, process=(0, 1))
    found = [
        next(iter(loop.train_stream(config, parts.data.splits, parts.pipelines, reading, i, 9)))
        for i in (4, 4, 5)
    ]
    assert {k: x.shape[0] for k, x in found[0].items() if "label" in k} == {
        "label": 16,
        "image_label": 24,
    }
    size = config.data.recipe.size
    assert found[0]["image_video"].shape == (24, 1, 1, size, size, 3)
    jax.tree.map(np.testing.assert_array_equal, *found[:2])
    assert (found[0]["image_index"] != found[2]["image_index"]).any()


@pytest.mark.parametrize(
    "key,value,words",
    [
        ("data.image_batch", 0, "image_batch=0: set the number of images"),
        ("model.image_classes", 2, r"images.csv:3: label 2 is outside 0..1"),
        ("task.name", "recognition", 'needs config.task.name="omnisource"'),
    ],
)
def test_mistakes_name_the_key(config, key, value, words):
    section, name = key.split(".")
    config[section][name] = value
    with pytest.raises(UserError, match=words):
        main.build(config)


def test_images_divide_over_the_devices(config):
    config.data.image_batch = 20
    with pytest.raises(UserError, match="image_batch=20 must divide by 8, as"):
        plan.check_batch(config, mesh.build(8, 1))


@pytest.mark.long
def test_memory_counts_the_images(config):
    """Also that of the advice, which keeps their share of a batch."""
    devices = mesh.build(8, 1)
    planned, _, shapes = plan.rehearse(config, devices)
    assert shapes["image_video"].shape == (24, 1, 1, 32, 32, 3)
    assert shapes["image_video"].sharding == shapes["video"].sharding
    clips = {key: x for key, x in shapes.items() if not key.startswith("image_")}
    assert estimate.training(planned, shapes) > 1.05 * estimate.training(planned, clips)
    _, halved = fitting.replan(planned, shapes, {"batch": 8})
    assert len(halved["video"]) == 8 and len(halved["image_video"]) == 24
    assert {"batch": 8, "accumulate": 1, "data.image_batch": 16} in [
        change for rung in fitting.ladder(planned) for change in rung
    ]
