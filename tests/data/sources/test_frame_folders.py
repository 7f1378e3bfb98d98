"""Lists of folders of frames, as MMAction2 writes them, and what is wrong in them."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jaxvid.data import apply
from jaxvid.data.sources import frame_folders
from jaxvid.data.transforms import sampling, video
from jaxvid.errors import UserError

RGB, FLOW = "img_{:05}.jpg", "{}_{:05d}.jpg"


def read(folder: Path, text: str, file: str = "train.txt", **options):
    (folder / file).write_text(text)
    return frame_folders.build("train", root=str(folder), file=file, **options)


def test_a_list(tmp_path):
    source = read(tmp_path, "# a comment\na 5 127\n\nsub/b 300 2\n", prefix="frames")
    assert len(source) == 2 and source.labels.tolist() == [127, 2] and source.names == ()
    assert source[0] == {"path": f"{tmp_path}/frames/a", "label": 127, "template": RGB, "total": 5}
    assert source.id(1) == f"{tmp_path}/frames/sub/b"
    assert source.where(1) == f"{tmp_path}/train.txt:4"
    assert repr(source) == f"FrameFolders({tmp_path}/train.txt, 2)"


def test_offsets_name_parts_of_folders(tmp_path):
    source = read(tmp_path, "a 0 5 1\na 5 7 0\n", offset=True, first=0, template=FLOW)
    assert [(source[i]["offset"], source[i]["total"]) for i in range(2)] == [(0, 5), (5, 7)]
    assert source[1]["first"] == 0 and source.id(1) == f"{tmp_path}/a:5+7"
    assert source[1]["template"] == FLOW
    assert source.id(0) != source.id(1)


def test_several_labels_names_and_csv(tmp_path):
    source = read(tmp_path, "a 5 1\nb 5 3 0\n", multi_label=True, num_classes=4)
    assert np.array_equal(source.labels, [[0, 1, 0, 0], [1, 0, 0, 1]])
    text = "frame_dir,total,label\nmy clip,5,run\nb,5,jump high\n"
    source = read(tmp_path, text, "train.csv")
    assert source.names == ("jump high", "run") and source.labels.tolist() == [1, 0]
    assert source[0]["path"] == f"{tmp_path}/my clip"


@pytest.mark.parametrize(
    "text,options,message",
    [
        ("a 5\n", {}, r'train\.txt:1: expected "folder frames label", found \[\'a\', \'5\'\]$'),
        ("a 5 0\nb\n", {}, r'train\.txt:2: expected "folder frames label"'),
        ("a 5 0 1\n", {}, "train.txt:1: .*several labels need config.task.name=multi_label"),
        ("a 0 5\n", {"offset": True}, 'train.txt:1: expected "folder offset frames label"'),
        ("a many 0\n", {}, 'train.txt:1: "many" is not a number of frames'),
        ("a -5 0\n", {}, 'train.txt:1: "-5" is not a number of frames'),
        ("a 0 0\n", {}, 'train.txt:1: "0" is not a number of frames'),
        ("a 3 0 1\n", {"offset": True}, 'train.txt:1: "3 0" is not a number of frames'),
        ("# nothing\n", {}, "train.txt: the list is empty"),
        ("a 5 4\n", {"multi_label": True, "num_classes": 4}, "train.txt:1: label 4 is outside"),
        ("a 5 x\n", {"names": ("y", "z")}, 'train.txt:1: no such class: "x"'),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, text, options, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, **options)


def test_no_such_list(tmp_path):
    with pytest.raises(UserError, match=r"x\.txt: no such val list.*config\.data\.val\.file"):
        frame_folders.build("val", root=str(tmp_path), file="x.txt")


def test_frames_reach_the_recipe(tmp_path):
    """Each frame holds its number: what is read is what the list says."""
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(1, 13):
        image = np.full((16, 16, 3), number * 10, np.uint8)
        cv2.imwrite(str(folder / RGB.format(number)), image)
        cv2.imwrite(str(folder / FLOW.format("x", number)), image[..., 0])
        cv2.imwrite(str(folder / FLOW.format("y", number)), image[..., 0] + 5)
    sampler = sampling.SampleClips(5, 1, clips=2)
    recipe = [video.Open(), sampler, video.Decode()]
    sample = read(tmp_path, "a 12 0\n")[0]
    found = apply(recipe, sample.pop("path"), **sample)
    numbers = (found["video"].mean((2, 3, 4)) / 10).round()
    np.testing.assert_array_equal(numbers, found["frames"] + 1)
    assert numbers.tolist() == [[1, 2, 3, 4, 5], [8, 9, 10, 11, 12]]

    sample = read(tmp_path, "a 2 5 0\n", offset=True, template=FLOW)[0]
    recipe = [video.Open(), sampling.SampleClips(5, 1), video.Decode(), video.StackFlow(5)]
    stacked = apply(recipe, sample.pop("path"), **sample)["video"]
    assert stacked.shape == (1, 1, 16, 16, 10)
    expected = [level for number in range(3, 8) for level in (number * 10, number * 10 + 5)]
    np.testing.assert_allclose(stacked[0, 0].mean((0, 1)), expected, atol=1)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("offset", [False, True])
def test_frames_from_zero_or_one(tmp_path, first, offset):
    (tmp_path / "a").mkdir()
    for k in range(12):
        image = np.full((16, 16, 3), 20 * k, np.uint8)
        cv2.imwrite(str(tmp_path / "a" / RGB.format(first + k)), image)
    source = read(tmp_path, "a 4 5 0\n" if offset else "a 12 0\n", offset=offset)
    sample = source[0]
    recipe = [video.Open(), sampling.SampleClips(5, 1), video.Decode()]
    frames = apply(recipe, sample.pop("path"), **sample)
    expected = frames["frames"] + 4 * offset
    np.testing.assert_array_equal((frames["video"].mean((2, 3, 4)) / 20).round(), expected)


def test_published_lists():
    if "JAXVID_DATA" not in os.environ:
        pytest.skip("JAXVID_DATA does not name the folder of real lists")
    root = os.environ["JAXVID_DATA"]
    for name, offset, options in (
        ("rawframe_test_list", None, {}),
        ("rawframe_test_list_with_offset", 2, {"offset": True}),
        ("rawframe_test_list_multi_label", None, {"multi_label": True, "num_classes": 100}),
    ):
        file: Any = dict(root=root, file=f"annotations/{name}.txt") | options
        source = frame_folders.build("test", **file)
        sample = source[1]
        assert (len(source), sample.get("offset"), sample["total"]) == (2, offset, 5)
        recipe = [video.Open(), sampling.SampleClips(5, 1), video.Decode()]
        found = apply(recipe, sample.pop("path"), **sample)
        assert found["video"].shape == (1, 5, 240, 320, 3)
    assert [label.sum() for label in source.labels] == [1, 2]
