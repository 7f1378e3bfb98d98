"""Untrimmed videos: the ways their json is written, and what is wrong with it."""

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data import dataset, source_checks
from jaxvid.data.annotations.feature_files import Made, write
from jaxvid.data.sources import activitynet
from jaxvid.errors import UserError
from jaxvid.provenance import describe
from tests.conftest import logs

MADE = Made("swin_tiny_k400", frames=32, stride=2, every=10, fps=10.0, channels=3)
VIDEOS = {
    "v_a": {
        "duration": 20.0,
        "annotations": [
            {"segment": [1, 4.5], "label": "surf"},
            {"segment": [6.0, 9.0], "label": "jump"},
            {"segment": [10.0, 20.0], "label": "surf"},
        ],
    },
    "v_b": {"duration": 30.0, "annotations": [{"segment": [0.0, 30.0], "label": "dive"}]},
    "v_c": {"duration": 8.0, "annotations": []},
}


def build(root, videos=VIDEOS, split="train", **options):
    text = videos if isinstance(videos, str) else json.dumps(videos)
    Path(root, "a.json").write_text(text)
    given = dict(root=str(root), file="a.json", features="f", suffix=".csv") | options
    return activitynet.build(split, **given)


def changed(video, **keys):
    return VIDEOS | {video: VIDEOS[video] | keys}


def with_segment(*segment, label="surf"):
    return changed(
        "v_b",
        annotations=[
            {"segment": [0, 5], "label": "surf"},
            {"segment": list(segment), "label": label},
        ],
    )


def test_the_least_that_a_file_has(tmp_path):
    source = build(tmp_path)
    assert (len(source), source.names) == (3, ("dive", "jump", "surf"))
    assert source.id(1) == "v_b"
    assert source.where(1) == f'{tmp_path}/a.json: video "v_b"'
    assert source.labels.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    sample = source[0]
    assert sample["path"] == f"{tmp_path}/f/v_a.csv"
    assert sample["duration"] == 20
    assert sample["segments"].tolist() == [[1, 4.5], [6, 9], [10, 20]]
    assert sample["segment_label"].tolist() == [2, 1, 2]
    # All videos have room for as many.
    assert source[1]["segments"].tolist() == [[0, 30], [0, 0], [0, 0]]
    assert source[1]["segment_label"].tolist() == [0, -1, -1]
    assert source[2]["segment_label"].tolist() == [-1, -1, -1]
    assert source.about == {}


def test_names_that_are_settled_number_the_labels(tmp_path):
    source = build(tmp_path, names=("surf", "jump", "dive", "run"))
    assert source[0]["segment_label"].tolist() == [0, 1, 0]
    assert source.labels.shape == (3, 4)


def test_mmactions_file(tmp_path):
    """Its features may end before the video."""
    told = {"duration_second": 10.0, "duration_frame": 250, "feature_frame": 240, "fps": 25.0}
    videos = {"v_a": told | {"annotations": VIDEOS["v_a"]["annotations"][:2]}}
    assert build(tmp_path, videos)[0]["duration"] == pytest.approx(9.6)


def test_mmactions_sample_file():
    folder = os.environ.get("JAXVID_DATA")
    if not folder:
        pytest.skip("JAXVID_DATA names no folder of published data")
    source = activitynet.build(
        "val",
        root=folder,
        file="annotations/action_test_anno.json",
        features="activitynet_features",
        suffix=".csv",
    )
    assert source.ids == ("v_test1", "v_test2")
    assert source.names == ("Drinking beer", "Rock climbing")
    assert source.durations.tolist() == [1, 2]
    assert source[0]["segments"].tolist() == [[np.float32(0.3), np.float32(0.6)]]
    assert list(source_checks.check_missing({"val": source}, 2, source.names)) == []


def test_the_official_file(tmp_path):
    subsets = {"v_a": "training", "v_b": "validation", "v_c": "testing"}
    database = {k.removeprefix("v_"): v | {"subset": subsets[k]} for k, v in VIDEOS.items()}
    official = {"version": "1.3", "taxonomy": [], "database": database}
    train = build(tmp_path, official, prefix="v_")
    assert (train.ids, train.paths) == (("a",), (f"{tmp_path}/f/v_a.csv",))
    assert build(tmp_path, official, split="val").ids == ("b",)
    assert build(tmp_path, official, split="test").ids == ("b",)
    with pytest.raises(UserError, match='no video of the subset "training"'):
        build(tmp_path, {"database": {"b": database["b"]}})


