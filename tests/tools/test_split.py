"""Folders of classes divided into lists: shares, seeds, groups that stay together."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data import dataset
from jaxvid.data.sources import user_clips
from jaxvid.errors import UserError
from jaxvid.tools import split


def touch(folder: Path, **classes: list[str] | int) -> Path:
    """Empty files `folder/CLASS/NAME.mp4`: nothing here opens a video."""
    for label, names in classes.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for name in range(names) if isinstance(names, int) else names:
            (folder / label / f"{name}.mp4").touch()
    return folder


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["path", "label"]
    return lines


def test_lists_cover_every_video_once_and_train(tmp_path, capsys):
    folder = touch(tmp_path, run=20, jump=10, **{"sit, down": 5})
    assert split.main([str(folder), "--val", "0.2", "--test", "0.2"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[1][:3] == ["train.csv", "21", "60.0%"]
    assert " ".join(printed[-1]) == f"wrote train.csv, val.csv, test.csv in {folder}"
    lists = {name: rows(folder / f"{name}.csv") for name in ("train", "val", "test")}
    paths = [path for each in lists.values() for path, _ in each]
    assert len(paths) == len(set(paths)) == 35
    assert all(path.startswith(f"{label}/") for each in lists.values() for path, label in each)
    counts = {name: Counter(label for _, label in each) for name, each in lists.items()}
    assert counts["train"] == {"run": 12, "jump": 6, "sit, down": 3}
    assert counts["val"] == counts["test"] == {"run": 4, "jump": 2, "sit, down": 1}
    data = dataset.build(
        root=str(folder), train=dict(name="user_clips"), val=dict(name="user_clips")
    )
    assert data.names == ("jump", "run", "sit, down")
    assert {name: len(source) for name, source in data.splits.items()} == {"train": 21, "val": 7}


def test_a_seed_divides_in_one_way(tmp_path):
    folder = touch(tmp_path / "clips", run=30)
    drawn = []
    for k, seed in enumerate((0, 0, 1)):
        split.run(folder, seed=seed, out=tmp_path / str(k))
        drawn.append(rows(tmp_path / str(k) / "val.csv"))
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != [[f"../clips/run/{k}.mp4", "run"] for k in range(24, 30)]  # not by name
    found = (tmp_path / "0" / drawn[0][0][0]).resolve()
    assert found.parent == folder / "run" and found.exists()


@pytest.mark.parametrize("count,val", [(1, 0), (2, 1), (3, 1), (4, 1), (7, 1), (8, 2), (13, 3)])
def test_small_classes(tmp_path, count, val):
    """The nearest whole number, but one at least where two are."""
    found = split.run(touch(tmp_path, run=count, jump=10), val=0.2)
    assert (found["train"]["run"], found["val"]["run"]) == (count - val, val)


def test_groups_stay_together(tmp_path):
    """Eight clips of each recording, as in UCF101."""
    names = [f"v_g{g:02}_c{c}" for g in range(10) for c in range(8)]
    folder = touch(tmp_path, run=names, jump=names)
    found = split.run(folder, val=0.3, group=r"(run|jump).*_(g\d+)")
    groups = {
        name: {(label, path.split("_")[1]) for path, label in rows(folder / f"{name}.csv")}
        for name in found
    }
    assert not groups["train"] & groups["val"] and len(groups["train"] | groups["val"]) == 20
    assert found["val"] == {"run": 24, "jump": 24}
    # One person in both classes: what the expression finds is the same there.
    found = split.run(folder, val=0.3, group=r"g\d+", overwrite=True)
    persons = [{path.split("_")[1] for path, _ in rows(folder / f"{n}.csv")} for n in found]
    assert not persons[0] & persons[1]
    assert found["val"] == {"run": 24, "jump": 24}


def test_uneven_groups_come_near_the_shares():
    rng = np.random.default_rng(0)
    for seed in range(5):
        groups = rng.integers(0, 40, 400) ** 2 // 40  # of 5 to 70 videos
        labels = (groups + rng.integers(0, 3, 400)) % 6
        chosen = split.assign(labels, groups.tolist(), (0.7, 0.2, 0.1), seed)
        for group in set(groups.tolist()):
            assert len(set(chosen[groups == group].tolist())) == 1
        shares = np.bincount(chosen, minlength=3) / 400
        np.testing.assert_allclose(shares, (0.7, 0.2, 0.1), atol=0.04)


def test_lists_that_are_there_stay(tmp_path, capsys):
    folder = touch(tmp_path, run=5)
    (folder / "val.csv").write_text("mine")
    assert split.main([str(folder)]) == 1
    assert "val.csv already exists; --overwrite replaces it" in capsys.readouterr().err
    assert not (folder / "train.csv").exists()
    assert split.main([str(folder), "--overwrite"]) == 0
    assert len(rows(folder / "val.csv")) == 1


@pytest.mark.parametrize(
    "options,message",
    [
        ({"val": 0.0}, "--val=0.0 --test=0.0: shares are above 0"),
        ({"val": 0.7, "test": 0.3}, "leave some to train on"),
        ({"group": "g("}, r"--group=g\(: not a regular expression"),
        ({"group": r"g\d"}, r'run/0\.mp4: --group="g\\d" does not match this path'),
    ],
)
def test_mistakes(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        split.run(touch(tmp_path, run=3), **options)


def test_nothing_to_divide(tmp_path):
    with pytest.raises(UserError, match="/none: no such folder"):
        split.run(tmp_path / "none")
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="no videos in its sub-folders"):
        split.run(tmp_path)


@pytest.mark.parametrize("names", [["5", "7", "10"], ["0", "1", "2"], ["1.5", "2.0", "10.0"]])
def test_classes_called_by_numbers_come_back(tmp_path, names):
    for name in names:
        for k in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{k}.mp4").touch()
    split.run(tmp_path)
    for part in ("train", "val"):
        source = user_clips.build(part, root=str(tmp_path))
        assert set(source.names) == set(names)
        for path, label in zip(source.paths, source.labels.tolist(), strict=True):
            assert Path(path).parent.name == source.names[label]
    with pytest.raises(UserError, match="already exists"):
        split.run(tmp_path)


def test_names_that_look_like_comments_and_tables_come_back(tmp_path):
    for name in ("#run", 'a "b", c', " x"):
        for k in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"#{k};0.mp4").touch()
    split.run(tmp_path)
    found = [user_clips.build(part, root=str(tmp_path)) for part in ("train", "val")]
    assert sum(map(len, found)) == 15
    assert all(os.path.exists(path) for source in found for path in source.paths)
