"""The checks of a config's data as a command: what it prints, and when it fails."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxvid.data import dataset, source_checks
from jaxvid.data.annotations import manifests
from jaxvid.data.annotations.manifests import Row
from jaxvid.errors import UserError
from jaxvid.tools import check

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.mp4").touch()
    (tmp_path / "train.csv").write_text("a.mp4,run\nb.mp4,sit\nc.mp4,sit\n")
    (tmp_path / "val.csv").write_text("d.mp4,run\ne.mp4,sit\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """The command on the data of `folder`: exit code, output and errors without the folder."""
    command = [sys.executable, "-m", "jaxvid.tools.check", "--config", "configs/finetune.py:tiny"]
    command += [f"--config.data.root={folder}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    out, err = (text.replace(f"{folder}/", "") for text in (done.stdout, done.stderr))
    return done.returncode, out, err


def build(folder: Path) -> dataset.Dataset:
    clips = dict(name="user_clips")
    return dataset.build(root=str(folder), train=clips, val=clips, checks=())


def problems(folder: Path, manifest=None) -> dict[str, list[str]]:
    found = check.run_checks(build(folder), manifest)
    return {k: [line.replace(f"{folder}/", "") for line in v] for k, v in found.items() if v}


def test_good_data(folder):
    code, out, err = run(folder, "--classes")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line]
    assert lines[0] == ["split", "videos", "classes", "smallest", "median", "largest"]
    assert lines[1] == ["train", "3", "2", "of", "2", "1", "(run)", "1.5", "2", "(sit)"]
    assert lines[2][:5] == ["val", "2", "2", "of", "2"]
    assert ["0", "run", "1", "1"] in lines and ["1", "sit", "2", "1"] in lines
    checks = [line for line in lines if line[0] in check.MEANING]
    assert [line[0] for line in checks] == list(source_checks.CHECKS)
    assert all(line[-1] == "ok" for line in checks)


def test_everything_that_is_wrong_is_listed(folder):
    (folder / "c.mp4").unlink()
    with (folder / "train.csv").open("a") as file:
        file.write("a.mp4,run\na.mp4,sit\nd.mp4,run\n")
    assert problems(folder) == {
        "missing": ["train.csv:3: no such file: c.mp4"],
        "duplicates": [
            "train.csv:4: a.mp4 is listed twice (train.csv:1)",
            "train.csv:5: a.mp4 is listed twice (train.csv:1), with another label",
        ],
        "overlap": ["val.csv:1: d.mp4 is also in training (train.csv:6)"],
    }
    code, out, err = run(folder, "--lines", "1")
    assert (code, err) == (1, "error: 4 problems in the data\n")
    assert "missing" in out and "1 wrong" in out
    assert "  ... and 1 more; --lines shows more" in out.splitlines()
    assert "train.csv:5" not in out


def test_labels_and_empty_classes(folder):
    (folder / "train.csv").write_text("a.mp4,0\nb.mp4,5\nc.mp4,-1\n")
    (folder / "val.csv").write_text("d.mp4,2\n")
    found = problems(folder)
    assert [line.split(": ")[0] for line in found["labels"]] == ["train.csv:3"]
    assert len(found["empty"]) == 4


def test_a_third_split_overlaps_with_neither(folder):
    (folder / "test.csv").write_text("c.mp4,run\ne.mp4,sit\n")
    specs: Any = {s: dict(name="video_list", file=f"{s}.csv") for s in ("train", "val", "test")}
    data = dataset.build(root=str(folder), splits=tuple(specs), checks=(), **specs)
    lines = [line.replace(f"{folder}/", "") for line in check.run_checks(data)["overlap"]]
    assert lines == [
        "test.csv:1: c.mp4 is also in training (train.csv:3)",
        "test.csv:2: e.mp4 is also in val (val.csv:2)",
    ]


def test_the_manifest_knows_bad_files_and_copies(folder, tmp_path):
    path = folder / "m.csv"
    good = {name: Row(f"{name}.mp4", "ok", sha256=name) for name in "abcde"}
    bad = dataclasses.replace(good["b"], status="bad", reason="zero-byte file")
    copy = dataclasses.replace(good["e"], sha256="a")
    manifests.write(path, (good | {"b": bad, "e": copy}).values())
    assert problems(folder, manifests.read(path)) == {
        "unreadable": ["train.csv:2: b.mp4: zero-byte file"],
        "content": ["val.csv:2: e.mp4 has the content of a.mp4"],
    }
    manifests.write(path, [dataclasses.replace(row, sha256="") for row in good.values()])
    found = check.run_checks(build(folder), manifests.read(path))
    assert "unreadable" in found and "content" not in found  # no hashes, no answer
    code, out, _ = run(folder, "--manifest", str(path))
    assert code == 0 and "files are good, by the manifest" in out


def test_mistakes(folder):
    code, _, err = run(folder, "--config.data.rooot=x")
    assert (code, err) == (2, 'error: no config key "data.rooot". Did you mean "root"?\n')
    shutil.rmtree(folder / "none", ignore_errors=True)
    code, _, err = run(folder / "none")
    assert code == 1 and "no such folder" in err
    with pytest.raises(UserError, match=r"m\.csv: no such manifest"):
        manifests.read(folder / "m.csv")
