"""What the model sees, as pictures: every clip, its frames in order, under its classes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxvid import plug
from jaxvid.data import open_video
from jaxvid.draw import sheets
from jaxvid.errors import UserError
from jaxvid.tools import browse
from tests.data import video_files as make

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("clips")
    for k in range(4):
        make.encode(folder / f"{k}.mp4", frames=20, **make.X264)
    for split in ("train", "val"):
        lines = [f"{k}.mp4 {('run', 'sit')[k % 2]}\n" for k in range(4)]
        (folder / f"{split}.txt").write_text("".join(lines))
    clips = {s: dict(name="video_list", file=f"{s}.txt") for s in ("train", "val")}
    recipe = plug.spec("data.recipes", "clip", frames=4, stride=2, size=40, short_side=80, clips=2)
    data = dict(root=str(folder), num_classes=None, names="", checks=("labels",), recipe=recipe)
    task = plug.spec("tasks", "recognition")
    return ConfigDict(dict(seed=0, task=task, data=data | clips))


def change(config: Any, **augment) -> Any:
    config = config.copy_and_resolve_references()
    config.task.augment.update(augment)
    return config


def test_evaluation_shows_the_pixels_of_the_pipeline(config):
    from jaxvid import data

    views = list(browse.read(config, "val", 2))
    assert [view.video.shape for view in views] == [(4, 40, 40, 3)] * 2
    recipe = plug.load("data.recipes", config.data.recipe, split="val")
    for text, view, _ in views:
        label, name = text.split("  ")
        assert label == ("run", "sit")[int(name[0]) % 2]
        expected = data.apply(recipe, Path(config.data.root, name))["video"][0]
        assert np.abs(view.astype(int) - expected).max() <= 1


def test_test_views_are_counted(config):
    texts = [view.text for view in browse.read(config, "test", 1)]
    assert [text.split("  ")[1] for text in texts] == ["view 1/2", "view 2/2"]


def test_training_shows_what_the_device_does(config):
    """A blended clip carries the classes of both; without augmentation there is one."""
    plain = list(browse.read(change(config), "train", 4))
    mixed = list(browse.read(change(config, mixup=0.8), "train", 4))
    assert all(text.split("  ")[0] in ("run", "sit") for text, _, _ in plain)
    shares = [text.split("  ")[0] for text, _, _ in mixed]
    assert any("% + " in share for share in shares)
    assert any((a != b).any() for (_, a, _), (_, b, _) in zip(plain, mixed, strict=True))
    again = list(browse.read(change(config, mixup=0.8), "train", 4))
    assert all((a == b).all() for (_, a, _), (_, b, _) in zip(again, mixed, strict=True))


def test_classes_are_named_by_their_share():
    names = ("run", "sit", "jump")
    assert browse.classes(np.array([0.0, 1, 0]), names) == "sit"
    assert browse.classes(np.array([0.3, 0.0, 0.7]), names) == "jump 70% + run 30%"
    assert browse.classes(np.array([0.96, 0.02, 0.02]), names) == "run"  # smoothed
    assert browse.classes(np.zeros(3), names) == "no class"


def test_unreadable_videos_are_said(config, capsys):
    folder = Path(config.data.root)
    (folder / "bad.mp4").touch()
    (folder / "bad.txt").write_text("bad.mp4 run\n0.mp4 sit\n")
    config = change(config)
    config.data.val.file = "bad.txt"
    assert len(list(browse.read(config, "val", 2))) == 2
    assert "replaced by another: " in capsys.readouterr().err


def test_the_command(config, tmp_path):
    command = [
        sys.executable,
        "-m",
        "jaxvid.tools.browse",
        "--config",
        "configs/finetune.py:tiny",
        f"--config.data.root={config.data.root}",
        "--config.data.recipe.frames=3",
        "--config.data.checks=('labels',)",
        "--count",
        "2",
        "--out",
        str(tmp_path / "sheet"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2 views of 3 frames, 224 x 224 pixels",
        f"wrote {tmp_path}/sheet_train.png and {tmp_path}/sheet_train.mp4",
    ]
    sheet = cv2.imread(str(tmp_path / "sheet_train.png"))
    assert sheet is not None and sheet.shape[1] == 3 * (224 + sheets.GAP)
    with open_video(tmp_path / "sheet_train.mp4") as video:
        assert len(video) == 3 and video.fps == 8


def test_mistakes(config, tmp_path):
    with pytest.raises(UserError, match=r"/none/x_.*\.png: there is no folder /none"):
        browse.show(config, "val", 1, "/none/x", 8)