@pytest.mark.parametrize(
    "videos,message",
    [
        ("{", "a.json:1: this is not json"),
        ("[1, 2]", "a.json: expected"),
        ('{"v_a": 3}', "a.json: expected"),
        ('{"v_a": {"duration": 1}, "v_b": {"duration": 1}, "v_a": {}}', '"v_a" appears twice'),
        (changed("v_b", duration=0), 'video "v_b": "duration" is 0; expected seconds above 0'),
        (changed("v_b", duration="long"), 'video "v_b": "duration" is .long.; expected seconds'),
        (changed("v_b", duration=float("nan")), 'video "v_b": "duration" is nan'),
        (changed("v_b", duration_second=None), 'video "v_b": "duration_second" is None'),
        (VIDEOS | {"v_d": {"annotations": []}}, 'video "v_d": no "duration" in it'),
        (changed("v_b", feature_frame=8), 'video "v_b": no "duration_frame" in it'),
        (changed("v_b", feature_frame="8", duration_frame=9), '"feature_frame" is .8.; expected'),
        (
            changed("v_b", feature_frame=90, duration_frame=9),
            '"feature_frame" is 90; expected a number up to duration_frame, 9',
        ),
        (changed("v_b", subset="validation"), 'video "v_a": no "subset" in it'),
        (changed("v_b", annotations=[3]), "segment 0: expected a dict, found a int"),
        (with_segment(1, float("nan")), 'segment 1: "segment" is .1, nan.; expected .start, end.'),
        (with_segment(1, 2, label=" "), 'segment 1: "label" is . .; expected the name of a class'),
        (changed("v_b", duration_frame=0), 'video "v_b": "duration_frame" is 0; expected'),
        (changed("v_b", annotations=None), 'video "v_b": "annotations" is None; expected a list'),
        (with_segment(1), 'video "v_b", segment 1: "segment" is .1.; expected .start, end.'),
        (with_segment(1, "2"), 'video "v_b", segment 1: "segment" is .1, .2..; expected'),
        (with_segment(3, 3), 'video "v_b", segment 1: it ends at 3 s, before it starts'),
        (with_segment(9, 3), 'video "v_b", segment 1: it ends at 3 s, before it starts'),
        (with_segment(-1, 3), 'video "v_b", segment 1: -1 to 3 s is outside the video, 0 to 30 s'),
        (with_segment(29, 31), "segment 1: 29 to 31 s is outside the video, 0 to 30 s"),
        (with_segment(1, 2, label=3), 'video "v_b", segment 1: "label" is 3; expected the name'),
    ],
)
def test_mistakes_are_named_by_file_video_and_segment(tmp_path, videos, message):
    with pytest.raises(UserError, match=message) as error:
        build(tmp_path, videos)
    assert f"{tmp_path}/a.json" in str(error.value)


def test_a_class_that_is_not_known_is_named(tmp_path):
    with pytest.raises(UserError, match=r'segment 1: no such class: "jump"\. Did you mean "jumps"'):
        build(tmp_path, names=("surf", "jumps", "dive"))


def test_all_problems_are_listed_but_not_more_than_ten(tmp_path):
    videos = {f"v_{i}": {"duration": -1, "annotations": []} for i in range(13)}
    with pytest.raises(UserError) as error:
        build(tmp_path, videos)
    assert str(error.value).count('"duration" is -1') == 10
    assert "... and 3 more" in str(error.value)


def test_durations_are_often_rounded(tmp_path):
    assert build(tmp_path, with_segment(-0.05, 30.05))[1]["segments"][1].tolist() == [
        pytest.approx(-0.05),
        pytest.approx(30.05),
    ]


def test_segments_outside_can_be_kept(tmp_path):
    """Those of no length cannot."""
    videos = with_segment(-1, 40)
    videos["v_c"] = {"duration": 8, "annotations": [{"segment": [3, 3], "label": "surf"}]}
    left_out = r'1 segments have no length and are left out, such as 3 to 3 s "surf", segment 0 of'
    with logs(left_out), logs('1 segments end after their video, such as -1 to 40 s "surf", seg'):
        source = build(tmp_path, videos, outside="kept")
    assert source[1]["segments"].tolist() == [[0, 5], [-1, 40], [0, 0]]
    assert source[2]["segment_label"].tolist() == [-1, -1, -1]
    with pytest.raises(UserError, match="outside is error or kept"):
        build(tmp_path, outside="drop")


def test_a_file_without_segments_is_an_error(tmp_path):
    empty = {name: {"duration": 9.0, "annotations": []} for name in "ab"}
    for names in ((), ("surf",)):
        with pytest.raises(UserError, match=r"a.json: no video of train has a segment"):
            build(tmp_path, empty, names=names)


def test_subsets_may_have_capital_letters(tmp_path):
    videos = {k: v | {"subset": "Validation"} for k, v in VIDEOS.items()}
    assert build(tmp_path, videos, split="val").ids == ("v_a", "v_b", "v_c")
    with pytest.raises(UserError, match='no video of the subset "training"'):
        build(tmp_path, videos)


