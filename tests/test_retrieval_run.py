"""Retrieval from captions to answers: train, evaluate, predict with any labels, search a folder."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxvid
from configs import clip4clip_msrvtt
from jaxvid import main, predict
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError
from jaxvid.inference.model import Model
from jaxvid.tools import retrieve
from tests.data.text.test_sentencepiece import CONTROL, NORMAL, UNIGRAM, UNKNOWN, message

pytestmark = pytest.mark.long

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240,) * 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Videos of one color each, somewhat noisy, and captions that name it."""
    root = tmp_path_factory.mktemp("colored")
    (root / "videos").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1)):
        captions = {}
        for name, color in COLORS.items():
            for i in range(count):
                video = f"{split}_{name}{i}.mp4"
                frames = np.full((6, 32, 32, 3), color) + rng.integers(-20, 20, (6, 32, 32, 3))
                write_video(root / "videos" / video, np.clip(frames, 0, 255).astype(np.uint8), 6.0)
                captions[video] = [f"a {name} video", f"everything is {name}"]
        (root / f"{split}.json").write_text(json.dumps(captions))
    return root


def tiny(root, **changes):
    c: Any = clip4clip_msrvtt.get_config()
    c.dtype, c.model.variant = "float32", "mini"
    c.data.root = str(root)
    c.data.train.file, c.data.val.file = "train.json", "val.json"
    c.data.recipe.update(
        dict(frames=2, size=32, short_side=32, length=12, templates=("a {} video",))
    )
    c.optim.update(dict(lr=3e-3, base_batch=8, weight_decay=0.0, freeze=()))
    c.batch, c.epochs, c.eval_every, c.save_every = 8, 20.0, 20.0, 0
    c.loader.workers = 0
    c.update(changes)
    return c


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run and its last metrics."""
    folder = tmp_path_factory.mktemp("run") / "w"
    return folder, main.train(tiny(data), folder)


def test_it_learns_to_tell_videos_by_text_and_texts_by_video(run):
    _, metrics = run
    assert metrics["val/n"] == 4
    assert metrics["val/t2v_r1"] >= 0.5  # chance is 0.25
    assert metrics["val/v2t_r1"] >= 0.5
    assert metrics["val/t2v_median_rank"] <= 2


@pytest.mark.slow
def test_siglip_learns_from_single_pairs_and_from_frames_of_any_shape(data, tmp_path):
    """SigLIP 2 NaFlex, with a vocabulary of its own; then it names videos."""
    words = [f"\u2581{word}" for word in ("a", "video", "everything", "is", *COLORS)]
    pieces = [("<unk>", 0.0, UNKNOWN), ("</s>", 0.0, CONTROL)]
    pieces += [(word, -float(i), NORMAL) for i, word in enumerate(words)]
    (tmp_path / "spiece.model").write_bytes(message(pieces, UNIGRAM, True))
    config = tiny(data)
    config.model = dict(name="siglip2", variant="test")
    names = dict(vocabulary=str(tmp_path / "spiece.model"), length=8, patches=18, patch=4)
    config.data.recipe.update(names)
    metrics = main.train(config, tmp_path / "run")
    assert metrics["val/t2v_r1"] >= 0.5  # chance is 0.25
    model = jaxvid.load(tmp_path / "run")
    found = model.predict(data / "videos" / "val_red0.mp4", labels=list(COLORS))
    assert set(found.labels) == COLORS.keys()
    batch = model.read(data / "videos" / "val_red0.mp4")
    assert batch["video"].shape == (1, 2, 18, 16, 3)
    assert batch["grid"].tolist() == [4, 4]
    assert np.isfinite(model.features(data / "videos" / "val_red0.mp4")).all()


def test_evaluation_of_the_saved_model_says_the_same(run, tmp_path):
    folder, metrics = run
    tested = main.evaluate(None, tmp_path, folder)
    for key in ("t2v_r1", "v2t_r1", "t2v_mean_rank"):
        assert tested[f"test/{key}"] == pytest.approx(metrics[f"val/{key}"])
    with (tmp_path / "eval" / "ranks.csv").open() as file:
        assert len(list(csv.reader(file))) == 5
    with np.load(tmp_path / "eval" / "predictions.npz") as stored:
        assert stored["text"].shape == (4, 2, 32)


def test_any_labels_do(run, data):
    model = jaxvid.load(run[0])
    videos = [data / "videos" / f"val_{name}0.mp4" for name in COLORS]
    labels = sorted(COLORS)
    found = model.predict(videos, labels=labels)
    right = [f.labels[0] == name for f, name in zip(found, COLORS, strict=True)]
    assert sum(right) >= 2
    assert sum(found[0].scores) == pytest.approx(1)
    assert len(model.predict(videos[0], labels=labels, topk=2).labels) == 2
    with pytest.raises(UserError, match="give it labels"):
        model.predict(videos[0])


@pytest.mark.parametrize(
    "labels,problem",
    [
        ("golf", "give a list of texts"),
        (None, "give a list of texts"),
        ([""], "number 1 is '', not a text"),
        (["a", 3], "number 2 is 3, not a text"),
        (["a", "\ud800"], "number 2, .* is not Unicode"),
        (["a", "b", "a"], '"a" is there twice'),
    ],
)
def test_wrong_labels_are_refused(run, data, labels, problem):
    video = data / "videos" / "val_red0.mp4"
    with pytest.raises(UserError, match=f"^labels.*{problem}"):
        jaxvid.load(run[0]).predict(video, labels=labels)


@pytest.mark.parametrize("topk", [0, -1, 1.5])
def test_a_wrong_number_of_labels_is_refused(run, data, topk):
    with pytest.raises(UserError, match=f"topk={topk}: give a number of at least 1"):
        jaxvid.load(run[0]).predict(data / "videos" / "val_red0.mp4", topk=topk)


def test_texts_that_are_too_long_are_counted(run, caplog):
    model = jaxvid.load(run[0])
    with caplog.at_level("INFO", logger="jaxvid"):
        model.texts(captions=("red " * 10, "red"))
        assert "texts are cut" not in caplog.text
        model.texts(captions=("red " * 11, "red"))
    assert "1 of 2 texts are cut to 12 tokens" in caplog.text
    with pytest.raises(UserError, match="either captions= or labels="):
        model.texts(names=("red",))


def test_class_names_of_its_own_are_the_labels_and_are_read_once(run, data, monkeypatch):
    model = jaxvid.load(run[0])
    model.names = tuple(sorted(COLORS))
    video = data / "videos" / "val_red0.mp4"
    found = model.predict(video)
    assert set(found.labels) <= set(COLORS)
    monkeypatch.setattr(Model, "texts", None)
    assert model.predict(video) == found


def test_texts_are_the_same_one_by_one_and_many_at_once(run):
    model = jaxvid.load(run[0])
    texts = [f"{name} {word}" for name in COLORS for word in "abcdefghijklmnopqrst"]
    many = model.texts(captions=texts)
    assert many.shape == (80, 32)
    alone = np.concatenate([model.texts(captions=(text,)) for text in texts[::16]])
    np.testing.assert_allclose(many[::16], alone, atol=1e-5)


def test_the_command_takes_labels(run, data, capsys):
    video = data / "videos" / "val_red0.mp4"
    assert predict.main([str(video), f"--checkpoint={run[0]}", "--labels", "red", "blue"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(video)
    assert {line.split()[-1] for line in lines[1:]} == {"red", "blue"}


def search(query, folder, run, capsys, *more, code=0):
    found = retrieve.main([query, str(folder), f"--checkpoint={run[0]}", *more])
    out, err = capsys.readouterr()
    assert found == code, err
    return [Path(line.split()[-1]).name for line in out.splitlines()], err


def test_a_folder_is_searched_and_its_index_is_kept(run, data, tmp_path, capsys, monkeypatch):
    folder, file = tmp_path / "videos", tmp_path / "index"
    folder.mkdir()
    for name in ("red", "blue", "green"):
        (folder / f"{name}.mp4").write_bytes((data / "videos" / f"val_{name}0.mp4").read_bytes())
    index = f"--index={file}"
    want = {
        name: search(f"a {name} video", folder, run, capsys, index)[0] for name in ("red", "blue")
    }
    assert all(len(found) == 3 for found in want.values())
    assert sum(found[0] == f"{name}.mp4" for name, found in want.items()) >= 1

    read, seen = Model.read, []

    def watched(self, video, *more):
        seen.append(Path(video).name)
        return read(self, video, *more)

    monkeypatch.setattr(Model, "read", watched)
    assert search("a red video", folder, run, capsys, index, "--topk=2")[0] == want["red"][:2]
    assert seen == []
    (folder / "blue.mp4").write_bytes((data / "videos" / "val_white0.mp4").read_bytes())
    (folder / "green.mp4").unlink()
    (folder / "broken.mp4").write_bytes(b"no video")
    found, err = search("a red video", folder, run, capsys, index, code=1)
    assert sorted(seen) == ["blue.mp4", "broken.mp4"]
    assert sorted(found) == ["blue.mp4", "red.mp4"]
    assert "1 videos cannot be read" in err
    assert "broken.mp4" in err


def test_an_index_of_other_weights_is_refused(run, data, tmp_path, capsys):
    index = tmp_path / "index"
    search("red", data / "videos", run, capsys, f"--index={index}")
    about = json.loads((index / "index.json").read_text())
    (index / "index.json").write_text(json.dumps(about | {"weights": "123456789abc"}))
    _, err = search("red", data / "videos", run, capsys, f"--index={index}", code=1)
    assert f"index: an index of other weights (123456789abc of {run[0]}" in err
    assert retrieve.default_index(data, "one") != retrieve.default_index(data, "two")


def test_what_is_no_index_is_said(run, data, tmp_path, capsys):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    index = f"--index={tmp_path}/x.npz"
    _, err = search("red", data / "videos", run, capsys, index, code=1)
    assert "x.npz: an index of videos is a folder" in err
    _, err = search(" ", data / "videos", run, capsys, code=1)
    assert "the query is empty" in err
