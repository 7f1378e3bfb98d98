"""Patches of frames with their aspect ratio."""

import numpy as np
import pytest

from jaxvid.data.recipes import video_text
from jaxvid.data.transforms.patches import CutPatches
from jaxvid.data.video.readers import ArrayReader


@pytest.mark.parametrize(
    "height,width,most,want",
    [
        (240, 320, 256, (14, 18)),
        (360, 640, 256, (12, 21)),
        (64, 64, 256, (16, 16)),
        (9, 900, 8, (1, 8)),
    ],
)
def test_grids_are_those_of_the_published_preprocessing(height, width, most, want):
    assert CutPatches(16, most).grid(height, width) == want


def test_patches_are_cut_row_by_row_and_zeros_follow():
    video = np.random.default_rng(0).integers(1, 255, (1, 2, 8, 12, 3), np.uint8)
    found = CutPatches(4, 7)({"video": video}, np.random.default_rng(0))
    assert found["grid"].tolist() == [2, 3]
    assert found["video"].shape == (1, 2, 7, 16, 3)
    for i, (row, column) in enumerate(np.ndindex(2, 3)):
        patch = video[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_array_equal(found["video"][:, :, i].reshape(patch.shape), patch)
    assert not found["video"][:, :, 6].any()


def test_the_recipe_of_texts_makes_patches_of_whole_frames():
    steps = video_text.build("val", frames=2, patches=9, patch=8, length=5)
    reader = ArrayReader(np.zeros((4, 30, 60, 3), np.uint8), 25.0)
    sample = {"reader": reader, "captions": ("a video",)}
    for step in steps:
        sample = step(sample, np.random.default_rng(0))
    assert sample.keys() == {"video", "grid", "text"}
    assert sample["video"].shape == (1, 2, 9, 64, 3)
    assert sample["grid"].tolist() == [2, 4]
