"""Feature files, and features on their way to a model."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data.annotations import feature_files
from jaxvid.data.recipes import localization
from jaxvid.data.transforms.features import Load, Pack, Resample
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError

MADE = feature_files.Made("swin_tiny_k400", frames=32, stride=2, every=16, fps=25.0, channels=6)
RNG = np.random.default_rng(0)


def rows(t=5, c=6, seed=0):
    return np.random.default_rng(seed).standard_normal((t, c)).astype(np.float32)


# Files


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "v.npz"
    feature_files.write(path, rows(), MADE)
    found, made = feature_files.read(path)
    np.testing.assert_array_equal(found, rows())
    assert made == MADE
    assert feature_files.read_header(path)[:3] == (MADE, 5, 6)
    assert [p.name for p in tmp_path.iterdir()] == ["v.npz"]
    assert MADE.seconds(5) == pytest.approx(3.2)


def test_arrays_and_csv_files_do_not_say_how_they_were_made(tmp_path):
    np.save(tmp_path / "v.npy", rows().astype(np.float64))
    header = ",".join(f"f{i}" for i in range(6))
    np.savetxt(tmp_path / "v.csv", rows(), delimiter=",", header=header, comments="")
    for name in ("v.npy", "v.csv"):
        found, made = feature_files.read(tmp_path / name)
        assert (found.dtype, made) == (np.float32, None)
        np.testing.assert_allclose(found, rows(), rtol=1e-6)
    feature_files.check(tmp_path / "v.npy", MADE)  # nothing is known, so nothing is wrong


def test_published_csv_files():
    folder = os.environ.get("JAXVID_DATA")
    if not folder:
        pytest.skip("JAXVID_DATA names no folder of published data")
    for name in ("v_test1", "v_test2"):
        found, _ = feature_files.read(Path(folder, "activitynet_features", f"{name}.csv"))
        assert found.shape == (5, 400)


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("v.csv", b"a,b\n1,x\n", "not a file of features .*convert"),
        ("v.csv", b"a,b\n1,2\n1\n", "not a file of features"),
        ("v.csv", b"a,b\n1,nan\n", "finite"),
        ("v.csv", b"a,b\n1,2\n3,inf\n", "row 1, channel 1 is inf: features must be finite"),
        ("v.csv", b",a,b\n0,1,2\n", "the first column has no name: it looks like an index"),
        ("v.csv", b"1,x,2\n1,2,3\n", 'the first line has "x" beside numbers'),
        ("v.csv", b"1,2\n3\n", "not a file of features"),
        ("v.csv", b"a,b\n1,\n", "not a file of features .*convert"),
        ("v.npy", b"", "not a file of features"),
        ("v.npz", b"zip?", "not a file of features"),
        ("v.txt", b"", "features are in .csv, .npy or .npz files"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message) as error:
        feature_files.read(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_csv_of_numbers_alone_has_no_header(tmp_path):
    path = tmp_path / "v.csv"
    np.savetxt(path, rows(), delimiter=",")
    np.testing.assert_allclose(feature_files.read(path)[0], rows(), rtol=1e-6)
    path.write_bytes("\ufeff1,2\n3,4\n".encode())  # as spreadsheets write it
    assert feature_files.read(path)[0].tolist() == [[1, 2], [3, 4]]
    path.write_text("0,1\n3,4\n")  # a data frame numbers its columns
    assert feature_files.read(path)[0].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    "array,message",
    [
        (np.full((2, 3), np.nan), "row 0, channel 0 is nan: features must be finite numbers"),
        (np.full((2, 3), 1e300), "row 0, channel 0 is inf"),
        (np.full((2, 3), "x"), "has <U1 instead of numbers"),
        (np.ones((2, 3), bool), "has bool instead of numbers"),
        (np.ones((2, 3), complex), "has complex128 instead of numbers"),
        (np.ones((0, 3)), r"features must be \(rows, channels\), not float64 \(0, 3\)"),
        (np.float32(3), r"features must be \(rows, channels\), not float32 \(\)"),
    ],
)
def test_arrays_that_are_no_features_are_named(tmp_path, array, message):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(VideoError, match=message) as error:
        feature_files.read(tmp_path / "v.npy")
    assert str(error.value).startswith(f"{tmp_path}/v.npy: ")


@pytest.mark.parametrize(
    "change,message",
    [
        (dict(fps=0), r'"about": "fps" is 0; expected frames a second'),
        (dict(fps=float("nan")), r'"about": "fps" is nan'),
        (dict(every=2.5), r'"about": "every" is 2\.5; expected a number of frames'),
        (dict(stride="2"), r'"about": "stride" is .2.; expected a whole number'),
        (dict(backbone=None), r'"about": "backbone" is None; expected text'),
        (dict(channels=7), "it has 6 channels, but says that it has 7"),
    ],
)
def test_how_features_were_made_is_checked(tmp_path, change, message):
    about = json.dumps({**asdict(MADE), **change})
    np.savez(tmp_path / "v.npz", feature=rows(), about=about)
    with pytest.raises(VideoError, match=message):
        feature_files.read(tmp_path / "v.npz")


def test_other_arrays_are_no_features(tmp_path):
    np.savez(tmp_path / "v.npz", other=rows())
    np.save(tmp_path / "v.npy", rows()[0])
    with pytest.raises(VideoError, match="feature"):
        feature_files.read(tmp_path / "v.npz")
    with pytest.raises(VideoError, match=r"\(rows, channels\), not float32 \(6,\)"):
        feature_files.read(tmp_path / "v.npy")
    with pytest.raises(VideoError, match="not a file of features"):
        feature_files.read_header(tmp_path / "v.npz")


def test_features_made_in_another_way_are_an_error(tmp_path):
    path = tmp_path / "v.npz"
    feature_files.write(path, rows(), MADE)
    feature_files.check(path, MADE)
    with pytest.raises(UserError, match=r"v\.npz: .*: every 16 and 8, fps 25\.0 and 30\.0"):
        feature_files.check(path, replace(MADE, every=8, fps=30.0))


# Transforms


def test_weights_count_for_more_than_where_they_lie(tmp_path):
    path, made = tmp_path / "v.npz", replace(MADE, weights="12ab")
    feature_files.write(path, rows(), made, rate=0.0)
    assert feature_files.read(path)[1] == made
    assert feature_files.read_about(path)["rate"] == 0.0
    feature_files.check(path, replace(made, backbone="moved"))
    feature_files.check(path, MADE)  # of an older release, which did not note them
    with pytest.raises(UserError, match=r"weights 12ab \(swin_tiny_k400\) and 34cd \(swin_tiny_k"):
        feature_files.check(path, replace(made, weights="34cd"))
    with pytest.raises(UserError, match="backbone swin_tiny_k400 and moved"):
        feature_files.check(path, replace(MADE, backbone="moved"))


def test_load_reads_features_and_what_they_cover(tmp_path):
    feature_files.write(tmp_path / "v.npz", rows(), MADE)
    sample = Load(6)({"path": str(tmp_path / "v.npz")}, RNG)
    assert sample["duration"] == pytest.approx(3.2)
    annotated = Load()({"path": str(tmp_path / "v.npz"), "duration": 3.0}, RNG)
    assert annotated["duration"] == 3.0
    given = Load()({"feature": rows(), "duration": 1.0}, RNG)
    np.testing.assert_array_equal(given["feature"], sample["feature"])


def test_load_names_what_is_amiss(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, rows())
    with pytest.raises(UserError, match=r'v\.npy: how many seconds .* "duration"'):
        Load()({"path": str(path)}, RNG)
    with pytest.raises(UserError, match=r"v\.npy: 6 channels, but 400 are expected"):
        Load(400)({"path": str(path), "duration": 1.0}, RNG)
    with pytest.raises(VideoError, match="No such file"):
        Load()({"path": str(tmp_path / "w.npy"), "duration": 1.0}, RNG)


def naive_resample(feature, frames, places):
    """A part, a place at a time: a row stands for the middle of its part of the time."""
    t, out = len(feature), []
    for i in range(frames):
        values = []
        for k in range(places):
            moment = (i + (k + 0.5) / places) / frames
            at = min(max(moment * t - 0.5, 0), t - 1)
            low = min(int(at), t - 1)
            high = min(low + 1, t - 1)
            values.append(feature[low] * (1 - (at - low)) + feature[high] * (at - low))
        out.append(np.mean(values, 0))
    return np.array(out)


@pytest.mark.parametrize("t,frames", [(1, 4), (2, 7), (5, 3), (5, 10), (40, 12)])
def test_resampling(t, frames):
    found = Resample(frames)({"feature": rows(t)}, RNG)["feature"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive_resample(rows(t), frames, 3), atol=1e-5)


def test_as_many_rows_stay_as_they_are():
    np.testing.assert_array_equal(Resample(5)({"feature": rows()}, RNG)["feature"], rows())


def test_exact_lengths():
    sample = {"feature": rows(), "path": "v.csv"}
    np.testing.assert_array_equal(Resample(5, exact=True)(sample, RNG)["feature"], rows())
    with pytest.raises(UserError, match=r"v\.csv: 5 rows, but 100 are expected; .*resample=True"):
        Resample(100, exact=True)(sample, RNG)


def test_what_is_batched():
    known = {"segments": [[1.0, 2.0]], "segment_label": [3], "label": 0, "path": "v"}
    sample = Pack()({"feature": rows(), "duration": 9.0, **known}, RNG)
    kinds = {key: (value.dtype.name, value.shape) for key, value in sample.items()}
    assert kinds == {
        "feature": ("float32", (5, 6)),
        "duration": ("float32", ()),
        "segments": ("float32", (1, 2)),
        "segment_label": ("int32", (1,)),
    }
    assert Pack()({"feature": rows(), "duration": 9.0}, RNG)["segment_label"].tolist() == [-1]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_recipe(tmp_path, split):
    feature_files.write(tmp_path / "v.npz", rows(), MADE)
    sample = {"path": str(tmp_path / "v.npz"), "duration": 3.0}
    for step in localization.build(split, frames=8, channels=6, resample=True):
        sample = step(sample, RNG)
    assert sample["feature"].shape == (8, 6)
    with pytest.raises(UserError, match='not "tset"'):
        localization.build("tset")


def test_an_example_has_the_shapes_of_a_sample():
    sample = localization.example(frames=8, channels=6, resample=False)
    for step in localization.build("test", frames=8, channels=6):
        sample = step(sample, RNG)
    assert sample["feature"].shape == (8, 6)


def test_about_is_json(tmp_path):
    feature_files.write(tmp_path / "v.npz", rows(), MADE)
    with np.load(tmp_path / "v.npz") as file:
        assert json.loads(str(file["about"]))["backbone"] == "swin_tiny_k400"
