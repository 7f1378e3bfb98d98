"""UCF101-24 and JHMDB: the pickle of ACT with all frames of the test videos, and a csv."""

import pickle

import numpy as np
import pytest

from jaxvid.data.sources import jhmdb, ucf24
from jaxvid.errors import UserError
from tests.data.sources.test_multisports import tube

ABOUT = {
    "labels": ["Basketball", "Diving"],
    "train_videos": [["Basketball/v_a"], ["Diving/v_b"]],
    "test_videos": [["Diving/v_b"], ["Basketball/v_a"]],
    "nframes": {"Basketball/v_a": 4, "Diving/v_b": 5},
    "resolution": {"Basketball/v_a": (100, 200), "Diving/v_b": (100, 200)},
    "gttubes": {"Basketball/v_a": {0: [tube(1, 4, 0)]}, "Diving/v_b": {1: [tube(3, 2, 0)]}},
}


def read(root, split="val", about=ABOUT, build=ucf24.build, **options):
    (root / "gt.pkl").write_bytes(pickle.dumps(about, protocol=2))
    return build(split, root=str(root), **(dict(file="gt.pkl", proposals="true") | options))


def test_all_frames_of_test_videos_are_key_frames(tmp_path):
    source = read(tmp_path)
    assert [source.id(i) for i in range(5)] == [f"Diving/v_b.avi,{f:04d}" for f in range(1, 6)]
    assert [len(source[i]["boxes"]) for i in range(5)] == [0, 0, 1, 1, 0]
    assert source.labels.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [0, 0]]
    assert source[2]["tube"].tolist() == [0]
    assert (source[4]["time"], source[4]["fps"], source[4]["box_label"].shape) == (4, 1, (0, 2))
    assert len(read(tmp_path, "train")) == 4


def test_folders_of_frames_and_other_splits(tmp_path):
    options = dict(part=2, template="{:05}.png", prefix="Frames")
    sample = read(tmp_path, build=jhmdb.build, **options)[0]
    assert sample["path"].endswith("Frames/Basketball/v_a")
    assert sample["template"] == "{:05}.png"
    with pytest.raises(UserError, match='"test_videos" has 2 lists, no 3'):
        read(tmp_path, part=3)
    with pytest.raises(UserError, match=r"config\.data\.val\.part=0"):
        read(tmp_path, part=0)


def test_a_csv_has_tubes_by_person(tmp_path):
    lines = [
        "a.avi,1,0,0,0.5,1,Diving,3",
        "a.avi,2,0,0,0.5,1,Diving,3",
        "a.avi,2,0,0,0.5,1,Diving,4",
    ]
    (tmp_path / "val.csv").write_text("\n".join(lines) + "\n")
    options = dict(file="{split}.csv", proposals="true", names=("Basketball", "Diving"))
    source = ucf24.build("val", root=str(tmp_path), **options)
    assert [source[i]["tube"].tolist() for i in range(2)] == [[0], [0, 1]]
    assert [source[i]["time"] for i in range(2)] == [0, 1]
    assert "excluded" in source[0]
    (tmp_path / "val.csv").write_text("a.avi,1,0,0,0.5,1,Diving,3\na.avi,2,0,0,0.5,1,Diving\n")
    with pytest.raises(UserError, match=r"val\.csv:2: a tube needs the number of its person"):
        ucf24.build("val", root=str(tmp_path), **options)


def changed(key, new):
    return ABOUT | {key: ABOUT[key] | {"Diving/v_b": new}}


@pytest.mark.parametrize(
    "about,message",
    [
        ({k: v for k, v in ABOUT.items() if k != "nframes"}, 'no "nframes" in it'),
        (changed("nframes", 3), '"Diving/v_b": a tube has frame 4, but "nframes" is 3'),
        (changed("nframes", 0), '"Diving/v_b" is 0; expected a number of frames'),
        (changed("gttubes", {1: [np.array([[3, 0, 0, 300, 50]])]}), "row 0: box .* outside 0..1"),
        (changed("gttubes", {1: [np.array([[3, 50, 0, 20, 50]])]}), "row 0: .*swapped corners"),
        (changed("gttubes", {2: [tube(3, 2, 0)]}), "class 2; expected a whole number from 0 to 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, about, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, about=about)
