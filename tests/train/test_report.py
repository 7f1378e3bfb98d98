"""The files of an evaluation: those of one test, and it says what it replaces."""

import json
from types import SimpleNamespace

import numpy as np

from jaxvid.train import report


class Source:
    def __init__(self, ids):
        self.ids = ids

    def __len__(self):
        return len(self.ids)

    def id(self, index):
        return self.ids[index]


def model(files, **recipe):
    found = SimpleNamespace(files=files, lines=[])
    return SimpleNamespace(
        config={"data": {"recipe": recipe}},
        task=SimpleNamespace(report=lambda *_: found),
        names=("a", "b"),
        source="runs/x/checkpoints/1",
        meta={},
    )


def write(folder, files, ids="ab", weights="one", **recipe):
    table = {"index": np.arange(len(ids))}
    report.write(folder, model(files, **recipe), Source(ids), table, {"test/top1": 1.0}, weights)


def test_an_evaluation_leaves_its_own_files_only(tmp_path, said):
    arrays = {"score": np.eye(2)}
    write(tmp_path, {"predictions.npz": arrays, "confusion.csv": [[1, 0], [0, 1]]})
    (tmp_path / "mine.txt").write_text("a user's own")
    write(tmp_path, {"predictions.npz": arrays, "results.json": {"a": 1}}, clips=2)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"predictions.npz", "results.json", "manifest.json", "mine.txt"}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["identity"], manifest["videos"], manifest["views"]) == ("one", 2, 2)
    with np.load(tmp_path / "predictions.npz") as stored:
        assert stored["views"] == 2
    assert "runs/x/checkpoints/1 on 2 videos: other preprocessing" in "".join(said)


def test_what_is_replaced_is_said(tmp_path, said):
    def replaced(**options):
        said.clear()
        write(tmp_path, {}, **options)
        return [line.strip() for line in said if "replaces" in line]

    before = "replaces the evaluation of runs/x/checkpoints/1 on"
    assert replaced() == []
    assert replaced() == []  # the same again
    assert replaced(ids="ba") == []  # in another order
    assert replaced(ids="abc") == [f"{before} 2 videos: other videos"]
    assert replaced(ids="abc", weights="two") == [f"{before} 3 videos: other weights"]
