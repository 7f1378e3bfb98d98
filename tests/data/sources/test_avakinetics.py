"""AVA-Kinetics: clips of Kinetics beside movies of AVA, each with its own start."""

import pickle

import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.sources import avakinetics
from jaxvid.errors import UserError

MOVIE, LOW = "1j20qq1JyX4", "a_12_345678"  # an ID can look like a clip
ROWS = f"""\
{MOVIE},0902,0.1,0.2,0.5,0.9,12,0
-_a_b1c2d3E_000010_000020,0015,0.3,0.2,0.5,0.9,80,-1
-_a_b1c2d3E_000010_000020,0015,0.3,0.2,0.5,0.9,12,-1
{LOW},0950,0.1,0.2,0.4,0.9,1,3
"""
FOUND = {
    f"{MOVIE},0902": [[0.1, 0.2, 0.5, 0.9, 0.95]],
    "-_a_b1c2d3E,0015": [[0.3, 0.2, 0.5, 0.9, 0.99], [0, 0, 0.2, 0.2, 0.5]],
    f"{LOW},0950": [[0, 0, 1, 1, 0.97]],
}


def read(root, rows=ROWS, **options):
    (root / "true.csv").write_text(rows)
    found = {key: np.array(boxes) for key, boxes in FOUND.items()}
    (root / "found.pkl").write_bytes(pickle.dumps(found))
    options = dict(proposals="found.pkl", start=900.0, first_class=1) | options
    return avakinetics.build(
        "val", root=str(root), file="true.csv", num_classes=80, suffix=".mp4", **options
    )


def test_each_video_has_its_own_start(tmp_path):
    source = read(tmp_path)
    assert [source[i]["time"] for i in range(3)] == [2, 5, 50]
    assert source.id(1) == "-_a_b1c2d3E_000010_000020,0015"
    assert source[1]["path"].endswith("/-_a_b1c2d3E_000010_000020.mp4")
    assert np.flatnonzero(source[1]["box_label"]).tolist() == [11, 79]


def test_proposals_are_called_by_the_original_video(tmp_path):
    source = read(tmp_path)
    np.testing.assert_allclose(source[1]["proposals"], [[0.3, 0.2, 0.5, 0.9]])
    assert [len(source[i]["proposals"]) for i in range(3)] == [1, 1, 1]
    assert [path.name for path in source.made_from] == ["true.csv", "found.pkl"]
    assert len(read(tmp_path, proposals="true")[1]["proposals"]) == 1


@pytest.mark.parametrize(
    "line,message",
    [
        ("x_000010_000020,0021,0,0,1,1,2,-1", r":5: .*is outside of its video.* from 10 to 20"),
        ("x_000010_000020,9,0,0,1,1,2,-1", r":5: .*is outside of its video.* from 10 to 20"),
        (f"{MOVIE},0899,0,0,1,1,2,-1", r":5: .*from 900 on \(option start"),
        (f"{MOVIE},0903,0,0,1.2,1,2,-1", r":5: box 0 0 1.2 1 is outside 0..1"),
    ],
)
def test_a_key_frame_outside_of_its_clip_is_named(tmp_path, line, message):
    with pytest.raises(UserError, match=r"true\.csv" + message):
        read(tmp_path, ROWS + line + "\n")


def test_it_has_the_options_of_ava():
    spec = plug.spec("data.sources", "avakinetics", file="a.csv")
    assert spec["start"] == 0.0
    assert spec["file"] == "a.csv"
