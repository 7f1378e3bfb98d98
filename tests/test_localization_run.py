"""Localization from raw videos: extract, train, evaluate, predict; and that it learns."""

import csv
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxvid
from configs import bmn_own
from jaxvid import main, predict
from jaxvid.data import open_video
from jaxvid.data.annotations import feature_files
from jaxvid.data.synthetic import untrimmed
from jaxvid.data.transforms.sampling import ClipsEvery
from jaxvid.errors import UserError
from jaxvid.inference.features import Extractor
from jaxvid.inference.localize import read_features
from jaxvid.models import swin
from jaxvid.results import Localized
from jaxvid.tools import extract_features, localize
from jaxvid.weights import safetensors_file, torch_file
from jaxvid.weights.convert import export
from tests.conftest import fill

pytestmark = pytest.mark.long

CHANNELS = 16  # of swin's test variant


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A recognizer of random weights, as a file."""
    net = swin.build("test", num_classes=8)
    video = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), np.float32)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)
    tensors = export(fill(shapes), swin.WEIGHTS["mmaction"], net)
    recipe = dict(name="clip", frames=4, stride=2, size=32, short_side=32, crops=3)
    config = dict(
        dtype="float32",
        mesh=dict(data=-1, model=1),
        sharding="replicated",
        eval=dict(views=1),
        model=dict(name="swin", variant="test"),
        task=dict(name="recognition"),
        data=dict(recipe=recipe),
        loader=dict(workers=0, eval_on_error="raise"),
        batch=8,
    )
    told = dict(config=config, names=[str(i) for i in range(8)], upstream="mmaction")
    path = tmp_path_factory.mktemp("backbone") / "swin.safetensors"
    safetensors_file.write(path, tensors, {"format": "pt", "jaxvid": json.dumps(told)})
    return path


@pytest.fixture(scope="module")
def data(backbone, tmp_path_factory):
    """Videos, annotations and features."""
    root = untrimmed.generate(tmp_path_factory.mktemp("untrimmed") / "set", train=8, val=3)
    command = [str(root / "videos"), str(root / "features"), f"--checkpoint={backbone}"]
    assert extract_features.main([*command, "--every=8", "--rows=16"]) == 0
    return root


def tiny(root, **changes):
    c = bmn_own.get_config("mini")
    c.model = dict(name="bmn", variant="test", channels=CHANNELS, samples=4)
    c.data.root, c.data.recipe.frames = str(root), 8
    c.batch, c.epochs, c.eval_every, c.save_every = 8, 2.0, 2.0, 0
    c.loader.workers = 0
    c.update(changes)
    return c


@pytest.fixture(scope="module")
def workdir(data, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("run") / "w"
    metrics = main.train(tiny(data), folder)
    assert {"val/ar1", "val/ar10", "val/ar100", "val/auc", "val/map", "val/map50"} <= set(metrics)
    return folder


# Features


def test_a_feature_is_the_mean_of_the_backbones_maps_over_a_clip(backbone, data):
    found, made = feature_files.read(data / "features" / "val_0001.npz")
    weights = jaxvid.load(backbone, "val").identity
    assert made == feature_files.Made(str(backbone), 4, 2, 8, 16.0, CHANNELS, weights)
    model = jaxvid.load(backbone, "val")
    with open_video(data / "videos" / "val_0001.mp4") as video:
        clips = ClipsEvery(4, 2, 8).indices(len(video))
        assert len(found) == len(clips)
        for row in (0, 7, len(clips) - 1):  # more than one batch of 16
            frames = np.repeat(video[clips[row]], 2, 0)  # of which the model takes every other
            want = model.features(frames).mean((0, 1, 2, 3))
            np.testing.assert_allclose(found[row], want, rtol=1e-4, atol=1e-5)


def test_extraction_goes_on_where_it_was(backbone, data, capsys):
    kept, lost = (data / "features" / f"{name}.npz" for name in ("val_0000", "val_0002"))
    time, feature = kept.stat().st_mtime_ns, feature_files.read(lost)[0]
    lost.unlink()
    command = [str(data / "videos"), str(data / "features"), f"--checkpoint={backbone}"]
    assert extract_features.main([*command, "--every=8", "--rows=16"]) == 0
    assert "11 of 11 videos have features" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == time
    np.testing.assert_array_equal(feature_files.read(lost)[0], feature)


def test_a_video_that_cannot_be_read_is_reported(backbone, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video at all")
    command = [str(tmp_path / "videos"), str(tmp_path / "f"), f"--checkpoint={backbone}"]
    assert extract_features.main(command) == 1
    assert "broken.mp4" in capsys.readouterr().err
    assert not list((tmp_path / "f").glob("*.npz"))


def test_stale_features_are_made_again_or_refused(backbone, data, tmp_path, capsys):
    video, out = tmp_path / "v" / "a.mp4", tmp_path / "f"
    video.parent.mkdir()
    shutil.copy(data / "videos" / "val_0001.mp4", video)
    weights = shutil.copy(backbone, tmp_path / "swin.safetensors")
    command = [str(video.parent), str(out), f"--checkpoint={weights}", "--every=8", "--rows=16"]
    assert extract_features.main(command) == 0
    first = (out / "a.npz").read_bytes()

    shutil.copy(data / "videos" / "val_0002.mp4", video)
    assert extract_features.main(command) == 0
    second = (out / "a.npz").read_bytes()
    want = feature_files.read(data / "features" / "val_0002.npz")
    np.testing.assert_allclose(feature_files.read(out / "a.npz")[0], want[0], atol=1e-6)
    assert first != second

    capsys.readouterr()
    for change, message in (
        ("--every=4", "every 8 there, 4 now"),
        ("--stride=1", "stride 2 there, 1 now"),
        ("--fps=8", "fps 0 there, 8 now"),
    ):
        assert extract_features.main([*command, change]) == 1
        assert message in capsys.readouterr().err
    moved = shutil.move(weights, tmp_path / "moved.safetensors")
    assert extract_features.main([*command, f"--checkpoint={moved}"]) == 0
    assert (out / "a.npz").read_bytes() == second
    tensors = dict(torch_file.load(moved))
    name = next(name for name, x in tensors.items() if x.ndim > 1)
    tensors[name] = np.asarray(tensors[name]) + 1
    told = safetensors_file.metadata(Path(moved))
    safetensors_file.write(weights, tensors, told)
    assert extract_features.main(command) == 1
    error = capsys.readouterr().err
    assert re.search(
        r"weights \w{12} \(.+swin\.saf.+\) there, \w{12} \(.+\) now; write to an", error
    )
    assert (out / "a.npz").read_bytes() == second

    shutil.copy(video, video.with_suffix(".mkv"))
    assert extract_features.main(command) == 1
    assert f"would both be written to {out}/a.npz" in capsys.readouterr().err


def test_a_model_that_sees_no_videos_is_no_backbone(workdir, data):
    with pytest.raises(UserError, match="hold no videos; take the features of a model"):
        Extractor(jaxvid.load(workdir), 4, 2, 8)
    with pytest.raises(UserError, match="frames, stride and every are 1 or more"):
        Extractor(jaxvid.load(workdir), 4, 0, 8)


# A run


def test_evaluation_leaves_reports(workdir, data, capsys):
    metrics = main.evaluate(None, workdir, workdir)
    assert metrics["test/n"] == 3
    about = json.loads((workdir / "eval" / "manifest.json").read_text())
    beside = {"manifest.json", ".lock", "curves.png", "examples.json"}
    assert set(about["files"]) | beside == set(os.listdir(workdir / "eval"))
    found = json.loads((workdir / "eval" / "predictions.json").read_text())["results"]
    assert list(found) == ["val_0000", "val_0001", "val_0002"]
    assert all(0 < len(rows) <= 100 for rows in found.values())
    with (workdir / "eval" / "report.csv").open() as file:
        counts = {row["name"]: int(row["n"]) for row in csv.DictReader(file)}
    truth = json.loads((data / "val.json").read_text())
    assert sum(counts.values()) == sum(len(v["annotations"]) for v in truth.values())
    assert "random proposals" in capsys.readouterr().out


def test_predictions_of_a_video_are_those_of_its_features(workdir, data):
    model = jaxvid.load(workdir)
    one = model.predict(data / "features" / "val_0001.npz")
    video = model.predict(data / "videos" / "val_0001.mp4")
    assert isinstance(one, Localized)
    np.testing.assert_allclose(video.segments, one.segments, atol=1e-4)
    np.testing.assert_allclose(video.scores, one.scores, rtol=1e-4)
    found = json.loads((workdir / "eval" / "predictions.json").read_text())["results"]["val_0001"]
    np.testing.assert_allclose(one.segments[0], found[0]["segment"], atol=1e-4)
    feature, made = feature_files.read(data / "features" / "val_0001.npz")
    duration = made.seconds(len(feature))
    sample = model.predict({"feature": feature, "duration": duration}, topk=3)
    assert sample == replace(
        one, **{k: getattr(one, k)[:3] for k in ("labels", "scores", "segments")}
    )
    with open_video(data / "videos" / "val_0001.mp4") as reader:
        array = model.predict(reader[:], fps=16.0)
    np.testing.assert_allclose(array.segments, one.segments, atol=1e-4)


def test_the_predict_command(workdir, data, tmp_path, capsys):
    video, picture = data / "videos" / "val_0002.mp4", tmp_path / "timeline.png"
    command = [str(video), f"--checkpoint={workdir}", "--topk=4"]
    assert predict.main([*command, "--json", f"--out={picture}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["segments"]) == len(found["scores"]) == 4
    assert 0 <= found["segments"][0][0] < found["segments"][0][1] <= found["duration"]
    with open_video(picture) as image:
        assert image[0].std() > 1
    assert predict.main([*command, f"--out={tmp_path}/drawn.mp4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    with open_video(tmp_path / "drawn.mp4") as drawn, open_video(video) as original:
        assert len(drawn) == len(original)


def test_the_localize_command(workdir, data, tmp_path, capsys):
    video, picture = data / "videos" / "val_0002.mp4", tmp_path / "timeline.png"
    command = [str(video), f"--checkpoint={workdir}"]
    stored = f"--features={tmp_path}/v.npz"
    assert localize.main([*command, "--topk=4", f"--out={picture}", stored, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "timeline.json").read_text()) == found
    whole = jaxvid.load(workdir).predict(video, topk=4)
    np.testing.assert_allclose(found["segments"], whole.segments, atol=1e-4)
    with open_video(picture) as image:
        assert image[0].std() > 1

    seconds = whole.duration / 3
    wide = [*command, stored, "--json", f"--window={seconds}"]
    assert localize.main(wide) == 0  # reads the stored features
    parts = np.array(json.loads(capsys.readouterr().out)["segments"])
    assert np.diff(parts).min() > 0 and np.diff(parts).max() <= seconds + 1
    assert parts.max() > whole.duration * 2 / 3

    feature, made = feature_files.read(tmp_path / "v.npz")
    feature_files.write(tmp_path / "v.npz", feature, replace(made, weights="123456789abc"))
    shutil.copy(video, tmp_path / "copy.mp4")
    (tmp_path / "f.npy").write_bytes(b"")
    np.save(tmp_path / "f.npy", feature)
    for changed, message in (
        ([*command, stored], r"v\.npz: extracted in another way than in training: weights"),
        ([*command, "--features=v.npy"], r"stored in a file \.npz"),
        ([*command, "--query=a jump"], "finds all actions and takes no query"),
        ([*command, "--window=-1"], "a window is 0 seconds or more"),
        ([*command, f"--out={tmp_path}/x.txt"], "name a picture"),
        ([str(tmp_path / "f.npy"), command[1]], "how many seconds does it cover"),
    ):
        assert localize.main(changed) == 1
        assert re.search(message, capsys.readouterr().err)


def test_localizing_needs_a_localizer_and_its_backbone(workdir, backbone, data, capsys):
    video = str(data / "videos" / "val_0001.mp4")
    assert localize.main([video, f"--checkpoint={backbone}"]) == 1
    assert "a model of recognition, not a localizer" in capsys.readouterr().err
    model = jaxvid.load(workdir)
    del model.meta["features"]
    with pytest.raises(UserError, match="does not name the backbone that computes the features"):
        read_features(model, video)


def test_features_made_in_another_way_are_refused(workdir, data, tmp_path):
    feature, made = feature_files.read(data / "features" / "val_0001.npz")
    feature_files.write(tmp_path / "v.npz", feature, replace(made, every=4))
    with pytest.raises(
        UserError, match=r"v\.npz: extracted in another way than in training: every 4 and 8"
    ):
        jaxvid.load(workdir).predict(tmp_path / "v.npz")
    model, narrow = jaxvid.load(workdir), feature[:, 1:]
    np.save(tmp_path / "v.npy", narrow)
    expected = feature.shape[1]
    message = f"{expected - 1} channels, but the features of training had {expected}"
    for video in (tmp_path / "v.npy", {"feature": narrow, "duration": 5.0}):
        with pytest.raises(UserError, match=message):
            model.predict(video)


def test_a_backbone_that_moved_is_named(workdir, backbone, data):
    model = jaxvid.load(workdir)
    model.meta["features"] = model.meta["features"] | {"backbone": "runs/gone"}
    with pytest.raises(UserError, match="runs/gone: no such workdir"):
        model.predict(data / "videos" / "val_0001.mp4")


def test_a_backbone_with_other_weights_is_refused(workdir, data):
    model = jaxvid.load(workdir)
    model.meta["features"] = model.meta["features"] | {"weights": "123456789abc"}
    message = r"its weights \(\w{12}\) are not those that made the features .*\(123456789abc\)"
    with pytest.raises(UserError, match=message):
        model.predict(data / "videos" / "val_0001.mp4")


def test_a_recognizer_has_no_timeline(backbone, data, tmp_path, capsys):
    video = str(data / "videos" / "val_0001.mp4")
    command = [video, f"--checkpoint={backbone}", f"--out={tmp_path}/x.png"]
    assert predict.main(command) == 1
    assert "a Recognized cannot be drawn as one image" in capsys.readouterr().err


# Learning


def write_split(root: Path, split: str, count: int):
    """Features of noise, and in actions along one direction; a row a second."""
    rng = np.random.default_rng([3, len(split)])
    direction = np.random.default_rng(3).standard_normal(CHANNELS)
    videos = {}
    for i in range(count):
        feature = rng.standard_normal((16, CHANNELS))
        starts = np.array([1, 9]) + rng.integers(0, 3, 2)
        ends = starts + rng.integers(2, 5, 2)
        for start, end in zip(starts, ends, strict=True):
            feature[start:end] += 2 * direction
        made = feature_files.Made("made up", 1, 1, every=1, fps=1.0, channels=CHANNELS)
        feature_files.write(root / "features" / f"{split}_{i}.npz", feature, made)
        rows = zip(starts.tolist(), ends.tolist(), strict=True)
        videos[f"{split}_{i}"] = dict(
            duration=16.0, annotations=[dict(segment=list(row), label="it") for row in rows]
        )
    (root / f"{split}.json").write_text(json.dumps(videos))


def test_it_learns(tmp_path, capsys):
    """By what the evaluation prints beside it, much more than chance."""
    (tmp_path / "features").mkdir()
    for split, count in (("train", 64), ("val", 16)):
        write_split(tmp_path, split, count)
    c = tiny(tmp_path, epochs=5.0, eval_every=5.0)
    c.data.recipe.frames = c.model.frames = 16
    c.optim.lr = 1e-2
    metrics = main.train(c, tmp_path / "w")
    main.evaluate(None, tmp_path / "w", tmp_path / "w")
    text = capsys.readouterr().out
    chance = {
        name: float(value) / 100
        for name, value in re.findall(r"^  (\w+) .*\((.*)%\)$", text, re.MULTILINE)
    }
    assert metrics["val/ar10"] > 2 * chance["ar10"] > 0
    assert metrics["val/map50"] > 0.5 > chance["map50"] > 0