def test_an_unknown_subset_is_named(tmp_path):
    videos = {k: v | {"subset": "training"} for k, v in VIDEOS.items()}
    videos["v_c"]["subset"] = "train"
    with pytest.raises(UserError, match=r'video "v_c": "subset" is .train.; expected training or'):
        build(tmp_path, videos)


def test_segments_that_are_there_twice_are_counted(tmp_path):
    with logs(r'1 segments are repeated .* such as 0 to 5 s "surf", segment 1 of video "v_b"'):
        assert build(tmp_path, with_segment(0, 5))[1]["segment_label"].tolist() == [1, 1, -1]


@pytest.mark.parametrize(
    "segment,label,counted",
    [
        ((4, 9), "surf", "segment 1"),
        ((1, 2), "surf", "segment 1"),  # inside the other
        ((5, 9), "surf", ""),  # after the other
        ((4, 9), "jump", ""),  # two actions at the same time
    ],
)
def test_segments_that_overlap_are_counted(tmp_path, segment, label, counted):
    with logs(counted) as lines:
        build(tmp_path, with_segment(*segment, label=label))
    expected = [
        f'1 segments overlap another segment of their class, such as .* "{label}", {counted}'
    ]
    assert len(lines) == bool(counted)
    assert all(re.search(expected[0], line) for line in lines)
    with logs() as lines:
        build(tmp_path, with_segment(*segment, label=label), outside="kept")
    assert lines == []


def test_a_missing_file_says_which_key_to_set(tmp_path):
    with pytest.raises(UserError, match=r"b.json: no such train annotations; set .*train\.file"):
        build(tmp_path, file="b.json")


# Features that know how they were made


def fill(root, **changes):
    """Features of VIDEOS, a row a second; `changes` are those of v_b."""
    Path(root, "f").mkdir(exist_ok=True)
    for name, video in VIDEOS.items():
        made = replace(MADE, **changes) if name == "v_b" else MADE
        rows = round(video["duration"] * made.fps / made.every)
        write(Path(root, "f", f"{name}.npz"), np.zeros((rows, made.channels)), made)


def test_how_features_were_made_travels(tmp_path):
    fill(tmp_path)
    source = build(tmp_path, suffix=".npz")
    assert source.about == {"features": asdict(MADE)}
    assert source.durations.tolist() == [20, 30, 8]


def test_what_features_cover_is_what_they_say(tmp_path):
    fill(tmp_path)
    source = build(tmp_path, changed("v_a", duration=20.4), suffix=".npz")
    assert source.durations.tolist() == [20, 30, 8]


