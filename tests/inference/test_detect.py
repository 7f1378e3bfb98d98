"""Detection from files to a video with boxes drawn on it: a tiny run, and all around it."""

import csv
import json
import pickle
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxvid
from configs import base, datasets, fast_rcnn_own
from jaxvid import main, plug
from jaxvid.checkpoints import store
from jaxvid.data import dataset
from jaxvid.data.annotations import feature_bank
from jaxvid.data.sources import ava
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError
from jaxvid.inference import poses
from jaxvid.inference.detect import detect
from jaxvid.inference.feature_bank import BoxFeatures
from jaxvid.tools import detect as tool
from jaxvid.tools import make_bank
from tests.conftest import logs
from tests.data import people

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    people.make(folder, "train", 32)
    people.make(folder, "val", 8)
    (folder / "names.txt").write_text("\n".join(people.CLASSES))
    return folder


def make_config(root, **recipe):
    c = base.config()
    c.dtype = "float32"
    c.epochs = 5.0
    c.batch = 8
    c.model = dict(
        name="fast_rcnn", backbone=dict(name="slowonly", variant="test", width=8), dropout=0.0
    )
    c.task = plug.spec("tasks", "detection", rois=8, both=True)
    c.data = dict(
        root=str(root),
        num_classes=4,
        names="names.txt",
        checks=datasets.CHECKS,
        train=people.split("train"),
        val=people.split("val"),
    )
    c.data.recipe = plug.spec(
        "data.recipes",
        "detection",
        frames=4,
        stride=2,
        size=64,
        short_side=64,
        short_side_max=72,
        boxes=6,
        **recipe,
    )
    c.optim = dict(name="adamw", lr=5e-3, weight_decay=0.0, clip=1.0)
    c.schedule = dict(name="cosine", warmup=0.1)
    c.loader.workers = 0
    c.log_every, c.eval_every, c.save_every, c.best = 8, 5.0, 0, "val/map"
    return c


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """The folder of a finished run, and its last metrics."""
    workdir = tmp_path_factory.mktemp("run") / "w"
    metrics = main.train(make_config(root, canvas=people.SIZE), workdir)
    jax.clear_caches()
    return workdir, metrics


@pytest.fixture(scope="module")
def model(run):
    return jaxvid.load(run[0])


def test_it_learns_what_is_in_each_box(run):
    """Both figures are in every picture: without their boxes, each class would be a guess."""
    workdir, metrics = run
    assert metrics["val/n"] == 16
    assert metrics["val/map"] > 0.9
    assert metrics["val/map_corrected"] == pytest.approx(metrics["val/map"], abs=0.01)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if "train/loss" in line]
    assert train[-1]["train/loss"] < 0.7 * train[0]["train/loss"]
    assert train[-1]["train/recall_top3"] > 0.95
    assert store.read_meta(store.best_checkpoint(workdir))["names"] == list(people.CLASSES)


@pytest.fixture(scope="module")
def tested(run):
    """Metrics and dumped predictions of --mode eval."""
    workdir, _ = run
    metrics = main.evaluate(None, workdir, workdir)
    return metrics, np.load(workdir / "eval" / "predictions.npz")


