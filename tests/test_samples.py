"""What people see of a sample: by its keys, whatever the task."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jaxvid import samples, skeletons
from jaxvid.data.text.tokenizer import tokenize
from jaxvid.draw.frames import GRAY, SHADES
from jaxvid.draw.sheets import Note
from jaxvid.errors import UserError

TASK: Any = SimpleNamespace(mean=(100.0, 110.0, 120.0), std=(50.0, 50.0, 50.0))
NAMES = ("run", "sit", "wave")


def test_normalization_is_undone():
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3))
    clips, notes = samples.views({"video": (frames - TASK.mean) / TASK.std}, TASK, {}, NAMES)
    np.testing.assert_array_equal(clips, frames)
    assert (clips.dtype, notes) == (np.uint8, [])


def test_of_flow_the_motion_along_x_is_gray():
    flow = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8, 2))
    task: Any = SimpleNamespace(mean=(128.0,), std=(64.0,))
    clips, _ = samples.views({"video": (flow - 128.0) / 64.0}, task, {}, NAMES)
    np.testing.assert_array_equal(clips, np.repeat(flow[..., :1], 3, -1))


def test_boxes_have_the_colors_of_their_notes():
    sample = {
        "video": np.zeros((1, 2, 60, 80, 3)),
        "boxes": np.array([[5, 5, 30, 40], [40, 10, 70, 50], [0, 0, 0, 0]], np.float32),
        "box_mask": np.array([1, 1, 0]),
        "box_label": np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]]),
        "proposals": np.array([[2, 2, 12, 58], [0, 0, 0, 0]], np.float32),
        "proposal_mask": np.array([1, 0]),
    }
    clips, notes = samples.views(sample, TASK, {}, NAMES)
    assert notes == [Note("run, wave", SHADES[0]), Note("sit", SHADES[1])]
    for frame in clips[0]:
        assert tuple(frame[20, 5]) == tuple(frame[20, 29]) == SHADES[0]
        assert tuple(frame[10, 50]) == tuple(frame[49, 50]) == SHADES[1]
        assert tuple(frame[50, 2]) == GRAY
        assert tuple(frame[20, 20]) == (100, 110, 120)  # inside is left as it is


def skeleton(joints: int, coordinates: int) -> np.ndarray:
    """Two people (1 view, 3 people, 4 frames, joints, c), and room for a third."""
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (1, 3, 4, joints, coordinates))
    points[:, 2] = 0
    if coordinates == 3 and joints == 17:
        points[:, :2, ..., 2] = 1  # scores
    return points.astype(np.float32)


@pytest.mark.parametrize("layout", ["coco", "nturgb+d"])
def test_people_are_drawn_in_a_color_each(layout):
    points = skeleton(skeletons.get(layout).joints, 3)
    recipe = dict(layout=layout, streams=("j",))
    clips, _ = samples.views({"keypoint": points}, TASK, recipe, NAMES)
    assert clips.shape == (1, 4, 240, 240, 3)
    for k, drawn in enumerate((True, True, False)):
        assert (clips == SHADES[k]).all(-1).any((0, 2, 3)).tolist() == [drawn] * 4
    points[:, 1] = 0
    clips, _ = samples.views({"keypoint": points}, TASK, recipe, NAMES)
    assert not (clips == SHADES[1]).all(-1).any()


def test_bodies_in_space_stand_upright():
    """Heights are z; the head of the layout is joint 3, a foot joint 15."""
    points = np.zeros((1, 1, 1, 25, 3), np.float32)
    points[..., 2] = -0.5
    points[..., 3, 2] = 1.0
    recipe = dict(layout="nturgb+d", streams=("j",))
    (clip,), _ = samples.views({"keypoint": points}, TASK, recipe, NAMES)
    rows = np.flatnonzero((clip[0] == 255).all(-1).any(1))
    assert rows.min() < 20 and rows.max() > 220


def test_a_missing_joint_has_no_bones():
    points = skeleton(17, 3)
    recipe = dict(layout="coco", streams=("b", "j"))
    streams = np.concatenate([np.zeros_like(points), points], -1)
    whole, _ = samples.views({"keypoint": streams}, TASK, recipe, NAMES)
    streams[:, :, :, 5:, 5] = 0  # only the face has a score
    face, _ = samples.views({"keypoint": streams}, TASK, recipe, NAMES)

    def dots(clips):
        return (clips == 255).all(-1).sum()

    assert 0 < dots(face) < dots(whole) / 2


def test_heat_maps_have_a_color_a_joint():
    maps = np.zeros((1, 2, 9, 9, 3), np.float32)
    maps[..., 2, 2, 0] = maps[..., 6, 6, 1] = 1
    clips, _ = samples.views({"heatmap": maps}, TASK, {}, NAMES)
    assert tuple(clips[0, 0, 2, 2]) == SHADES[0]
    assert tuple(clips[0, 1, 6, 6]) == SHADES[1]
    assert clips[0, 0, 4, 4].max() < 40


def test_texts_are_what_the_model_reads():
    captions = ["A man's dog, running", "naïve 中文 text", "three", "four", "five"]
    tokens = np.stack([*(tokenize(text, 20) for text in captions), np.zeros(20, np.int32)])
    sample = {"video": np.zeros((1, 2, 8, 8, 3)), "text": tokens}
    _, notes = samples.views(sample, TASK, {}, NAMES)
    assert [note.text for note in notes] == [
        "a man 's dog , running",
        "naïve 中文 text",
        "three",
        "... and 2 more",
    ]
    assert samples.texts(tokenize("one two three four", 4)[None]) == [Note("one two")]


@pytest.mark.parametrize(
    "sample,recipe,message",
    [
        ({"feature": np.zeros((4, 8))}, {}, "the samples hold features; see what"),
        ({"keypoint": skeleton(17, 3)}, dict(streams=("bm",)), r"streams=.*shows the joints"),
        ({"label": np.int32(0), "sound": np.zeros(3)}, {}, "the samples hold label, sound"),
    ],
)
def test_what_cannot_be_drawn_is_named(sample, recipe, message):
    with pytest.raises(UserError, match=message):
        samples.views(sample, TASK, recipe, NAMES)


def test_a_spectrogram_is_one_frame_with_low_frequencies_at_the_bottom():
    audio = np.zeros((2, 10, 4, 1), np.float32)
    audio[:, 3, 0] = 1
    clips, notes = samples.views({"audio": audio}, None, {}, ())
    assert clips.shape == (2, 1, 12, 20, 3) and notes == []
    bright = np.argwhere((clips[0, 0] == 255).all(-1))
    assert (bright.min(0).tolist(), bright.max(0).tolist()) == ([9, 6], [11, 7])
