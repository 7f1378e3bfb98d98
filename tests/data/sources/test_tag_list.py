"""HVU's json lists: tags by category, and what is wrong in them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jaxvid.data import source_checks
from jaxvid.data.loading import loader
from jaxvid.data.recipes import clip
from jaxvid.data.sources import concat, tag_list
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError

NAMES = ("action/run", "action/sit", "scene/beach", "scene/snow", "scene/room")


def read(folder: Path, *entries, text: str = "", **options) -> Any:
    (folder / "tags.json").write_text(text or json.dumps(entries))
    given: Any = dict(names=NAMES) | options
    return tag_list.build("train", root=str(folder), file="tags.json", **given)


def test_tags_are_numbered_in_their_category(tmp_path):
    one = {"filename": "a.mp4", "label": {"scene": [2, 0], "action": [1]}}
    two = {"filename": "sub/b.avi", "label": {"scene": [1]}}
    source = read(tmp_path, one, two, {"filename": "c.mp4", "label": {}}, prefix="videos")
    assert [s["label"].tolist() for s in source] == [[0, 1, 1, 0, 1], [0, 0, 0, 1, 0], [0] * 5]
    assert source.id(1) == source[1]["path"] == str(tmp_path / "videos/sub/b.avi")
    assert source.where(1) == f"{tmp_path}/tags.json[1]"
    assert source.names == NAMES and "label_mask" not in source[0]
    masked = read(tmp_path, one, two, category_mask=True)
    assert [s["label_mask"].tolist() for s in masked] == [[1] * 5, [0, 0, 1, 1, 1]]
    # Also where the classes of a category do not lie together.
    mixed = read(
        tmp_path, one, names=("scene/beach", "action/run", "scene/snow", "action/sit", "scene/room")
    )
    assert mixed[0]["label"].tolist() == [1, 0, 0, 1, 1]


def test_videos_and_folders_of_frames_are_decoded(tmp_path):
    recipe = clip.build("val", frames=4, stride=1, size=8, short_side=8)
    pixels = np.full((5, 16, 16, 3), 90, np.uint8)
    write_video(tmp_path / "a.mp4", pixels, 5)
    (tmp_path / "b").mkdir()
    for number in range(1, 6):
        cv2.imwrite(str(tmp_path / f"b/img_{number:05}.png"), pixels[0])
    label = {"scene": [1]}
    for entry, extra in (
        ({"filename": "a.mp4", "label": label}, {}),
        ({"frame_dir": "b", "total_frames": 5, "label": label}, dict(template="img_{:05}.png")),
    ):
        (batch,) = loader.eval_batches(read(tmp_path, entry, **extra), recipe, batch=1, workers=0)
        assert batch["video"].shape == (1, 1, 4, 8, 8, 3)
        assert abs(batch["video"].astype(int) - 90).max() < 6


def test_it_can_be_a_part_of_other_sets(tmp_path):
    read(tmp_path, {"filename": "a.mp4", "label": {"scene": [0]}})
    spec = dict(name="tag_list", file="tags.json")
    whole = concat.build("train", root=str(tmp_path), names=NAMES, one=spec, two=spec)
    assert source_checks.counts(whole.labels, 5).tolist() == [0, 0, 2, 0, 0]


@pytest.mark.parametrize(
    "entry,message",
    [
        ({"filename": "a.mp4"}, r'tags\.json\[1\]: no "label" in it'),
        ({"frame_dir": "a", "label": {}}, r'\[1\]: no "filename" in it'),
        ({"filename": 3, "label": {}}, r'\[1\]: "filename" is 3; expected the path'),
        ({"filename": " ", "label": {}}, r'\[1\]: "filename" is . .; expected the path'),
        ({"filename": "a", "label": {"scene": [1.0]}}, r'"scene" is \[1\.0\]; expected'),
        ({"filename": "a", "label": {"scene": [True]}}, r'"scene" is \[True\]; expected'),
        ({"filename": "a", "label": None}, r'\[1\]: "label" is None; expected'),
        ({"filename": "a", "label": [1]}, r'\[1\]: "label" is \[1\]; expected \{"CATEGORY": \[TAG'),
        ({"filename": "a", "label": {"scenes": [1]}}, r'category: "scenes".*Did you mean "scene"'),
        ({"filename": "a", "label": {"scene": [3]}}, r'\[1\], "label": "scene" is \[3\]; .*0\.\.2'),
        ({"filename": "a", "label": {"scene": [-1]}}, r'\[1\], "label": "scene" is \[-1\]'),
        ({"filename": "a", "label": {"scene": 1}}, r'\[1\], "label": "scene" is 1; expected'),
        ({"filename": "a", "label": {"scene": ["snow"]}}, r'"scene" is \[.snow.\]; expected'),
    ],
)
def test_mistakes_name_the_entry(tmp_path, entry, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, {"filename": "b.mp4", "label": {"scene": [0]}}, entry)


@pytest.mark.parametrize("total", [0, -1, 2.5, "9", None, True, 10**12])
def test_folders_need_a_number_of_frames(tmp_path, total):
    one, two = ({"frame_dir": name, "total_frames": 5, "label": {}} for name in "ab")
    with pytest.raises(
        UserError, match=r'\[1\]: "total_frames" is .*; expected a number of frames'
    ):
        read(tmp_path, one, two | {"total_frames": total})


@pytest.mark.parametrize("text", ["[]", "{}", "3", "[3]", '["a.mp4 1"]'])
def test_what_is_no_list_of_videos(tmp_path, text):
    with pytest.raises(UserError, match=r"tags\.json: expected \[\{"):
        read(tmp_path, text=text)


def test_what_is_no_json_or_not_there(tmp_path):
    with pytest.raises(UserError, match=r"tags\.json:1: this is not json"):
        read(tmp_path, text="a.mp4 1")
    with pytest.raises(UserError, match=r"no\.json: no such val list; set config\.data\.root or"):
        tag_list.build("val", root=str(tmp_path), file="no.json", names=NAMES)


@pytest.mark.parametrize("names", [(), ("run", "sit")])
def test_it_needs_names_with_categories(tmp_path, names):
    with pytest.raises(
        UserError, match=r'class names "category/tag", such as config\.data\.names='
    ):
        read(tmp_path, {"filename": "a.mp4", "label": {}}, names=names)
