"""`tools.convert_annotations`: round trips through every format, real layouts, and bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data.annotations.formats.items import Annotations, Box, Known, Label, Length, Segment
from jaxvid.data.sources import activitynet, ava
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError
from jaxvid.tools import convert_annotations as convert

NAMES = ("run", "jump & <turn>", "wave")
FPS, FRAMES, SIZE = 4, 8, (16, 32)  # height and width


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a.mp4", "b c.mp4"):
        write_video(folder / name, np.zeros((FRAMES, *SIZE, 3), np.uint8), FPS)
    return folder


LENGTHS = {name: Length(2.0, 8, 8) for name in ("a.mp4", "b c.mp4")}
LABELS = [Label("a.mp4", ("run",)), Label("b c.mp4", ("wave", "jump & <turn>"))]
SEGMENTS = [
    Segment("a.mp4", 0.25, 1.5, "run"),
    Segment("a.mp4", 1.0, 2.0, "jump & <turn>"),
    Segment("b c.mp4", 0.0, 0.5, "wave"),
]
BOXES = [
    Box("a.mp4", 0.25, (0.25, 0.5, 0.5, 1.0), "run", 0),
    Box("a.mp4", 0.5, (0.25, 0.5, 0.75, 1.0), "run", 0),
    Box("b c.mp4", 1.75, (0.0, 0.0, 1.0, 0.125), "jump & <turn>", 0),
]
ALL = Annotations(LABELS, SEGMENTS, BOXES, LENGTHS)


@pytest.mark.parametrize("name", convert.FORMATS)
def test_what_is_written_reads_back(name, videos, tmp_path):
    form, known = convert.FORMATS[name], Known(NAMES, videos)
    out = tmp_path / ("folder" if form.single else "out.txt" if "list" in name else "out.csv")
    convert.write(ALL, out, name, known)
    found = convert.read(out, name, known)
    for kind in convert.KINDS:
        expected = getattr(ALL, kind) if kind in form.kinds else []
        if kind == "boxes" and name.startswith("via"):  # which has no persons
            expected = [Box(b.video, b.time, b.corners, b.label) for b in expected]
        assert getattr(found, kind) == expected
    if "segments" in form.kinds and found.lengths:
        assert {k: v.seconds for k, v in found.lengths.items()} == dict.fromkeys(LENGTHS, 2.0)


def test_a_chain_of_formats_keeps_everything(videos, tmp_path):
    """ELAN to VIA to ActivityNet to csv."""
    convert.write(ALL, tmp_path / "elan", "elan", Known())
    steps = ["elan", "via_json", "activitynet", "mmaction_segments", "via_csv", "segments_csv"]
    ends = ["", ".json", ".json", ".json", ".csv", ".csv"]
    paths = [tmp_path / f"{name}{end}" for name, end in zip(steps, ends, strict=True)]
    for i in range(1, len(steps)):
        found = convert.run(paths[i - 1], paths[i], steps[i - 1], steps[i], videos=videos)
    assert found.segments == SEGMENTS
    assert paths[-1].read_text().splitlines()[:2] == ["video,start,end,label", "a.mp4,0.25,1.5,run"]
    frames = json.loads(paths[3].read_text())["a.mp4"]
    assert (frames["duration_frame"], frames["feature_frame"]) == (8, 8)


def test_a_run_reads_what_was_converted(videos, tmp_path):
    known = Known(NAMES, videos)
    convert.write(ALL, tmp_path / "train.json", "segments", known)
    source = activitynet.build("train", root=str(tmp_path), file="train.json", features="")
    assert source.names == tuple(sorted(NAMES)) and len(source) == 2
    convert.write(ALL, tmp_path / "train.csv", "ava", known)
    boxes = ava.build(
        "train", root=str(tmp_path), file="train.csv", num_classes=3, proposals="true"
    )
    assert [boxes.id(i) for i in range(3)] == ["a.mp4,0.25", "a.mp4,0.5", "b c.mp4,1.75"]
    assert boxes.labels.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>x</name><size>8</size>
<original_size><width>64</width><height>32</height></original_size>
<source>a.mp4</source></task></meta>
<track id="0" label="person" source="manual">
 <box frame="1" outside="0" xtl="16.0" ytl="16" xbr="32" ybr="32" z_order="0">
  <attribute name="action">run</attribute>
 </box>
 <box frame="2" outside="1" xtl="16.0" ytl="16" xbr="32" ybr="32" z_order="0"/>
</track>
</annotations>
"""
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="x" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/videos/b%20c.mp4" MIME_TYPE="video/mp4"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="250"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/></TIME_ORDER>
<TIER TIER_ID="actions"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>wave</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="notes" PARENT_REF="actions"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>x</ANNOTATION_VALUE>
</REF_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>
"""
VIA = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# ATTRIBUTE = {"1":{"aname":"Comment","options":{}},"3":{"aname":"Kind","options":{"0":"wave"}}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_uK3kFCxs","[""a.mp4""]",0,"[0.5,1.5]","[]","{""1"":""run"",""3"":""0""}"
"1_x","[""a.mp4""]",0,"[]","[]","{""2"":""a whole file""}"
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_files_as_the_tools_export_them(videos, tmp_path):
    known = Known(NAMES, videos)
    cvat = convert.read(written(tmp_path / "a.xml", CVAT), "cvat", known)
    assert [box.label for box in cvat.boxes] == ["person"]
    named = Known(NAMES, videos, attribute="action")
    assert convert.read(tmp_path / "a.xml", "cvat", named).boxes == [
        Box("a.mp4", 0.25, (0.25, 0.5, 0.5, 1.0), "run", 0)
    ]
    elan = convert.read(written(tmp_path / "a.eaf", ELAN), "elan", known)
    assert elan.segments == [Segment("b c.mp4", 0.25, 1.5, "wave")]
    via = convert.read(written(tmp_path / "a.csv", VIA), "via_csv", known)
    assert via.segments == [Segment("a.mp4", 0.5, 1.5, "run")]
    named = Known(attribute="Kind")
    assert convert.read(tmp_path / "a.csv", "via_csv", named).segments[0].label == "wave"
    slots = ELAN.replace(
        '<TIME_SLOT TIME_SLOT_ID="ts2"',
        '<TIME_SLOT TIME_SLOT_ID="x"/>\n<TIME_SLOT TIME_SLOT_ID="ts2"',
    )
    slots = slots.replace('REF1="ts1"', 'REF1="x"')  # a time in the middle of its neighbors
    slots = convert.read(written(tmp_path / "b.eaf", slots), "elan", known)
    assert slots.segments == [Segment("b c.mp4", 0.875, 1.5, "wave")]
    assert [found.ignored for found in (cvat, elan, via)] == [1, 1, 1]
    options = {"1": {"aname": "action", "type": 4, "options": {"0": "run", "1": "wave"}}}
    project = {"project": {}, "attribute": options, "view": {"1": {"fid_list": [7]}}}
    project |= {"file": {"7": {"fid": 7, "fname": "a.mp4"}}}
    entry = {"vid": "1", "flg": 0, "z": [0.5], "xy": [2, 8, 8, 8, 8], "av": {"1": "1"}}
    text = json.dumps(project | {"metadata": {"1_x": entry}})
    found = convert.read(written(tmp_path / "a.json", text), "via_json", known)
    assert found.boxes == [Box("a.mp4", 0.5, (0.25, 0.5, 0.5, 1.0), "wave")]


BAD = [
    ("csv", "a.mp4,\n", "out.csv:1: expected a video and its class"),
    ("mmaction_list", "a.mp4 1\nb.mp4 3\n", r"out.txt:2: class 3 is outside 0\.\.2"),
    ("segments_csv", "a,1,2,x\na,2,1,x\n", "out.csv:2: it ends at 1 s and starts at 2 s"),
    ("segments_csv", "a,1,1,x\n", "out.csv:1: it ends at 1 s and starts at 1 s"),
    ("segments_csv", "a,-1,1,x\n", "out.csv:1: -1 to 1 s is outside the video"),
    ("segments_csv", "a,x,1,x\n", 'out.csv:1: start is "x"; expected a number'),
    ("segments_csv", "a,1,2\n", 'out.csv:1: expected "video,start,end,label"'),
    (
        "segments",
        '{"a": {"duration": 1, "annotations": [{"segment": [0, 2], "label": "x"}]}}',
        'video "a", segment 0: 0 to 2 s is outside the video, 0 to 1 s',
    ),
    ("segments", '{"a": {"annotations": []}}', 'video "a": no "duration" in it'),
    ("segments", '{"a": [', "out.csv:1: this is not json"),
    ("boxes", "a,1,0.1,0.2,0.3,1.4,x,0\n", "out.csv:1: box 0.1 0.2 0.3 1.4 is outside the frame"),
    ("boxes", "a,1,0.3,0.2,0.1,0.4,x,0\n", "out.csv:1: box .* has swapped corners"),
    ("boxes", "a,1,0.1,0.2,0.3,0.4,x,y\n", 'out.csv:1: person is "y"'),
    ("ava", "a,1,0.1,0.2,0.3,0.4,4,0\n", r"out.csv:1: class 4 is outside 1\.\.3"),
    (
        "cvat",
        CVAT.replace('frame="1"', 'frame="8"'),
        r"out.csv:6: frame 8 is outside the video, 0\.\.7",
    ),
    ("cvat", CVAT.replace('xtl="16.0"', 'xtl="no"', 1), 'out.csv:6: xtl="no"; expected a number'),
    ("cvat", CVAT.replace("a.mp4", "gone.mp4"), 'out.csv:4: there is no video "gone.mp4" in'),
    ("cvat", "<annotations><track>", "out.csv:1: this is not XML"),
    ("cvat", "<x/>", "out.csv:1: there is no <annotations>"),
    ("elan", ELAN.replace('REF2="ts2"', 'REF2="ts9"'), 'out.csv:8: there is no time slot "ts9"'),
    ("elan", ELAN.replace('TIME_VALUE="1500"', ""), 'out.csv:6: <TIME_SLOT> has no "TIME_VALUE"'),
    ("elan", ELAN.replace('"1500"', '"250"'), "out.csv:8: it ends at 0.25 s and starts at 0.25 s"),
    ("elan", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "out.csv:1: entities are not supported"),
    ("via_csv", VIA.replace("[0.5,1.5]", "[0.5,"), "out.csv:4: a cell is not json"),
    ("via_csv", VIA.replace("run", ""), "out.csv:4: the name of the class is missing"),
    ("via_json", '{"file": {}}', 'out.csv: no "view" in it'),
]


@pytest.mark.parametrize("name,text,message", BAD)
def test_bad_input_is_one_line_with_file_and_line(name, text, message, videos, tmp_path):
    path = written(tmp_path / ("out.txt" if name == "mmaction_list" else "out.csv"), text)
    with pytest.raises(UserError, match=message) as error:
        convert.read(path, name, Known(NAMES, videos))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_is_missing_has_its_fix(videos, tmp_path, capsys):
    convert.write(ALL, tmp_path / "s.csv", "segments_csv", Known())
    source = str(tmp_path / "s.csv"), str(tmp_path / "out.json")
    assert convert.main([*source, "--from", "segments_csv", "--to", "segments"]) == 1
    assert 'video "a.mp4": this needs the length of the videos: give --videos FOLDER' in (
        capsys.readouterr().err
    )
    assert convert.main([*source, "--from", "segments_csv", "--to", "ava"]) == 1
    assert "there are no boxes in it, which ava needs" in capsys.readouterr().err
    options = ["--from", "via_csv", "--to", "segments_csv", "--videos", str(videos)]
    convert.write(ALL, tmp_path / "v.csv", "via_csv", Known(NAMES, videos))
    assert convert.main([str(tmp_path / "v.csv"), str(tmp_path / "o.csv"), *options]) == 0
    shown = capsys.readouterr()
    assert "3 boxes are left out, because segments_csv has none" in shown.err
    assert "3 segments of 2 videos" in shown.out
    convert.write(ALL, tmp_path / "b.csv", "boxes", Known())
    with pytest.raises(UserError, match='numbers of classes: give --names with "run" in it'):
        convert.run(tmp_path / "b.csv", tmp_path / "x.csv", "boxes", "ava")
    with pytest.raises(UserError, match=r"b\.csv: this is the input"):
        convert.run(tmp_path / "b.csv", tmp_path / "b.csv", "boxes", "ava")
    with pytest.raises(UserError, match=r"nowhere: no such file"):
        convert.run(tmp_path / "nowhere", tmp_path / "x.csv", "boxes", "ava")
