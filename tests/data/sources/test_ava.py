"""AVA's csv and the proposals: what is read, and what is said of what cannot be."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data import dataset
from jaxvid.data.annotations import boxes
from jaxvid.data.annotations.key_frames import Key, find_files
from jaxvid.data.sources import ava
from jaxvid.errors import UserError
from tests.conftest import logs

ROWS = """\
clip_a,0902,0.100,0.200,0.500,0.900,12,0
clip_a,0902,0.100,0.200,0.500,0.900,80,0
clip_a,0902,0.600,0.100,0.800,0.900,12,1
clip_b,0903,0.000,0.000,1.000,1.000,1,0
clip_a,0904,0.110,0.210,0.510,0.910,12,0
clip_b,0904
"""
FOUND = {
    "clip_a,0902": [[0.1, 0.2, 0.5, 0.9, 0.95], [0.6, 0.1, 0.8, 0.9, 0.91], [0, 0, 0.3, 0.3, 0.5]],
    "clip_b,0903": [[0, 0, 1, 1, 0.4], [0.2, 0.2, 0.9, 0.9, 0.6]],
    "clip_a,0904": [[0.1, 0.2, 0.5, 0.9]],
}


@pytest.fixture
def files(tmp_path):
    """Writes what is given and returns the folder."""
    found = {key: np.array(rows) for key, rows in FOUND.items()}
    (tmp_path / "found.pkl").write_bytes(pickle.dumps(found))

    def write(rows=ROWS, **more):
        (tmp_path / "true.csv").write_text(rows)
        for name, content in more.items():
            (tmp_path / name.replace("__", ".")).write_text(content)
        return tmp_path

    return write


def read(root, split="val", **options):
    options = dict(file="true.csv", proposals="found.pkl", num_classes=80) | options
    return ava.build(split, root=str(root), **options)


def test_a_sample_is_a_key_frame(files):
    source = read(files(), start=900.0)
    assert [source.id(i) for i in range(len(source))] == [
        "clip_a,0902",
        "clip_b,0903",
        "clip_a,0904",
    ]
    assert [source.where(i).rpartition(":")[2] for i in range(3)] == ["1", "4", "5"]
    sample = source[0]
    np.testing.assert_allclose(sample["boxes"], [[0.1, 0.2, 0.5, 0.9], [0.6, 0.1, 0.8, 0.9]])
    assert [np.flatnonzero(row).tolist() for row in sample["box_label"]] == [[11, 79], [11]]
    assert (sample["time"], sample["clip"]) == (2, 0)
    assert sample["path"].endswith("clip_a")
    assert (source[1]["time"], source[1]["clip"]) == (3, 1)
    assert source.labels.shape == (3, 80)
    assert [np.flatnonzero(row).tolist() for row in source.labels] == [[11, 79], [0], [11]]
    assert "fps" not in sample and "template" not in sample
    assert {key: sample[key].dtype for key in ("boxes", "box_label", "proposals")} == {
        "boxes": np.float32,
        "box_label": np.uint8,
        "proposals": np.float32,
    }


def test_proposals_are_the_certain_ones_and_at_least_the_best(files):
    source = read(files())
    np.testing.assert_allclose(source[0]["proposals"], np.array(FOUND["clip_a,0902"])[:2, :4])
    np.testing.assert_allclose(source[1]["proposals"], [[0.2, 0.2, 0.9, 0.9]])
    np.testing.assert_allclose(source[2]["proposals"], FOUND["clip_a,0904"])
    assert len(read(files(), least=0.3)[0]["proposals"]) == 3


def test_folders_of_frames(files):
    source = read(files(), template="img_{:05}.jpg", prefix="frames", fps=30.0)
    assert source[0]["path"] == str(files() / "frames" / "clip_a")
    assert (source[0]["template"], source[0]["fps"]) == ("img_{:05}.jpg", 30.0)


def test_endings_are_looked_for(tmp_path):
    for name in ("a.mkv", "a.wav", "b.mp4", "b.mp4.part", "b.txt.webm", "sub/c.avi", "sub/c.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files(tmp_path, ["a", "b.mp4", "sub/c", "b.txt", "gone", "no/folder"])
    names = [str(Path(f).relative_to(tmp_path)) for f in found]
    assert names == ["a.mkv", "b.mp4", "sub/c.avi", "b.txt.webm", "gone", "no/folder"]
    assert find_files(tmp_path, ["a"], ".mp4") == (str(tmp_path / "a.mp4"),)


def test_excluded_times_are_no_samples_but_are_counted(files):
    source = read(files(exclude__csv="clip_a,902\nelsewhere,0001\n"), exclude="exclude.csv")
    assert [source.id(i) for i in range(len(source))] == ["clip_b,0903", "clip_a,0904"]
    counted = [source[i]["excluded"] for i in range(2)]
    assert {i: int(n) for i, n in enumerate(counted[0]) if n} == {11: 2, 79: 1}
    assert not counted[1].any()


def test_without_proposals(files):
    assert read(files(), "train", proposals="")[0]["proposals"].shape == (0, 4)
    source = read(files(), proposals="true")
    np.testing.assert_array_equal(source[0]["proposals"], source[0]["boxes"])
    with pytest.raises(UserError, match=r"config\.data\.val\.proposals is missing.*\"true\""):
        read(files(), proposals="")


# Classes


def test_classes_can_count_from_0(files):
    rows = ROWS.replace(",80,0\n", ",0,0\n")
    assert read(files(rows), first_class=0)[0]["box_label"][0, [0, 12]].tolist() == [1, 1]
    with pytest.raises(UserError, match=r"true\.csv:2: class 0 is outside 1\.\.80"):
        read(files(rows))


def test_classes_can_be_names(files):
    rows = ROWS.replace(",12,", ",sit,").replace(",80,", ",watch,").replace(",1,0\n", ",jump,0\n")
    source = read(files(rows), num_classes=None)
    assert source.names == ("jump", "sit", "watch")
    assert [np.flatnonzero(row).tolist() for row in source.labels] == [[1, 2], [0], [1]]
    with pytest.raises(UserError, match=r'true\.csv:2: no such class: "watch".*"catch"'):
        read(files(rows), names=("sit", "jump", "catch"), num_classes=None)


PBTXT = """\
item {\n  name: "sit"\n  id: 12\n}
item {\n  name: "watch (a person)"\n  label_id: 80\n}
item {\n  name: "jump"\n  id: 1\n}
"""


@pytest.mark.parametrize(
    "content", [PBTXT, "12: sit\n80: watch (a person)\n\n1: jump\n"], ids=["pbtxt", "numbered"]
)
def test_a_file_can_say_what_numbers_mean(files, content):
    root = files(meaning__txt=content)
    source = read(root, meaning="meaning.txt", num_classes=None)
    assert source.names == ("jump", "sit", "watch (a person)")
    assert [np.flatnonzero(row).tolist() for row in source.labels] == [[1, 2], [0], [1]]
    # A set of classes of one's own: other lines are left out, and key frames without any.
    source = read(root, meaning="meaning.txt", names=("watch (a person)", "sit"), num_classes=2)
    assert [source.id(i) for i in range(len(source))] == ["clip_a,0902", "clip_a,0904"]
    assert source[0]["box_label"].tolist() == [[1, 1], [0, 1]]
    assert source[1]["box_label"].tolist() == [[0, 1]]


def test_names_line_by_line_count_from_the_first_class(files):
    root = files(ROWS.replace(",12,", ",2,").replace(",80,", ",3,"), meaning__txt="a\nb\nc\n")
    assert read(root, meaning="meaning.txt", num_classes=None)[0]["box_label"].tolist() == [
        [0, 1, 1],
        [0, 1, 0],
    ]


@pytest.mark.parametrize(
    "content,names,message",
    [
        ("12: sit\n1: jump\n", (), r'true\.csv:2: class "80" is not in .*meaning\.txt'),
        (PBTXT, ("sitt",), r'meaning\.txt: no class "sitt" .*Did you mean "sit"'),
        (PBTXT.replace("jump", "sit"), (), r'meaning\.txt: "sit" is the name of 2 classes'),
        (PBTXT.replace("id: 12", "id: 80"), (), r"meaning\.txt: 80 is the number of 2 classes"),
        (PBTXT.replace("  id: 12\n", ""), (), r'an item needs id and name; found \{name: "sit"\}'),
        (" \n", (), r"meaning\.txt: there is no class in it"),
    ],
)
def test_what_is_wrong_with_classes_is_said(files, content, names, message):
    with pytest.raises(UserError, match=message):
        read(files(meaning__txt=content), meaning="meaning.txt", names=names, num_classes=None)


def test_classes_without_names_are_called_by_their_numbers_in_the_file(files):
    source = read(files())
    assert (source.names[0], source.names[-1]) == ("1", "80")
    assert read(files(ROWS.replace(",80,0\n", ",0,0\n")), first_class=0).names[0] == "0"
    again = read(files(), names=source.names, num_classes=None)  # as the other split gets them
    np.testing.assert_array_equal(again.labels, source.labels)


def test_numbers_need_a_number_of_classes(files):
    with pytest.raises(UserError, match=r"true\.csv: classes are numbers here; set config\.data"):
        read(files(), num_classes=None)
    with pytest.raises(UserError, match=r"/none: no such file of class names"):
        read(files(), meaning="none")


# Lines that cannot be used


@pytest.mark.parametrize(
    "line,message",
    [
        ("clip_a,0902,0.1,0.2,1.5,0.9,12,0", r"box 0\.1 0\.2 1\.5 0\.9 is outside 0\.\.1: corners"),
        ("clip_a,0902,64,48,320,240,12,0", r"box 64 48 320 240 is outside.*look like pixels"),
        ("clip_a,0902,-0.1,0.2,0.5,0.9,12,0", r"box -0\.1 0\.2 0\.5 0\.9 is outside"),
        ("clip_a,0902,nan,0.2,0.5,0.9,12,0", r'x1 is "nan"; expected a number'),
        ("clip_a,0902,0.5,0.2,0.1,0.9,12,0", r"box 0\.5 0\.2 0\.1 0\.9 has swapped corners"),
        ("clip_a,0902,0.1,0.9,0.5,0.2,12,0", r"box 0\.1 0\.9 0\.5 0\.2 has swapped corners"),
        ("clip_a,0902,0.1,0.2,0.5,0.9,81,0", r"class 81 is outside 1\.\.80"),
        ("clip_a,0902,0.1,0.2,0.5,0.9,-1,0", r"class -1 is outside 1\.\.80"),
        ("clip_a,0902,0.1,0.2,0.5,12", r'expected "video,time,x1,y1,x2,y2,class,person", found'),
        ("clip_a,0902,0.1,left,0.5,0.9,12,0", r'y1 is "left"; expected a number'),
        ("clip_a,,0.1,0.2,0.5,0.9,12,0", r'time is ""; expected a number'),
        ("clip_a,inf,0.1,0.2,0.5,0.9,12,0", r'time is "inf"; expected a number'),
        ("clip_a,0902,0.1,0.2,1e999,0.9,12,0", r'x2 is "1e999"; expected a number'),
        (",0902,0.1,0.2,0.5,0.9,12,0", r'expected "video,time'),
        ("clip_a,0902,0.1,0.2,0.5,0.9,,0", r'expected "video,time'),
        ("clip_a,0902,0.1,0.2,0.5,0.9,nan,0", r'class is "nan"; expected a whole number on every'),
        ("clip_a,0902,0.1,0.2,0.5,0.9,1.5,0", r'class is "1\.5"; expected a whole number'),
        ("clip_a,0899,0.1,0.2,0.5,0.9,12,0", r"time 899 is before the start of the videos, 900"),
        ("clip_a,soon,0.1,0.2,0.5,0.9,12,0", r'time is "soon"; expected a number'),
    ],
)
def test_a_bad_line_is_named(files, line, message):
    with pytest.raises(UserError, match=r"true\.csv:7: " + message):
        read(files(ROWS + line + "\n"), start=900.0)


def test_a_line_that_is_there_twice_counts_once(files):
    rows = ROWS + "clip_a,0902,0.1,0.2,0.5,0.9,12,7\n" + "clip_a,0904,0.11,0.21,0.51,0.91,12,0\n"
    with logs(r"csv:7: clip_a,0902 has this box .*; 2 lines like it"):
        source = read(files(rows))
    for i in range(3):
        np.testing.assert_array_equal(source[i]["box_label"], read(files())[i]["box_label"])


def test_rounding_may_reach_beyond_the_picture(files):
    assert len(read(files(ROWS + "clip_a,0904,0.5,0.2,1.004,0.9,12,0\n"))) == 3


def test_a_header_is_left_out(files):
    assert len(read(files("video_id,timestamp,x1,y1,x2,y2,action,person\n" + ROWS))) == 3


@pytest.mark.parametrize(
    "rows,message",
    [
        ("clip_a,0902\n", "there is no box in it"),
        ("clip_a,0902,,,,,,\n", "there is no box in it"),
        ("", "there is no box in it"),
    ],
)
def test_a_csv_without_boxes(files, rows, message):
    with pytest.raises(UserError, match=message):
        read(files(rows))


def test_bad_exclusions_are_named(files):
    with pytest.raises(UserError, match=r"none\.csv: no such .* config\.data\.val\.exclude$"):
        read(files(), exclude="none.csv")
    with pytest.raises(UserError, match=r'ex\.csv:2: expected "video,time", found "clip_a"'):
        read(files(ex__csv="clip_a,0902\nclip_a\n"), exclude="ex.csv")
    with pytest.raises(UserError, match=r'ex\.csv:2: time is "nan"; expected a number'):
        read(files(ex__csv="clip_a,0902\nclip_b,nan\n"), exclude="ex.csv")
    with pytest.raises(UserError, match="no key frame of val has a box"):
        read(files(ex__csv="clip_a,0902\nclip_b,903\nclip_a,904\n"), exclude="ex.csv")


# Proposals


def test_three_kinds_of_files_say_the_same(tmp_path):
    plain = {key: np.array(rows).tolist() for key, rows in FOUND.items()}
    (tmp_path / "a.json").write_text(json.dumps(plain))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({k: np.array(v) for k, v in FOUND.items()}))
    lines = [
        ",".join([key, *map(str, [*row, 1][:5])]) for key, rows in FOUND.items() for row in rows
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    for name in ("a.json", "a.pkl", "a.csv"):
        found = boxes.read(tmp_path / name)
        assert list(found) == [Key("clip_a", 902), Key("clip_b", 903), Key("clip_a", 904)]
        for key, rows in FOUND.items():
            video, time = key.split(",")
            ours = found[Key(video, float(time))]
            assert ours.shape == (len(rows), 5)
            np.testing.assert_array_equal(ours[:, :4], np.array(rows)[:, :4])
        assert found[Key("clip_a", 904)][0, 4] == 1


@pytest.mark.parametrize(
    "found,message",
    [
        ({"a,1": [[0, 0, 2.5, 1]], "b,1": [[0, 0, 1, 1]]}, r'"a,1": box 0 0 2\.5 1 is outside'),
        ({"b,1": [[0, 0, 1, 1]], "a,1": [[0.5, 0, 0.2, 1]]}, r'"a,1": box 0\.5 0 .*swapped'),
        ({"a": [[0, 0, 1, 1]]}, r'"a" is not a key frame; expected VIDEO,TIME'),
        ({"a,01": [[0, 0, 1, 1]], "a,1": [[0, 0, 1, 1]]}, r'"a,0001" appears twice; join its'),
        ({"a,1": [[0, 0, 1]]}, r'"a,1" has shape \(1, 3\); expected \(boxes, 4 or 5\)'),
        ({"a,1": [0, 0, 1, 1, 0.9]}, r'"a,1" has shape \(5,\); expected'),
        ({"a,1": [[0, 0, 1, 1, 0.9], [0, 0, 1]]}, r'"a,1" has rows of different lengths'),
        ({"a,1": [["0", "0", "1", "1"]]}, r'"a,1" has <U1 instead of numbers'),
        ({"a,1": None}, r'"a,1" has object instead of numbers'),
        ({"a,1": [[0, 0, 1, float("nan")]]}, r'"a,1": box 0 0 1 nan is outside'),
        ({"a,1": [[0, 0, 1, 1, float("nan")]]}, r'"a,1": score is nan; expected a number from 0'),
        ({"a,1": [[0, 0, 1, 1, 95]]}, r'"a,1": score is 95; expected a number from 0 to 1'),
        ({"a,1": [[0, 0, 1, 1, -3]]}, r'"a,1": score is -3; expected a number from 0 to 1'),
        ({"a,nan": [[0, 0, 1, 1]]}, r'"a,nan" is not a key frame; expected VIDEO,TIME'),
        ({"902": [[0, 0, 1, 1]]}, r'"902" is not a key frame; expected VIDEO,TIME'),
        ({"a,1": [[0, 0, 1, "x"]]}, r'"a,1" has .* instead of numbers'),
        ([1], r'expected \{"VIDEO,TIME": boxes\}, found a list'),
    ],
)
def test_bad_proposals_are_named(tmp_path, found, message):
    (tmp_path / "a.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match=r"a\.json: " + message):
        boxes.read(tmp_path / "a.json")


def test_bad_files_of_proposals_are_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json:1: this is not json"):
        boxes.read(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"v,1": [[0, 0, 1, 1]], "v,1": []}')
    with pytest.raises(UserError, match=r'a\.json: "v,1" appears twice'):
        boxes.read(tmp_path / "a.json")
    (tmp_path / "a.csv").write_text("v,1,0,0,1,1,0.9\n\nv,2,0,0,1,7,0.9\n")
    with pytest.raises(UserError, match=r"a\.csv:3: box 0 0 1 7 is outside"):
        boxes.read(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("v,1,0,0,1,1,0.9\nv,2,0,0,1,1,\n")
    with pytest.raises(UserError, match=r'a\.csv:2: expected "video,time,x1,y1,x2,y2,score"'):
        boxes.read(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("v,1,0,0,1,1,nan\n")
    with pytest.raises(UserError, match=r'a\.csv:1: score is "nan"; expected a number'):
        boxes.read(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"none\.pkl: no such file of proposals"):
        boxes.read(tmp_path / "none.pkl")


def test_boxes_without_area_and_of_unknown_videos_are_counted(files, tmp_path):
    (tmp_path / "a.csv").write_text("v,1,0,0,1,1,0.9\nv,2,0.5,0,0.5,1,0.9\nv,2,0,1,1,1,0.9\n")
    with logs(r"a\.csv:2: this box has no area, as 2 of 3 boxes there"):
        boxes.read(tmp_path / "a.csv")
    root, box = files(), np.array([[0, 0, 0.5, 1]])
    found = {"clip_b,0903": box, "clip_x,0903": box, "clip_x,0904": box, "clip_y,0903": box}
    (root / "found.pkl").write_bytes(pickle.dumps(found))
    with logs(r'proposals for 2 videos that are not annotated, such as "clip_x"; they are not'):
        read(root)


def test_key_frames_without_proposals_are_counted(files):
    root = files()
    (root / "found.pkl").write_bytes(pickle.dumps({"clip_b,0903": np.array([[0, 0, 0.5, 1]])}))
    with logs(r'no proposals for 2 of 3 key frames, such as "clip_a,0902"'):
        source = read(root)
    assert source[0]["proposals"].tolist() == [[0, 0, 1, 1]]
    assert source[1]["proposals"].tolist() == [[0, 0, 0.5, 1]]
    (root / "found.pkl").write_bytes(pickle.dumps({"clip_b.mp4,0903": np.array([[0, 0, 0.5, 1]])}))
    with pytest.raises(
        UserError, match=r'no key frame has proposals, such as "clip_a,0902"; it has "clip_b\.mp4'
    ):
        read(root)


def test_no_proposal_is_none(files):
    root = files()
    found = {key: np.array(rows) for key, rows in FOUND.items()} | {"clip_b,0903": np.zeros((0, 5))}
    (root / "found.pkl").write_bytes(pickle.dumps(found))
    with logs(r'without a box for 1 of 3 key frames, such as "clip_b'):
        assert read(root)[1]["proposals"].shape == (0, 4)


def test_a_file_without_any_box_is_an_error(files):
    root = files()
    (root / "found.pkl").write_bytes(pickle.dumps({key: np.zeros((0, 5)) for key in FOUND}))
    with pytest.raises(UserError, match=r"found\.pkl: no box for any of the 3 key frames"):
        read(root)


def test_a_header_of_proposals_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("video,time,x1,y1,x2,y2,score\nv,1,0,0,1,1,0.9\n")
    assert boxes.read(path)[Key("v", 1)].tolist() == [[0, 0, 1, 1, 0.9]]
    path.write_text("video,x1,y1,x2,y2,time,score\nv,0,0,1,1,1,0.9\n")
    with pytest.raises(UserError, match=r'a\.csv:1: "x1" is column 2; the columns are'):
        boxes.read(path)


# As part of a run


def test_the_data_of_a_run(files):
    root = files(classes__txt="a\nb\n")
    (root / "true.csv").write_text(ROWS.replace(",12,", ",1,").replace(",80,", ",2,"))
    for name in ("clip_a.mp4", "clip_b.mkv"):
        (root / name).touch()
    spec = dict(name="ava", file="true.csv", proposals="found.pkl")
    checks = ("labels", "empty", "missing", "duplicates")
    data = dataset.build(root=str(root), names="classes.txt", checks=checks, train=spec, val=spec)
    assert (data.num_classes, data.names) == (2, ("a", "b"))
    (root / "clip_b.mkv").unlink()
    with pytest.raises(UserError, match=r"true\.csv:4: no such file: .*clip_b"):
        dataset.build(root=str(root), names="classes.txt", checks=checks, train=spec, val=spec)


def test_pickled_sources_stay_what_they_are(files):
    source = read(files(), exclude="")
    again = pickle.loads(pickle.dumps(source))
    assert len(again) == len(source)
    np.testing.assert_array_equal(again[0]["boxes"], source[0]["boxes"])
    assert repr(again) == repr(source) == f"KeyFrames({source.origin}, 3)"


# Published samples


@pytest.fixture(scope="module")
def data():
    if not os.environ.get("JAXVID_DATA"):
        pytest.skip("JAXVID_DATA names no folder of published samples")
    return os.environ["JAXVID_DATA"]


def test_avas_own_sample(data):
    source = plug.load(
        "data.sources",
        dict(
            name="ava",
            file="ava_dataset/ava_sample.csv",
            proposals="ava_dataset/ava_proposals_sample.pkl",
            exclude="ava_dataset/ava_excluded_timestamps_sample.csv",
            template="img_{:05}.jpg",
            start=900.0,
            fps=30.0,
        ),
        root=data,
        split="val",
        num_classes=80,
    )
    assert [source.id(i) for i in range(len(source))] == ["0f39OWEqJ24,0902"]
    sample = source[0]
    assert np.flatnonzero(sample["box_label"][0]).tolist() == [11, 16, 78]
    np.testing.assert_allclose(sample["proposals"], [[0.011, 0.157, 0.655, 0.983]])
    assert np.flatnonzero(sample["excluded"]).tolist() == [11, 16, 73, 79]


def test_multisports_own_sample(data):
    source = ava.build(
        "val",
        root=data,
        file="multisports_dataset/multisports_sample.csv",
        proposals="multisports_dataset/multisports_proposals_sample.pkl",
        num_classes=66,
        first_class=0,
        start=1.0,
        fps=1.0,
    )
    assert len(source) == 9
    sample = source[0]
    assert (sample["time"], sample["fps"]) == (376, 1.0)
    assert np.flatnonzero(sample["box_label"][0]).tolist() == [11]
    assert len(sample["proposals"]) == 2
