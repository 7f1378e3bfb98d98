"""Language grounding: train on sentences, evaluate, and find what a query describes."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import jaxvid
from configs import drn_own
from jaxvid import main
from jaxvid.data.annotations import feature_files
from jaxvid.data.synthetic import untrimmed
from jaxvid.errors import UserError
from jaxvid.inference.localize import localize
from jaxvid.tools import localize as command

WORDS = "jumps", "sits", "waves"
CHANNELS = 8


def write_split(root: Path, split: str, count: int) -> None:
    """Features of 16 rows, one a second: each action has a direction of its own."""
    rng = np.random.default_rng([7, len(split)])
    directions = 3 * np.random.default_rng(7).standard_normal((len(WORDS), CHANNELS))
    (root / "features").mkdir(exist_ok=True)
    rows = [("video", "start", "end", "sentence")]
    for i in range(count):
        feature = rng.standard_normal((16, CHANNELS))
        for place, word in enumerate(rng.permutation(len(WORDS))):
            start = 5 * place + int(rng.integers(0, 2))
            end = start + int(rng.integers(2, 5))
            feature[start:end] += directions[word]
            rows.append((f"{split}_{i}", start, end, f"a man {WORDS[word]}."))
        made = feature_files.Made("made up", 1, 1, every=1, fps=1.0, channels=CHANNELS)
        feature_files.write(root / "features" / f"{split}_{i}.npz", feature, made)
    with (root / f"{split}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("sentences")
    for split, count in (("train", 48), ("val", 8)):
        write_split(root, split, count)
    return root


@pytest.fixture(scope="module")
def workdir(data, tmp_path_factory):
    c = drn_own.get_config("mini")
    c.data.root, c.data.recipe.length = str(data), 4
    c.epochs, c.eval_every, c.loader.workers = 12.0, 12.0, 0
    folder = tmp_path_factory.mktemp("run") / "w"
    metrics = main.train(c, folder)
    assert metrics["val/r1_iou50"] > 0.6
    return folder


@pytest.mark.slow
def test_the_report_compares_with_chance(workdir, capsys):
    main.evaluate(None, workdir, workdir)
    text = capsys.readouterr().out
    ours, chance = re.findall(r"^  r1_iou50 +([\d.]+)%  \(([\d.]+)%\)", text, re.MULTILINE)[0]
    assert float(ours) > 2 * float(chance)
    found = json.loads((workdir / "eval" / "predictions.json").read_text())["results"]
    assert len(found) == 24
    assert all(0 < len(rows) <= 5 for rows in found.values())


@pytest.mark.slow
def test_a_query_finds_its_part(workdir, data, tmp_path, capsys):
    with (data / "val.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = jaxvid.load(workdir)
    assert model.names == ("a", "man", "jumps", "sits", "waves")
    close = 0
    for row in rows:
        path = data / "features" / f"{row['video']}.npz"
        found = localize(model, path, query=row["sentence"])
        assert found.labels == (row["sentence"],) * len(found.scores)
        middle = sum(found.segments[0]) / 2
        close += float(row["start"]) < middle < float(row["end"])
    assert close > 0.7 * len(rows)

    given = [str(path), f"--checkpoint={workdir}", "--json"]
    out = f"--out={tmp_path}/timeline.png"
    assert command.main([*given, "--query=A man waves!", "--topk=2", out]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["query"] == "A man waves!" and len(printed["segments"]) == 2
    assert json.loads((tmp_path / "timeline.json").read_text()) == printed
    assert command.main([*given, "--query=a man sits", "--window=8"]) == 0
    for wrong, message in (
        ([], "give it with --query"),
        (["--query=  "], "give it with --query"),
        (["--query=two cats sleep"], "knows none of the words"),
    ):
        assert command.main([*given, *wrong]) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(UserError, match="give a query"):
        model.predict(path)


@pytest.mark.long
def test_sentences_of_generated_videos(tmp_path):
    root = untrimmed.generate(tmp_path / "set", train=1, val=1, sentences=True)
    videos = json.loads((root / "train.json").read_text())
    actions = [a for video in videos.values() for a in video["annotations"]]
    assert len({a["label"] for a in actions}) == len(actions)
    with (root / "train.csv").open() as file:
        rows = [(float(r["start"]), float(r["end"]), r["sentence"]) for r in csv.DictReader(file)]
    assert rows == [(*a["segment"], a["sentence"]) for a in actions]
