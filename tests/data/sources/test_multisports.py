"""MultiSports' own annotations: tubes become key frames and come out as tubes."""

import pickle

import numpy as np
import pytest

from jaxvid.data.sources import multisports
from jaxvid.errors import UserError
from jaxvid.metrics.detection import Frame
from jaxvid.metrics.tubes import true_tubes
from tests.conftest import logs


def tube(first, count, x):
    frames = np.arange(first, first + count)
    corners = np.stack([frames + x, 0 * frames + 10, frames + x + 40, 0 * frames + 90], 1)
    return np.column_stack([frames, corners]).astype(float)


ABOUT = {
    "labels": ["serve", "dunk", "block"],
    "train_videos": [["sport/v_a"]],
    "test_videos": [["sport/v_b", "sport/v_c"]],
    "nframes": {"sport/v_a": 40, "sport/v_b": 60, "sport/v_c": 60},
    "resolution": {"sport/v_a": (100, 200), "sport/v_b": (100, 200), "sport/v_c": (360, 640)},
    "gttubes": {
        "sport/v_a": {0: [tube(1, 3, 0)]},
        "sport/v_b": {2: [tube(7, 2, 90), tube(5, 4, 0)], 1: [tube(8, 1, 50)]},
        "sport/v_c": {0: [tube(5, 2, 7)]},
    },
}


@pytest.fixture
def read(tmp_path):
    def function(split="val", about=ABOUT, **options):
        (tmp_path / "gt.pkl").write_bytes(pickle.dumps(about))
        options = dict(file="gt.pkl", proposals="true") | options
        return multisports.build(split, root=str(tmp_path), **options)

    return function


def test_every_frame_of_a_tube_is_a_key_frame(read):
    source = read()
    assert [source.id(i) for i in range(len(source))] == [
        *(f"sport/v_b.mp4,{f:04d}" for f in (5, 6, 7, 8)),
        *(f"sport/v_c.mp4,{f:04d}" for f in (5, 6)),
    ]
    assert source.names == ("serve", "dunk", "block")
    assert len(read("train")) == 3
    sample = source[3]
    assert (sample["time"], sample["fps"], sample["clip"]) == (7, 1, 0)  # frames count from 1
    assert sample["path"].endswith("sport/v_b.mp4")
    want = [[98, 10, 138, 90], [8, 10, 48, 90], [58, 10, 98, 90]]
    np.testing.assert_allclose(sample["boxes"] * [200, 100, 200, 100], want, rtol=1e-6)
    assert sample["box_label"].argmax(1).tolist() == [2, 2, 1]
    assert "excluded" not in sample


def test_tubes_come_out_as_they_went_in(read):
    source = read()
    frames = []
    for i in range(len(source)):
        s = source[i]
        height, width = ABOUT["resolution"][source.key(i).video.removesuffix(".mp4")]
        boxes = s["boxes"] * np.array([width, height, width, height])
        nothing = np.zeros((0, 4))
        frames.append(
            Frame(nothing, nothing, boxes, s["box_label"] > 0, s["clip"], s["time"] + 1, s["tube"])
        )
    found = true_tubes(frames)
    assert {label: len(tubes) for label, tubes in found.items()} == {0: 1, 1: 1, 2: 2}
    for label, tubes in found.items():
        true = [
            t for name in ("sport/v_b", "sport/v_c") for t in ABOUT["gttubes"][name].get(label, [])
        ]
        for ours, theirs in zip(tubes, true, strict=True):
            assert ours.frames.tolist() == theirs[:, 0].tolist()
            np.testing.assert_allclose(ours.boxes, theirs[:, 1:], rtol=1e-5)


