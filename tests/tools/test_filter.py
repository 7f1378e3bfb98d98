"""The filter of web data by a teacher: what is kept, under which class, and what it reports."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxvid.data.sources import video_list
from jaxvid.tools import filter as tool

NAMES = ("run", "jump", "swim")
SCORE = np.float32([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
LABEL = np.array([0, 0, 2, 1])


@pytest.fixture
def dump(tmp_path):
    ids = np.array([f"/data/{i}.jpg" for i in range(4)])
    path = tmp_path / "predictions.npz"
    np.savez(path, score=SCORE, label=LABEL, id=ids, names=np.array(NAMES))
    return path


@pytest.mark.parametrize(
    "labels,want,scores",
    [
        ("own", [("0", "run"), ("2", "swim")], [0.7, 0.8]),
        ("predicted", [("0", "run"), ("1", "jump"), ("2", "swim")], [0.7, 0.5, 0.8]),
    ],
)
def test_samples_with_a_high_score_are_kept(dump, tmp_path, capsys, labels, want, scores):
    out = tmp_path / "kept.csv"
    flags = ["--predictions", str(dump), "--threshold", "0.5", "--out", str(out)]
    assert tool.main([*flags, "--labels", labels]) == 0
    beside = str(tmp_path / "kept_scores.txt")
    kept = video_list.build("train", root="", file=str(out), names=NAMES, weights=beside)
    assert [(Path(p).stem, NAMES[i]) for p, i in zip(kept.paths, kept.labels, strict=True)] == want
    np.testing.assert_allclose(kept.repeats, np.array(scores) / np.mean(scores), rtol=1e-5)
    printed = capsys.readouterr().out
    assert f"kept {len(want)} of 4 samples" in printed
    if labels == "own":
        assert (
            "fewest: jump 0 of 1, run 1 of 2" in printed and "1 classes have no sample" in printed
        )


def test_a_teacher_scores_a_list(tmp_path, monkeypatch, capsys):
    """What it cannot read is left out and reported."""
    (tmp_path / "list.csv").write_text("a.png,run\nb.png,jump\ngone.png,run\n")

    def scores(path):
        if "gone" in path:
            raise tool.VideoError(path, "no such file")
        return SCORE[0]

    teacher = SimpleNamespace(names=NAMES, scores=scores)
    monkeypatch.setattr(tool, "load", lambda checkpoint: teacher)
    flags = ["--list", str(tmp_path / "list.csv"), "--root", str(tmp_path), "--checkpoint", "t"]
    assert tool.main([*flags, "--threshold", "0.5", "--out", str(tmp_path / "kept.csv")]) == 0
    assert (tmp_path / "kept.csv").read_text() == f"{tmp_path / 'a.png'},run\n"
    printed = capsys.readouterr().out
    assert "left out:" in printed and "kept 1 of 2 samples" in printed


@pytest.mark.parametrize(
    "flags,words",
    [
        (["--threshold", "2"], "--threshold=2: it must be from 0 to 1"),
        (["--threshold", "0.5", "--list", "x"], "give either --predictions, or --list and"),
        (["--threshold", "0.9"], "no sample has a score of 0.9; the highest is 0.800"),
    ],
)
def test_mistakes_are_one_line(dump, tmp_path, capsys, flags, words):
    given = [] if "--list" in flags else ["--predictions", str(dump)]
    assert tool.main([*given, *flags, "--out", str(tmp_path / "kept.csv")]) == 1
    assert words in capsys.readouterr().err
