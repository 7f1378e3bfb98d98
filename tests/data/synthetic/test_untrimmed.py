"""Generated untrimmed videos: what counts, where, and what does not."""

import json

import numpy as np
import pytest

from jaxvid.data.synthetic import motion, untrimmed
from jaxvid.data.video.decode import VideoReader
from jaxvid.errors import UserError


def test_videos_have_several_actions_of_one_class_with_pauses():
    for index in range(4):
        frames, actions = untrimmed.draw("train", index)
        assert 3 <= len(actions) <= 5
        assert len({action["label"] for action in actions}) == 1
        times = np.array([action["segment"] for action in actions]) * motion.FPS
        edges = np.concatenate([[0], times.ravel(), [len(frames)]])
        gaps, lengths = edges[1::2] - edges[::2], edges[2::2] - edges[1:-1:2]
        assert 12 <= gaps.min() <= gaps.max() <= 40
        assert set(lengths) <= {16, 32, 48}


def test_a_video_follows_from_its_number():
    one, same = untrimmed.draw("val", 3), untrimmed.draw("val", 3)
    np.testing.assert_array_equal(one[0], same[0])
    assert one[1] == same[1]
    assert untrimmed.draw("val", 4)[1] != one[1]
    assert untrimmed.draw("val", 3, seed=1)[1] != one[1]
    assert untrimmed.draw("train", 3)[1] != one[1]


def test_pauses_hold_still_or_jump():
    """An action moves evenly: neither all frames alike nor all changes large."""
    frames, actions = untrimmed.draw("train", 0)
    changes = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
    first = round(actions[0]["segment"][0] * motion.FPS)
    moving = changes[first : first + 15]
    assert moving.min() > 0
    still = (changes == 0).mean()
    assert 0.05 < still < 0.6


def test_what_changes_in_pauses_does_not_move_evenly():
    inside, outside = [], []
    for index in range(8):
        frames, actions = untrimmed.draw("train", index)
        changes = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
        acting = np.zeros(len(changes), bool)
        for action in actions:
            start, end = (round(time * motion.FPS) for time in action["segment"])
            acting[start : end - 1] = True
        inside += changes[acting].tolist()
        outside += changes[~acting & (changes > 0)].tolist()
    assert np.median(outside) > 1.5 * np.median(inside)


def test_files(tmp_path):
    root = untrimmed.generate(tmp_path / "set", train=2, val=1)
    found = json.loads((root / "train.json").read_text())
    assert list(found) == ["train_0000", "train_0001"]
    frames, actions = untrimmed.draw("train", 1)
    assert found["train_0001"] == {"duration": len(frames) / motion.FPS, "annotations": actions}
    with VideoReader(root / "videos" / "train_0001.mp4") as video:
        assert (len(video), video.fps) == (len(frames), motion.FPS)
        assert np.abs(video[20].astype(int) - frames[20]).mean() < 8
    assert untrimmed.generate(tmp_path / "set", train=2, val=1) == root  # it is there
    with pytest.raises(UserError, match=r"choose another folder:\n  seed: 0 there, 1 now"):
        untrimmed.generate(tmp_path / "set", train=2, val=1, seed=1)
    with pytest.raises(UserError, match="train and val are 1 or more"):
        untrimmed.generate(tmp_path / "other", train=0)