def test_proposals_are_of_files(read, tmp_path):
    found = {f"sport/v_b.mp4,{f:04d}": np.array([[0, 0, 0.5, 0.5, 0.99]]) for f in (5, 6, 7, 8)}
    found |= {f"sport/v_c.mp4,{f:04d}": np.zeros((0, 5)) for f in (5, 6)}
    (tmp_path / "found.pkl").write_bytes(pickle.dumps(found))
    with logs("without a box for 2 of 6 key frames"):
        source = read(proposals="found.pkl")
    assert source[0]["proposals"].tolist() == [[0, 0, 0.5, 0.5]]
    assert source[5]["proposals"].shape == (0, 4)


@pytest.mark.parametrize("key", ["labels", "test_videos", "gttubes", "resolution"])
def test_another_pickle_is_named(read, key):
    about = {k: v for k, v in ABOUT.items() if k != key}
    with pytest.raises(UserError, match=rf'gt\.pkl: no "{key}" in it'):
        read(about=about)


def changed(key, **videos):
    return ABOUT | {key: ABOUT[key] | {f"sport/{video}": new for video, new in videos.items()}}


def one_tube(*rows):
    """The tubes of v_b are one of class 2."""
    return changed("gttubes", v_b={2: [np.array(rows)]})


@pytest.mark.parametrize(
    "about,message",
    [
        ([1], "expected a dict, found a list"),
        (ABOUT | {"labels": [0, 1, 2]}, '"labels" is .*; expected a list of class names'),
        (ABOUT | {"test_videos": ["sport/v_b"]}, '"test_videos" is .*; expected a list that holds'),
        (ABOUT | {"test_videos": []}, '"test_videos" is .*; expected a list that holds'),
        (ABOUT | {"test_videos": [["sport/v_b"] * 2]}, '"test_videos" has "sport/v_b" 2 times'),
        (ABOUT | {"test_videos": [["v_x"]]}, '"gttubes": no "v_x" in it'),
        (ABOUT | {"resolution": {}}, '"resolution": no "sport/v_b" in it'),
        (changed("resolution", v_b=(100, 200, 3)), '"sport/v_b" is .*; expected .height, width.'),
        (changed("resolution", v_b=(0, 200)), '"sport/v_b" is .*; expected .height, width.'),
        (changed("resolution", v_b=(np.nan, 200)), r'"sport/v_b" has nan at \[0\]'),
        (changed("gttubes", v_b={7: []}), "class 7; expected a whole number from 0 to 2"),
        (changed("gttubes", v_b={"dunk": []}), "class 'dunk'; expected a whole number"),
        (changed("gttubes", v_b={1: None}), '"1" is None; expected a list of tubes'),
        (
            changed("gttubes", v_b={1: [np.ones((3, 4))]}),
            r'"0" has shape \(3, 4\); expected .frames',
        ),
        (one_tube([1, 0, 0, np.nan, 9]), r'class 2: "0" has nan at \[0, 3\]'),
        (one_tube([0, 0, 0, 9, 9]), "tube 0, row 0: frame 0; expected whole numbers from 1"),
        (one_tube([1.5, 0, 0, 9, 9]), "tube 0, row 0: frame 1.5; expected whole numbers from 1"),
        (one_tube([1, 0, 0, 9, 9], [1, 0, 0, 9, 9]), "row 1: frame 1; .* none of them repeated"),
        (one_tube([1, 9, 0, 5, 9]), "tube 0, row 0: box .* has swapped corners"),
        (one_tube([1, 0, 0, 300, 9]), "tube 0, row 0: box 0 0 1.5 0.09 is outside"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(read, about, message):
    with pytest.raises(UserError, match=r"gt\.pkl.*" + message):
        read(about=about)


def test_what_does_not_fit_is_named(read):
    with pytest.raises(UserError, match=r"none\.pkl: no such val annotations"):
        read(file="none.pkl")
    with pytest.raises(UserError, match=r"it has 3 classes, but config\.data\.names 2"):
        read(names=("serve", "dunk"))
    with pytest.raises(UserError, match="no tube of train"):
        read("train", about=ABOUT | {"train_videos": [[]]})
    assert read(names=("a", "b", "c")).names == ("a", "b", "c")