def test_a_checkpoint_evaluates_as_it_did_in_training(run, tested):
    workdir, metrics = run
    assert tested[0]["test/map"] == pytest.approx(metrics["val/map"])
    dumped = tested[1]
    assert dumped["id"][:2].tolist() == ["val_000,0901", "val_000,0902"]
    assert dumped["score"].shape == (16, 6, 4)
    with (workdir / "eval" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(people.CLASSES)
    mean = np.mean([float(row["ap"]) for row in rows])
    assert mean == pytest.approx(tested[0]["test/map"])


# Predictions


def test_prediction_gives_what_evaluation_gave(root, model, tested):
    source = ava.build("val", root=str(root), **without_name(people.split("val")), num_classes=4)
    found = model.predict(
        [{k: source[i][k] for k in ("path", "time", "proposals")} for i in (0, 5)]
    )
    dumped = tested[1]
    for moment, i in zip(found, (0, 5), strict=True):
        real = dumped["proposal_mask"][i] > 0
        want = -np.sort(-dumped["score"][i][real], 1)[:, :3]
        np.testing.assert_allclose(moment.scores, want, rtol=1e-4)
        np.testing.assert_allclose(moment.boxes, dumped["proposals"][i][real], rtol=1e-4)
        size = np.array([people.SIZE[1], people.SIZE[0]] * 2)
        np.testing.assert_allclose(moment.boxes, source[i]["proposals"] * size, rtol=1e-4)
        assert moment.time == source[i]["time"]


def without_name(spec):
    return {key: value for key, value in spec.items() if key != "name"}


def test_a_file_of_boxes(root, model):
    video = root / "videos" / "val_003.mp4"
    found = detect(model, video, root / "val_proposals.pkl", start=people.START)
    assert [moment.time for moment in found.moments] == list(people.TIMES)
    assert [len(moment.boxes) for moment in found.moments] == [2, 2]  # not the doubtful one
    truth = ava.build("val", root=str(root), **without_name(people.split("val")), num_classes=4)
    for moment, i in zip(found.moments, (6, 7), strict=True):
        for box, labels in enumerate(moment.labels):
            own = {people.CLASSES[c] for c in np.flatnonzero(truth[i]["box_label"][box])}
            assert set(labels[: len(own)]) == own
    with pytest.raises(
        UserError, match=r"val_003\.mp4: the key frame at 901 is not in the video.* start"
    ):
        detect(model, video, root / "val_proposals.pkl")
    with pytest.raises(UserError, match=r"val_proposals\.pkl: no boxes of strange\.mp4 in it"):
        detect(model, root / "strange.mp4", root / "val_proposals.pkl")


def test_a_detector_of_ones_own(root, model):
    """Any function of a frame will do: here, what is not gray."""
    seen, boxes = [], []

    def find(frame):
        seen.append(frame.shape)
        colored = np.ptp(frame.astype(int), axis=2) > 60
        y, x = np.nonzero(colored)
        boxes.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
        return boxes[-1:]

    video = root / "videos" / "val_000.mp4"
    found = detect(model, video, find, every=0.5, topk=1)
    assert seen == [(*people.SIZE, 3)] * 6
    assert [moment.time for moment in found.moments] == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert all(len(moment.labels[0]) == 1 for moment in found.moments)
    np.testing.assert_allclose([moment.boxes[0] for moment in found.moments], boxes, rtol=1e-5)
    nobody = detect(model, video, lambda frame: np.zeros((0, 5)))
    assert [moment.boxes for moment in nobody.moments] == [()] * 3
    for wrong, shape in (([1, 2, 3], r"\(3,\)"), ([[1, 2, 3]], r"\(1, 3\)")):
        with pytest.raises(UserError, match=f"the detector gave {shape}, not boxes"):
            detect(model, video, lambda frame, wrong=wrong: wrong)


def test_the_command_draws_boxes_on_a_video(root, run, tmp_path, capsys):
    video, out = root / "videos" / "val_001.mp4", tmp_path / "seen.mp4"
    arguments = [
        str(video),
        "--checkpoint",
        str(run[0]),
        "--proposals",
        str(root / "val_proposals.pkl"),
        "--start",
        str(people.START),
        "--topk",
        "1",
    ]
    assert tool.main([*arguments, "--json", "--out", str(out)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [moment["time"] for moment in found] == [1, 2]
    written = json.loads(out.with_suffix(".json").read_text())
    assert [{"video": str(video), **m} for m in written["moments"]] == found
    assert [tube["times"][0] for tube in written["tubes"]] == sorted(
        tube["times"][0] for tube in written["tubes"]
    )
    assert {tube["number"] for tube in written["tubes"]} == {
        number for moment in found for number in moment["numbers"]
    }
    with VideoReader(video) as before, VideoReader(out) as after:
        assert before.frames == after.frames
        larger = after.width // before.width  # small pictures, so that labels can be read
        plain = before.read([8])[0].repeat(larger, 0).repeat(larger, 1).astype(int)
        shown = after.read([8])[0, : len(plain)]  # without the strip of labels below
        changed = np.abs(plain - shown).max(-1) > 80
    x1, y1, x2, y2 = np.rint(np.multiply(found[0]["boxes"][0], larger)).astype(int)
    assert changed[y1:y2, x1].mean() > 0.8  # the left edge of the box
    assert changed[y1:y2, x2 - 1].mean() > 0.8
    assert tool.main(arguments) == 0
    assert capsys.readouterr().out.count("%") == 4


def test_the_command_takes_a_function(root, run, tmp_path, capsys, monkeypatch):
    (tmp_path / "finder.py").write_text(
        "def people(frame):\n    return [[0, 0, frame.shape[1], frame.shape[0], 0.95]]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    video = str(root / "videos" / "val_001.mp4")
    arguments = [video, "--checkpoint", str(run[0]), "--detector"]
    assert tool.main([*arguments, "finder:people"]) == 0
    assert capsys.readouterr().out.count("[0 0 96 64]") == 3
    monkeypatch.setattr(
        poses, "Detector", lambda *spec, **_: lambda frames: [[[0, 0, 96, 64, 0.6]]] * len(frames)
    )
    assert tool.main(arguments[:-1]) == 0  # people by RTMDet
    assert capsys.readouterr().out.count("[0 0 96 64]") == 3
    assert tool.main([*arguments, "finder:peopel"]) == 1
    assert "it is MODULE:FUNCTION" in capsys.readouterr().err


def test_features_are_those_of_the_clip_around_a_moment(root, model):
    video = str(root / "videos" / "val_000.mp4")
    moment = {"path": video, "time": 1.0, "proposals": np.array([[0, 0, 1, 1]], np.float32)}
    # 64 x 96 at stride 8; features of the second of two stages.
    assert model.features(moment).shape == (1, 4, 8, 12, 64)


def test_a_video_may_have_any_shape(model, tmp_path):
    """No canvas is in its way, as in evaluation."""
    video = str(tmp_path / "tall.mp4")
    write_video(video, np.full((16, 200, 64, 3), 90, np.uint8), 8)
    found = detect(model, video, lambda frame: [[0, 0, 64, 100]])
    np.testing.assert_allclose(found.moments[0].boxes, [(0, 0, 64, 100)])


def test_a_model_of_another_task_is_named():
    model = SimpleNamespace(source="runs/swin", config={"task": {"name": "recognition"}})
    with pytest.raises(UserError, match="runs/swin: a model of recognition; detection takes one"):
        detect(model, "v.mp4", lambda frame: [])


def test_a_video_alone_is_told_where_to_go(root, model):
    with pytest.raises(UserError, match=r"jaxvid\.inference\.detect"):
        model.predict(str(root / "videos" / "val_000.mp4"))


# Data of one's own


def test_classes_of_ones_own_take_no_code(root, tmp_path):
    """Their names, in the csv; where nothing else is said, the true boxes are evaluated."""
    (tmp_path / "videos").symlink_to(root / "videos")
    for split in ("train", "val"):
        with (root / f"{split}.csv").open() as file:
            rows = [
                [name, float(time) - people.START, *box, people.CLASSES[int(label) - 1]]
                for name, time, *box, label, _ in csv.reader(file)
            ]
        with (tmp_path / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    config = fast_rcnn_own.get_config("mini")
    config.data.root = str(tmp_path)
    data = dataset.for_training(config.data)
    assert data.names == tuple(sorted(people.CLASSES))
    sample = data.splits["val"][3]
    assert sample["time"] == 2
    np.testing.assert_array_equal(sample["proposals"], sample["boxes"])
    pipeline = plug.load("data.recipes", config.data.recipe, split="val")
    for transform in pipeline:
        sample = transform(sample, np.random.default_rng(0))
    assert sample["video"].shape == (1, 4, 64, 160, 3)


# Mistakes in the data


def changed(root, tmp_path, old, new):
    """The config of the data with one text replaced in the csv of validation."""
    for name in ("videos", "names.txt", "train.csv", "train_proposals.pkl", "val_proposals.pkl"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "val.csv").write_text((root / "val.csv").read_text().replace(old, new))
    return make_config(tmp_path)


@pytest.mark.parametrize(
    "old,new,message",
    [
        ("val_002,901", "val_092,901", r"val\.csv:\d+: no such file: .*val_092"),
        ("val_002,901", "val_002,9x1", r'val\.csv:\d+: time is "9x1"; expected a number'),
    ],
)
def test_mistakes_are_found_before_anything_compiles(root, tmp_path, old, new, message):
    with pytest.raises(UserError, match=message):
        main.train(changed(root, tmp_path, old, new), tmp_path / "w")


def test_a_video_in_both_splits_is_found(root, tmp_path):
    config = make_config(root)
    config.data.val = people.split("train")
    with pytest.raises(UserError, match=r"train_000,0901 is also in training"):
        main.train(config, tmp_path / "w")


def test_proposals_that_fit_nothing_are_diagnosed(root, run, tmp_path):
    for name in ("videos", "names.txt", "val.csv"):
        (tmp_path / name).symlink_to(root / name)
    found = pickle.loads((root / "val_proposals.pkl").read_bytes())
    halved = {key: rows * np.array([0.5, 0.5, 0.5, 0.5, 1]) for key, rows in found.items()}
    (tmp_path / "val_proposals.pkl").write_bytes(pickle.dumps(halved))
    config = make_config(tmp_path)
    del config.data.train
    with logs(r"0% of the true boxes overlap a proposal by 0\.5 or more"):
        metrics = main.evaluate(config, tmp_path / "w", run[0])
    assert metrics["test/map"] < 0.05


# A feature bank


@pytest.fixture(scope="module")
def with_bank(root, run, tmp_path_factory):
    """A run that reads the banks that the first run has made."""
    c = make_config(root, canvas=people.SIZE, bank_window=4, bank_entries=2, bank_channels=64)
    c.model = dict(c.model, name="lfb", latent=8)
    c.epochs = 1.0
    for split in ("train", "val"):
        c.data[split].bank = "bank_{split}"
    for split in ("train", "val"):
        args = SimpleNamespace(checkpoint=str(run[0]), splits=split, least=0.9)
        make_bank.make(c, args)
    workdir = tmp_path_factory.mktemp("bank") / "w"
    metrics = main.train(c, workdir)
    return c, workdir, metrics


def test_a_bank_has_what_its_detector_sees(root, model, with_bank):
    folder = root / "bank_val"
    bank = feature_bank.read(folder, ["val_003"], [root / "val.csv"])
    assert bank.made["weights"] == model.identity
    found = bank.around("val_003", 901.0)
    assert found.times.tolist() == [0, 0, 1, 1]
    source = ava.build("val", root=str(root), **without_name(people.split("val")), num_classes=4)
    batch = model.batch({k: source[6][k] for k in ("path", "time", "proposals")})
    features = BoxFeatures(model)(batch)[0, :2]
    np.testing.assert_allclose(found.features[found.rows[:2]], features, rtol=2e-2, atol=1e-2)
    scores = model.step(model.variables, batch)["score"][0, :2]
    fc = model.variables["params"]["head"]["fc"]
    logits = features.astype("f4") @ fc["kernel"] + fc["bias"]
    np.testing.assert_allclose(jax.nn.sigmoid(logits), scores, atol=1e-2)


def test_prediction_makes_the_bank_of_its_video(root, run, with_bank):
    config, workdir, metrics = with_bank
    tested = main.evaluate(None, workdir, workdir)
    assert tested["test/map"] == pytest.approx(metrics["val/map"])
    dumped = np.load(workdir / "eval" / "predictions.npz")
    model = jaxvid.load(workdir)
    assert model.meta["bank"]["backbone"] == str(run[0].resolve())
    video = root / "videos" / "val_003.mp4"
    found = detect(model, video, root / "val_proposals.pkl", start=people.START)
    for moment, i in zip(found.moments, (6, 7), strict=True):
        want = -np.sort(-dumped["score"][i][:2], 1)[:, :3]
        np.testing.assert_allclose(moment.scores, want, rtol=1e-2)
    with pytest.raises(UserError, match="a feature bank is made by a detector that needs none"):
        BoxFeatures(model)
    config.data.recipe.bank_window = 0
    with pytest.raises(UserError, match="bank_window=0 does not use"):
        main.train(config, workdir.parent / "other")


def test_a_bank_of_other_weights_is_an_error(root, with_bank):
    _, workdir, _ = with_bank
    index = root / "bank_val" / "index.npz"
    with np.load(index) as found:
        arrays = dict(found)
    about = json.loads(str(arrays["about"]))
    np.savez(index, **arrays | {"about": json.dumps(about | {"weights": "0" * 12})})
    with pytest.raises(UserError, match="bank differ from those of training: weights was"):
        main.evaluate(None, workdir, workdir)
