"""What anyone can call from jaxvid.data: open_video, apply, batches."""

import subprocess
import sys

import numpy as np
import pytest

from jaxvid import data, plug
from jaxvid.data.recipes import clip
from jaxvid.data.transforms import sampling, spatial, video
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.readers import ArrayReader
from tests.data import video_files as make


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make.encode(tmp_path_factory.mktemp("api") / "a.mp4", **make.B_FRAMES, frames=30)


@pytest.mark.parametrize(
    "key",
    [
        0,
        29,
        -1,
        np.int64(7),
        slice(None),
        slice(3, 20, 4),
        slice(None, None, -1),
        slice(-3, None),
        slice(40, 50),
        [4, 0, 0],
        (5, 6),
        np.array([[1, 2], [29, -30]]),
        range(2, 9, 3),
        [],
        np.arange(30) % 7 == 0,
    ],
    ids=str,
)
def test_a_video_is_indexed_like_an_array(path, key):
    expected = make.sequential(path)
    with data.open_video(path) as found:
        assert len(found) == 30
        wanted = expected[list(key) if isinstance(key, tuple | range) else key]
        np.testing.assert_array_equal(found[key], wanted)
        assert found[key].shape == wanted.shape


@pytest.mark.parametrize("key", [30, -31, [0, 30], [1.5], np.ones(3, bool), "0"])
def test_what_is_no_index_is_an_error_with_the_files_name(path, key):
    with data.open_video(path) as found, pytest.raises(IndexError, match=r"a\.mp4: .+"):
        found[key]


def test_a_video_is_iterated_frame_by_frame(path):
    with data.open_video(path, threads=2, short_side=40) as found:
        frames = [frame.shape for frame in found]
    assert frames == [(40, 64, 3)] * 30
    assert ArrayReader(np.zeros((2, 3)))[1].shape == (3,)


def test_a_video_that_is_none(tmp_path):
    with pytest.raises(VideoError, match=r"none\.mp4: no such file"):
        data.open_video(tmp_path / "none.mp4")


def test_a_recipe_applied_to_a_path_is_what_the_loader_makes(path):
    recipe = clip.build("train", frames=4, stride=2, size=32, short_side=40)
    found = data.apply(recipe, path, seed=3, label=np.int32(5))
    assert set(found) == {"video", "label"} and found["label"] == 5
    rng = np.random.default_rng(3)
    sample = {"path": str(path)}
    for transform in recipe:
        sample = transform(sample, rng)
    np.testing.assert_array_equal(found["video"], sample["video"])
    assert found["video"].shape == (1, 4, 32, 32, 3)
    again, other = (data.apply(recipe, path, seed=s)["video"] for s in (3, 4))
    np.testing.assert_array_equal(again, found["video"])
    assert (other != again).any()


def test_a_recipe_applied_to_arrays_and_folders(path, tmp_path):
    frames = make.sequential(path)
    recipe = [
        video.Open(),
        sampling.SampleClips(2, 1, target_fps=15),
        video.Decode(),
        spatial.CenterCrop(64),
        video.Pack(),
    ]
    from_file, array = data.apply(recipe, path), data.apply(recipe, frames, fps=30)
    np.testing.assert_array_equal(from_file["video"], array["video"])
    np.save(tmp_path / "a.npy", frames)
    stored = data.apply(recipe, tmp_path / "a.npy")  # without a rate: every frame
    assert (stored["video"] != array["video"]).any()


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for k in range(6):
        make.encode(folder / f"{k}.mp4", frames=12, first=20 * k)
    for split, rows in (("train", range(4)), ("val", (4, 5)), ("test", (5,))):
        lines = [f"{k}.mp4 {k % 2}\n" for k in rows]
        (folder / f"{split}.txt").write_text("".join(lines))
    spec = {s: dict(name="video_list", file=f"{s}.txt") for s in ("train", "val")}
    recipe = plug.spec("data.recipes", "clip", frames=2, stride=1, size=32, short_side=32, clips=2)
    return dict(
        seed=0,
        batch=2,
        eval_batch=0,
        data=dict(root=str(folder), recipe=recipe, **spec),
        loader=dict(workers=0, balance=0.0, on_error="replace", eval_on_error="raise"),
    )


def test_batches_of_a_config(config):
    found = list(data.batches(config, stop=4))
    assert [batch["video"].shape for batch in found] == [(2, 1, 2, 32, 32, 3)] * 4
    rows = np.concatenate([batch["index"] for batch in found])
    assert sorted(rows[:4]) == sorted(rows[4:]) == [0, 1, 2, 3]
    (last,) = data.batches(config, start=3, stop=4)
    np.testing.assert_array_equal(last["video"], found[3]["video"])


def test_batches_for_evaluation(config):
    (val,) = data.batches(config, "val")
    assert val["index"].tolist() == [0, 1] and val["video"].shape == (2, 1, 2, 32, 32, 3)
    (test,) = data.batches(config, "test")  # there is none: validation, with all views
    assert test["index"].tolist() == [0, 1] and test["video"].shape == (2, 2, 2, 32, 32, 3)
    spec = config["data"] | {"test": dict(name="video_list", file="test.txt"), "checks": ()}
    (test,) = data.batches(config | {"data": spec, "eval_batch": 3}, "test")
    assert test["mask"].tolist() == [1, 0, 0]


def test_import_is_light():
    code = """
import sys, jaxvid.data
assert not {"av", "cv2", "jax", "grain", "flax"} & set(sys.modules)
assert jaxvid.data.open_video.__doc__
"""
    subprocess.run([sys.executable, "-c", code], check=True)
