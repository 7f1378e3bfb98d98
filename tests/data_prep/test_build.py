"""`python -m data_prep.build`: what is stored, what is left out, and builds that were stopped."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import build, shards
from data_prep.clips import Clip, Frames, Videos
from jaxvid.data.sources import tfds as source
from jaxvid.errors import UserError
from tests.data_prep import fakes

ROOT = Path(__file__).parents[2]
CLASSES = ("ApplyEyeMakeup", "Archery", "YoYo")
NUMBERS = {"ApplyEyeMakeup": 0, "Archery": 2, "YoYo": 100}
TRAIN = fakes.ucf101_clips(CLASSES, range(8, 12))
VAL = fakes.ucf101_clips(CLASSES, range(1, 3))
NAME = "ucf101/split1"


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    fakes.ucf101(folder, TRAIN, VAL)
    return folder


def run(raw: Path, data: Path, *more: str, name: str = NAME):
    build.main([name, "--data-dir", str(data), "--source", str(raw), *more])


def content(data: Path, split: str, name: str = NAME) -> dict[str, tuple[int, bytes]]:
    """{id: (label, video)} as TFDS itself reads it."""
    folder = data / name / "1.0.0"
    made: Any = tfds.builder_from_directory(folder)
    rows = made.as_data_source(split)
    return {row["id"].decode(): (int(row["label"]), row["video"]) for row in rows}


def expected(raw: Path, paths: list[str]) -> dict[str, tuple[int, bytes]]:
    return {
        path: (NUMBERS[path.split("/")[0]], (raw / "UCF-101" / path).read_bytes()) for path in paths
    }


def test_every_listed_video_is_stored_byte_for_byte(raw, tmp_path, capsys):
    run(raw, tmp_path)
    assert content(tmp_path, "train") == expected(raw, TRAIN)
    assert content(tmp_path, "val") == expected(raw, VAL)
    said = capsys.readouterr().out
    assert f"train: {len(TRAIN)} clips of 9,537" in said
    assert "missing" not in said and "twice" not in said


def test_it_reads_back_as_videos(raw, tmp_path):
    run(raw, tmp_path)
    rows = source.build("val", root=str(tmp_path), dataset=NAME)
    assert sorted(rows.id(i) for i in range(len(rows))) == sorted(VAL)
    for i in range(len(rows)):
        assert rows.names[rows.labels[i]] == rows.id(i).split("/")[0]
        with rows[i]["reader"] as reader:
            video = reader[:]
        assert video.shape == (fakes.FRAMES, 16, 16, 3)
        assert abs(video.astype(int) - fakes.level(rows.id(i))).max() <= 4


def test_the_order_is_random_but_the_same_everywhere(raw, tmp_path):
    orders = []
    for data in (tmp_path / "a", tmp_path / "b"):
        run(raw, data)
        rows = source.build("train", root=str(data), dataset=NAME)
        orders.append([rows.id(i) for i in range(len(rows))])
    assert orders[0] == orders[1] != sorted(TRAIN)
    # No class comes in one run.
    classes = [name.split("/")[0] for name in orders[0]]
    assert sum(a != b for a, b in itertools.pairwise(classes)) > len(CLASSES)


def test_what_is_missing_or_empty_is_left_out_and_listed(raw, tmp_path, capsys):
    for path in (raw / "UCF-101").rglob("*"):
        copy = tmp_path / "raw/UCF-101" / path.relative_to(raw / "UCF-101")
        if path.is_dir():
            copy.mkdir(parents=True)
        elif path.name != Path(TRAIN[1]).name:
            copy.write_bytes(path.read_bytes() if path.name != Path(TRAIN[2]).name else b"")
    for path in (raw / "ucfTrainTestlist").iterdir():
        more = f"{TRAIN[0]} 1\n" if path.name == "trainlist01.txt" else ""
        fakes.text(tmp_path / "raw/ucfTrainTestlist" / path.name, path.read_text() + more)
    run(tmp_path / "raw", tmp_path / "data")
    assert content(tmp_path / "data", "train") == expected(raw, [TRAIN[0], *TRAIN[3:]])
    missing = tmp_path / "data" / NAME / "1.0.0" / "missing-train.txt"
    assert missing.read_text().split() == sorted(TRAIN[1:3])
    assert not missing.with_name("missing-val.txt").exists()
    said = capsys.readouterr().out
    assert (
        f"2 missing, such as {TRAIN[1]}" in said and f"1 listed twice, such as {TRAIN[0]}" in said
    )


def test_a_second_build_does_nothing(raw, tmp_path, capsys):
    run(raw, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    capsys.readouterr()
    run(raw, tmp_path)
    assert "is built already" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_data_set_knows_what_it_was_built_from(raw, tmp_path, capsys):
    copy = tmp_path / "raw"
    fakes.ucf101(copy, TRAIN, VAL)
    run(copy, tmp_path)
    moved = copy.rename(tmp_path / "moved")
    run(moved, tmp_path)  # the same files at another place
    assert "is built already" in capsys.readouterr().out
    (moved / "UCF-101" / VAL[0]).write_bytes(b"another video")
    message = (
        r"val had 6 clips \([0-9a-f]{12}\), now 6 \([0-9a-f]{12}\); delete it to build it again"
    )
    with pytest.raises(UserError, match=message):
        run(moved, tmp_path)
    (moved / "UCF-101" / VAL[0]).unlink()
    with pytest.raises(UserError, match=r"val had 6 clips .*, now 5 "):
        run(moved, tmp_path)


def test_one_build_at_a_time(raw, tmp_path, monkeypatch):
    write = shards.write

    def again(shard, **options):
        monkeypatch.setattr(shards, "write", write)
        with pytest.raises(UserError, match=rf"in use by process {os.getpid()} on .*wait for that"):
            run(raw, tmp_path)
        write(shard, **options)

    monkeypatch.setattr(shards, "write", again)
    run(raw, tmp_path)
    assert content(tmp_path, "val") == expected(raw, VAL)


# Stopped builds


def one_clip_a_shard(monkeypatch):
    monkeypatch.setattr(shards, "BYTES", 1)


def left_over(data: Path) -> list[Path]:
    return [p for p in (data / NAME).rglob("*") if "incomplete" in str(p)]


def test_a_build_that_failed_goes_on(raw, tmp_path, monkeypatch):
    one_clip_a_shard(monkeypatch)
    read, seen, fail = Videos.read, [], 5

    def failing(self, clip):
        if len(seen) == fail:
            raise OSError(5, "Input/output error")
        seen.append(clip.path)
        return read(self, clip)

    monkeypatch.setattr(Videos, "read", failing)
    with pytest.raises(
        UserError, match=r"\.avi: Input/output error; fix this and run the same command again"
    ):
        run(raw, tmp_path)
    with pytest.raises(UserError, match="no such data set"):
        source.build("train", root=str(tmp_path), dataset=NAME)
    fail = -1
    run(raw, tmp_path)
    assert sorted(seen) == sorted([*TRAIN, *VAL])  # none was read twice
    assert content(tmp_path, "train") == expected(raw, TRAIN)
    assert content(tmp_path, "val") == expected(raw, VAL)
    assert left_over(tmp_path) == []


def test_a_full_disk_is_one_line_and_takes_no_room(raw, tmp_path, monkeypatch):
    one_clip_a_shard(monkeypatch)

    class Full(shards.ArrayRecordWriter):
        def close(self):
            super().close()
            raise RuntimeError("write() failed: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "ArrayRecordWriter", Full)
        with pytest.raises(
            UserError, match=r"No space left on device; fix this and run the same command again"
        ):
            run(raw, tmp_path)
    assert [p for p in left_over(tmp_path) if p.is_file()] == []
    run(raw, tmp_path)
    assert content(tmp_path, "train") == expected(raw, TRAIN)


def test_a_killed_build_goes_on_and_clears_up(raw, tmp_path, monkeypatch):
    script = (
        "import os, signal; from data_prep import build, shards; shards.BYTES = 1;"
        "write, done = shards.write, []\n"
        "def killed(shard, **k):\n"
        "    write(shard, **k); done.append(shard)\n"
        "    if len(done) == 4:\n"
        "        open(shard.path + '.1.part', 'w').write('half'); os.kill(os.getpid(), 9)\n"
        "shards.write = killed\n"
        f"build.main({[NAME, '--data-dir', str(tmp_path), '--source', str(raw)]})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    kept = {p.name: p.stat().st_ino for p in left_over(tmp_path) if p.name[-5:].isdigit()}
    assert len(kept) == 4
    with pytest.raises(UserError, match="no such data set"):
        source.build("train", root=str(tmp_path), dataset=NAME)
    one_clip_a_shard(monkeypatch)
    run(raw, tmp_path)
    folder = tmp_path / NAME / "1.0.0"
    assert {name: (folder / name).stat().st_ino for name in kept} == kept
    assert content(tmp_path, "train") == expected(raw, TRAIN)
    assert left_over(tmp_path) == []


def test_a_build_of_changed_files_starts_anew(raw, tmp_path, monkeypatch):
    one_clip_a_shard(monkeypatch)
    fakes.ucf101(tmp_path / "raw", TRAIN, VAL)
    write = shards.write

    def stop(shard, **options):
        write(shard, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "raw", tmp_path)
    assert left_over(tmp_path)
    for path in TRAIN:
        (tmp_path / "raw/UCF-101" / path).write_bytes(b"another video")
    monkeypatch.setattr(shards, "write", write)
    run(tmp_path / "raw", tmp_path)
    assert content(tmp_path, "train") == expected(tmp_path / "raw", TRAIN)
    assert left_over(tmp_path) == []


# Shards


@pytest.mark.parametrize(
    "sizes,cuts",
    [
        ((5, 5, 5), [(0, 2), (2, 3)]),
        ((11, 1, 9, 1), [(0, 1), (1, 3), (3, 4)]),
        ((1, 20), [(0, 1), (1, 2)]),
        ((10,), [(0, 1)]),
    ],
)
def test_shards_hold_what_fits(sizes, cuts):
    assert shards.Split((), sizes, (), ()).cuts(10) == cuts


def test_several_shards_read_as_one(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BYTES", round(5.5 * len(fakes.encoded(16, ".avi"))))
    run(raw, tmp_path)
    files = list((tmp_path / NAME / "1.0.0").glob("ucf101-train.array_record-*"))
    assert len(files) == 3 and len(TRAIN) == 12  # 5, 5 and 2
    assert content(tmp_path, "train") == expected(raw, TRAIN)
    rows = source.build("train", root=str(tmp_path), dataset=NAME)
    for i in range(len(rows)):
        assert rows.record(i)["id"].decode() == rows.id(i)
        assert rows.record(i)["label"] == rows.labels[i]


def test_frames_end_at_the_first_gap(tmp_path):
    fakes.frames(tmp_path, ["a"])
    clip, content = Clip(str(tmp_path), "a", (0,)), Frames("{:05}.jpg")
    assert len(content.read(clip)["frames"]) == fakes.FRAMES
    os.remove(tmp_path / "a/00003.jpg")
    assert [len(content.read(clip)["frames"]), len(list(content.files(clip)))] == [2, 2]
    os.remove(tmp_path / "a/00001.jpg")
    assert content.size(clip) == 0
    assert content.size(Clip(str(tmp_path), "b", (0,))) == 0


# What is wrong


def test_a_label_out_of_range(tmp_path):
    fakes.videos(tmp_path / "rgb", ["a.mp4"])
    for name in ("train", "test"):
        fakes.json_text(tmp_path / f"Diving48_V2_{name}.json", [{"vid_name": "a", "label": 48}])
    with pytest.raises(UserError, match=r"a\.mp4: label 48 is outside 0\.\.47"):
        run(tmp_path, tmp_path / "data", name="diving48")


@pytest.mark.parametrize(
    "name,message",
    [
        ("ucf10", 'no data set "ucf10". Did you mean "ucf101"'),
        ("ucf101/split4", 'no config "split4". Did you mean "split'),
        ("kinetics/k40", 'no config "k40". Did you mean "k400"'),
    ],
)
def test_an_unknown_name_is_an_error_with_a_hint(raw, tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        run(raw, tmp_path, name=name)


def test_a_source_that_is_not_there(tmp_path):
    for name in ("nowhere", "empty"):
        with pytest.raises(UserError, match=rf"--source=.*{name}: no such folder, or an empty"):
            run(tmp_path / name, tmp_path / "data")
        (tmp_path / "empty").mkdir(exist_ok=True)
    fakes.text(tmp_path / "other/README")
    with pytest.raises(UserError, match="other: there is no UCF-101 or videos in it"):
        run(tmp_path / "other", tmp_path / "data")
    assert not (tmp_path / "data" / NAME / "1.0.0").exists()


def test_no_clip_of_a_split_is_an_error(tmp_path):
    fakes.ucf101(tmp_path, TRAIN, VAL)
    for path in VAL:
        os.remove(tmp_path / "UCF-101" / path)
    with pytest.raises(UserError, match="no clip of val is there"):
        run(tmp_path, tmp_path / "data")


def test_only_array_record(tmp_path):
    made = build.builder("ucf101", tmp_path)
    with pytest.raises(UserError, match='file_format="tfrecord"'):
        type(made)(data_dir=str(tmp_path), file_format="tfrecord")


# Other ways to run a builder


def test_on_beam(raw, tmp_path):
    pytest.importorskip("apache_beam", reason="needs Apache Beam, an extra of its own")
    run(raw, tmp_path / "beam", "--beam", "runner=DirectRunner")
    run(raw, tmp_path / "here")
    for split in ("train", "val"):
        assert content(tmp_path / "beam", split) == content(tmp_path / "here", split)
    index = [np.load(tmp_path / d / NAME / "1.0.0/index-train.id.npy") for d in ("beam", "here")]
    assert np.array_equal(*index)


def test_beam_where_it_is_not_installed(raw, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match="--beam needs Apache Beam"):
        run(raw, tmp_path, "--beam", "")


def test_on_the_command_line_of_tfds(raw, tmp_path):
    for package in ("tensorflow", "apache_beam", "mlcroissant"):
        pytest.importorskip(package, reason=f"TFDS's command line needs {package}")
    subprocess.run(
        [
            *(sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"),
            *("data_prep/ucf101", "--config", "split1"),
            *(f"--data_dir={tmp_path}", f"--manual_dir={raw}"),
        ],
        cwd=ROOT,
        check=True,
    )
    assert content(tmp_path, "train") == expected(raw, TRAIN)
