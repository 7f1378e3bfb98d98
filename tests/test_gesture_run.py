"""Gestures from videos: key points are extracted, a model is trained, and a video is recognized."""

import json

import numpy as np
import pytest

from configs import skeleton_own
from jaxvid import main
from jaxvid.data.video.decode import VideoReader
from jaxvid.tools import extract_poses, skeleton
from tests.data import hands

pytestmark = pytest.mark.slow
FOUND = ("--detector", "tests.data.hands:find", "--estimator", "tests.data.hands:estimate")


def make_config(root):
    c = skeleton_own.get_config("mini")
    c.data.root = str(root)
    c.model.layout = c.data.recipe.layout = "handmp"
    c.data.recipe.frames = 16
    c.data.recipe.people = 1
    c.epochs, c.batch, c.loader.workers = 30.0, 16, 0
    c.eval_every, c.save_every = 30.0, 0
    return c


def test_the_motion_of_a_hand_tells_its_gesture(tmp_path, capsys):
    videos, out = tmp_path / "videos", tmp_path / "skeletons.pkl"
    for split, each in (("train", 24), ("val", 6)):
        hands.make(videos / split, each, seed=each)
    assert extract_poses.main([str(videos), "--out", str(out), "--gesture", *FOUND]) == 0
    metrics = main.train(make_config(tmp_path), tmp_path / "run")
    assert metrics["val/top1"] > 0.9

    rng = np.random.default_rng(7)
    capsys.readouterr()
    for gesture in ("left", "up"):
        joints = hands.motion(gesture, rng)
        video, out = tmp_path / f"{gesture}.mp4", tmp_path / f"{gesture}_seen.mp4"
        hands.write_video(video, hands.draw(joints), hands.FPS)
        flags = ["--checkpoint", str(tmp_path / "run"), "--gesture", *FOUND, "--out", str(out)]
        assert skeleton.main([str(video), *flags]) == 0
        [name, line] = capsys.readouterr().out.splitlines()
        assert name == str(video) and f"% {gesture}" in line.split(",")[0]
        found = json.loads(out.with_suffix(".json").read_text())
        assert found["layout"] == "handmp" and found["report"]["people"] == 1
        with VideoReader(out) as reader:
            assert reader.frames == hands.FRAMES and reader.width >= 320