@pytest.mark.parametrize(
    "changes,message",
    [
        (dict(every=5), "v_b.npz: extracted in another way than .*v_a.npz: every 5 and 10"),
        (dict(fps=25.0, every=25), "every 25 and 10, fps 25.0 and 10.0"),
        (dict(channels=4), "channels 4 and 3"),
        (dict(backbone="runs/other"), "backbone runs/other and swin_tiny_k400"),
    ],
)
def test_features_of_two_kinds_are_an_error(tmp_path, changes, message):
    fill(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        build(tmp_path, suffix=".npz")


def test_features_of_another_video_are_an_error(tmp_path):
    fill(tmp_path)
    with pytest.raises(UserError, match=r"v_b.npz: features of 30.0 s, .* the video has 45.0 s"):
        build(tmp_path, changed("v_b", duration=45.0), suffix=".npz")
    Path(tmp_path, "f", "v_a.npz").write_bytes(b"no")
    with pytest.raises(UserError, match=r"v_a.npz: not a file of features"):
        build(tmp_path, suffix=".npz")


def config(root, **val):
    spec = dict(name="activitynet", file="a.json", features="f")
    (Path(root) / "b.json").write_text(json.dumps({f"{k}2": v for k, v in VIDEOS.items()}))
    for name in VIDEOS:
        path = Path(root, "f", f"{name}.npz")
        path.with_name(f"{name}2.npz").write_bytes(path.read_bytes())
    val = spec | {"file": "b.json"} | val
    return dict(root=str(root), num_classes=None, names="", train=spec, val=val, recipe={})


def test_missing_features_are_named(tmp_path):
    fill(tmp_path)
    build(tmp_path, suffix=".npz")
    data = config(tmp_path)
    Path(tmp_path, "f", "v_b2.npz").unlink()
    with pytest.raises(UserError, match=r'b.json: video "v_b2": no such file: .*v_b2.npz'):
        dataset.for_training(data)


def test_splits_made_in_two_ways_are_an_error(tmp_path):
    fill(tmp_path)
    build(tmp_path, suffix=".npz")
    data = config(tmp_path, features="g")
    found = dataset.for_training(config(tmp_path))
    assert found.about["features"] == asdict(MADE)
    assert found.names == ("dive", "jump", "surf")
    Path(tmp_path, "g").mkdir()
    for name, video in VIDEOS.items():
        made = replace(MADE, every=20)
        rows = np.zeros((round(video["duration"] / 2), 3))
        write(Path(tmp_path, "g", f"{name}2.npz"), rows, made)
    with pytest.raises(
        UserError, match=r"b.json: features differ from those of training: every was 10, now 20"
    ):
        dataset.for_training(data)
    with pytest.raises(UserError, match="every was 10, now 20"):
        dataset.for_evaluation(data, found.names, found.about)
    assert len(dataset.for_evaluation(data, found.names)) == 3  # a model that knows nothing


def arrays(root, suffix, **widths):
    """Feature files without settings: 100 rows, with these numbers of channels."""
    Path(root, "f").mkdir(exist_ok=True)
    for name, channels in widths.items():
        path = Path(root, "f", f"{name}{suffix}")
        if suffix == ".npy":
            np.save(path, np.zeros((100, channels), np.float32))
        else:
            row = ",".join(["0.5"] * channels)
            path.write_text("\n".join([",".join(f"f{i}" for i in range(channels)), *[row] * 100]))


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_widths_are_compared_before_a_run(tmp_path, suffix):
    arrays(tmp_path, suffix, v_a=4, v_b=4, v_c=3, v_a2=3, v_b2=3, v_c2=3)
    with pytest.raises(UserError, match=rf"v_c{suffix}: 3 channels, but .*v_a{suffix} has 4"):
        build(tmp_path, suffix=suffix)
    arrays(tmp_path, suffix, v_c=4)
    assert build(tmp_path, suffix=suffix).channels == 4
    (tmp_path / "b.json").write_text(json.dumps({f"{k}2": v for k, v in VIDEOS.items()}))
    spec = dict(name="activitynet", file="a.json", features="f", suffix=suffix)
    data = dict(root=str(tmp_path), num_classes=None, names="", train=spec)
    data |= dict(val=spec | {"file": "b.json"})
    with pytest.raises(UserError, match=r"b\.json: features of 3 channels, .*a\.json have 4"):
        dataset.for_training(data)
    data |= dict(val=spec, checks=(), recipe=dict(name="localization", channels=5))
    with pytest.raises(UserError, match=rf'a\.json: video "v_a": .*v_a{suffix}: 4 channels, but 5'):
        dataset.for_training(data)
    about = {"channels": 3}
    with pytest.raises(UserError, match=r"a\.json: features of 4 channels, but those of training"):
        dataset.for_evaluation(data | dict(recipe=None), ("dive", "jump", "surf"), about)
    data |= dict(recipe=dict(name="localization", frames=50))
    with pytest.raises(UserError, match=rf"v_a{suffix}: 100 rows, but 50 are expected"):
        dataset.for_training(data)
    Path(tmp_path, "f", f"v_b{suffix}").write_bytes(b"")
    with pytest.raises(UserError, match=rf"v_b{suffix}: not a file of features"):
        build(tmp_path, suffix=suffix)


@pytest.mark.parametrize(
    "name,message",
    [
        ("v_v_a.csv", r'there is .*v_v_a\.csv: set prefix="v_" and suffix="\.csv" in'),
        ("v_a.npy", r'there is .*v_a\.npy: set suffix="\.npy" in config\.data'),
    ],
)
def test_features_of_another_name_are_suggested(tmp_path, name, message):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / name).write_text("")
    with pytest.raises(UserError, match=rf"a\.json: no video has features, such as .*; {message}"):
        build(tmp_path)


def test_features_of_a_video_that_has_changed_are_counted(tmp_path):
    fill(tmp_path)
    video, path = tmp_path / "v_a.mp4", tmp_path / "f/v_a.npz"
    video.write_bytes(b"one")
    write(path, np.zeros((20, 3)), MADE, made_from=describe(video))
    with logs() as lines:
        build(tmp_path, suffix=".npz")
    assert lines == []
    video.write_bytes(b"another")
    changed = rf"1 files of features are from videos that have changed since, such as {path} from"
    with logs(changed):
        build(tmp_path, suffix=".npz")
    video.unlink()  # features are used without the videos
    with logs() as lines:
        build(tmp_path, suffix=".npz")
    assert lines == []


def test_a_prefix_is_for_names_that_lack_it(tmp_path):
    videos = {"v_a": VIDEOS["v_a"], "b": VIDEOS["v_b"]}
    paths = build(tmp_path, videos, prefix="v_").paths
    assert [Path(path).name for path in paths] == ["v_a.csv", "v_b.csv"]
