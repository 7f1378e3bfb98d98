"""A manifest of a folder with good and bad videos, brought up to date, and read by training."""

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxvid import files
from jaxvid.data.annotations import manifests
from jaxvid.data.sources import video_list
from jaxvid.data.transforms.video import Open
from jaxvid.data.video import packets
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.tools import scan
from tests.data import video_files as make


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "good").mkdir()
    make.encode(folder / "good" / "a.mp4", frames=20, **make.B_FRAMES)
    make.encode(folder / "good" / "b,c.avi", codec="mpeg4", frames=9, rate=10)
    make.with_matrix(folder / "good" / "a.mp4", folder / "good" / "turned.mp4", 0, 1, -1, 0)
    make.cut(folder / "good" / "a.mp4", folder / "cut.mp4", end=0.5)
    make.damage(folder / "good" / "a.mp4", folder / "damaged.mp4", packet=8)
    (folder / "zero.webm").touch()
    return folder


def names(rows) -> dict[str, str]:
    return {Path(row.path).name: row.reason or row.status for row in rows.values()}


BAD = {"cut.mp4": "truncated: the list of frames (moov) is missing", "zero.webm": "zero-byte file"}


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_what_a_manifest_says(videos, tmp_path, suffix, capsys):
    out = tmp_path / f"manifest.{suffix}"
    assert scan.main([str(videos), "--out", str(out), "--sha256", "--workers", "2"]) == 0
    printed = capsys.readouterr()
    for name, reason in BAD.items():
        assert f"bad: {videos / name}: {reason}" in printed.err.splitlines()
    assert f"{out}: 6 files, 0 of them as before" in printed.err
    assert printed.out.splitlines()[0].split() == ["ok", "4", "of", "6", "files"]
    assert "h264 (3), mpeg4 (1)" in printed.out and "90 degrees (1)" in printed.out

    rows = manifests.read(out)
    good = ["a.mp4", "b,c.avi", "turned.mp4", "damaged.mp4"]
    assert names(rows) == BAD | dict.fromkeys(good, "ok")
    assert [*rows] == sorted(rows) and all(Path(key).is_file() for key in rows)
    for key, row in rows.items():
        data = Path(key).read_bytes()
        assert (row.size, row.modified) == (len(data), os.stat(key).st_mtime)
        assert row.sha256 == hashlib.sha256(data).hexdigest()
    about = ("frames", "fps", "duration", "decoded", "codec", "rotation", "width", "height")
    found = {Path(k).name: tuple(getattr(r, f) for f in about) for k, r in rows.items() if r.ok}
    assert found["a.mp4"] == (20, 30, pytest.approx(2 / 3, abs=1e-3), 1, "h264", 0, 128, 80)
    assert found["b,c.avi"] == (9, 10, 0.9, 1, "mpeg4", 0, 128, 80)
    assert found["turned.mp4"][4:] == ("h264", 90, 80, 128)


def test_decoding_all_finds_what_opening_does_not(videos):
    job = scan.Job(videos / "damaged.mp4", "damaged.mp4", decode=True, sha256=False)
    row = scan.probe(job)
    assert row.reason.startswith("damaged: ") and row.reason.endswith(" of 20 frames decode")
    good = scan.probe(dataclasses.replace(job, path=videos / "good" / "a.mp4"))
    assert (good.status, good.decoded, good.sha256) == ("ok", 20, "")


@pytest.fixture
def probed(monkeypatch):
    """Scans in this process; the names of the files that were opened."""
    opened = []

    def run(function, items, **_):
        for job in items:
            opened.append(job.path.name)
            yield scan.jobs.Done(job, function(job))

    monkeypatch.setattr(scan.jobs, "run", run)
    return opened


def test_a_scan_goes_on_where_it_was_stopped(videos, tmp_path, probed, monkeypatch):
    folder = tmp_path / "videos"
    folder.mkdir()
    for k in range(4):
        (folder / f"{k}.mp4").write_bytes((videos / "good" / "a.mp4").read_bytes())
    original, out = scan.probe, folder / "manifest.jsonl"

    def stops(job):
        if job.path.name == "2.mp4":
            assert len(manifests.read(out)) == 2  # what is done is on the disk
            raise KeyboardInterrupt
        return original(job)

    monkeypatch.setattr(scan, "probe", stops)
    with pytest.raises(KeyboardInterrupt):
        scan.scan(folder)
    assert len(manifests.read(out)) == 2
    with out.open("a") as file:
        file.write('{"path": "2.mp4", "status": "o')  # killed while it wrote
    monkeypatch.setattr(scan, "probe", original)
    probed.clear()
    assert names(scan.scan(folder)) == dict.fromkeys(["0.mp4", "1.mp4", "2.mp4", "3.mp4"], "ok")
    assert probed == ["2.mp4", "3.mp4"]
    assert names(manifests.read(out)) == names(scan.scan(folder))


def test_only_what_changed_is_opened_again(videos, tmp_path, probed):
    folder, other = tmp_path / "videos", tmp_path / "other"
    out = tmp_path / "all.csv"
    for base in (folder, other):
        base.mkdir()
        for name in ("a.mp4", "b.mp4", "gone.mp4"):
            (base / name).write_bytes((videos / "good" / "a.mp4").read_bytes())
    (folder / "bad.mp4").touch()
    scan.scan(folder, out)
    scan.scan(other, out)
    probed.clear()
    (folder / "gone.mp4").unlink()
    os.utime(folder / "a.mp4", (1, 1))
    (folder / "new.mp4").touch()
    found = scan.scan(folder, out)
    assert probed == ["a.mp4", "bad.mp4", "new.mp4"]  # bad ones get another chance
    assert [Path(key).name for key in found] == ["a.mp4", "b.mp4", "bad.mp4", "new.mp4"]
    assert len(manifests.read(out)) == 4 + 3  # those of the other folder stay
    for options in (dict(sha256=True), dict(decode=True)):
        probed.clear()
        scan.scan(folder, out, **options)
        assert {"a.mp4", "b.mp4"} <= set(probed)
        probed.clear()
        scan.scan(folder, out, **options)
        assert probed == ["bad.mp4", "new.mp4"]


def test_a_crash_is_a_bad_file(videos, tmp_path, monkeypatch):
    def run(function, items, **_):
        for job in items:
            yield scan.jobs.Done(job, error="the process that read it crashed")

    monkeypatch.setattr(scan.jobs, "run", run)
    found = scan.scan(videos / "good" / "a.mp4", tmp_path / "m.jsonl")
    assert names(found) == {"a.mp4": "the process that read it crashed"}


def test_scan_mistakes(videos, tmp_path, capsys):
    for arguments, message in {
        (str(tmp_path / "none"),): "/none: no such file or folder",
        (str(videos), "--out", str(tmp_path / "x" / "m.csv")): "m.csv: there is no folder",
        (str(videos), "--out", str(tmp_path / "m.txt")): "m.txt: a manifest ends in .jsonl or .csv",
    }.items():
        assert scan.main(arguments) == 1
        assert message in capsys.readouterr().err


# What reads it


@pytest.fixture
def listed(videos, tmp_path, probed):
    """A list of the videos and their manifest."""
    scan.scan(videos, tmp_path / "m.csv")
    lines = [f"{videos}/{name} 0\n" for name in ("good/a.mp4", "cut.mp4", "new.mp4")]
    (tmp_path / "train.txt").write_text("".join(lines))
    return video_list.build("train", root=str(tmp_path), file="train.txt", manifest="m.csv")


def test_training_knows_lengths_and_bad_files(videos, listed):
    assert [listed[i].get("total") for i in range(3)] == [20, None, None]
    assert listed[1]["problem"] == f"{BAD['cut.mp4']} (says m.csv)"
    assert "problem" not in listed[0] and "problem" not in listed[2]
    rng = np.random.default_rng(0)
    with Open()(listed[0], rng)["reader"] as reader:
        assert reader.frames == 20
    (videos / "cut.mp4").rename(videos / "away.mp4")  # it is not even looked for
    try:
        with pytest.raises(VideoError, match=r"cut\.mp4: truncated: .* \(says m\.csv\)"):
            Open()(listed[1], rng)
    finally:
        (videos / "away.mp4").rename(videos / "cut.mp4")


def test_a_video_that_changed_since_is_an_error(listed, tmp_path):
    other = make.encode(tmp_path / "other.mp4", frames=12)
    sample = listed[0] | {"path": str(other)}
    with pytest.raises(VideoError, match="it has 12 frames, but was listed with 20"):
        Open()(sample, np.random.default_rng(0))


def test_a_manifest_that_is_out_of_date_is_noticed(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        make.encode(tmp_path / name, frames=5)
    make.cut(tmp_path / "a.mp4", tmp_path / "c.mp4", end=0.5)
    (tmp_path / "list.txt").write_text("a.mp4 0\nb.mp4 0\nc.mp4 0\n")
    scan.scan(tmp_path, workers=1)

    def build():
        options = dict(root=str(tmp_path), file="list.txt", manifest="manifest.jsonl")
        return video_list.build("train", **options)

    os.utime(tmp_path / "a.mp4", (1, 1))  # a copy of the same file
    assert [build()[i].get("total") for i in range(3)] == [5, 5, None]
    assert "problem" in build()[2]
    os.utime(tmp_path / "c.mp4", (1, 1))  # bad as it was, it may be mended
    assert "problem" not in build()[2]
    before, now = (tmp_path / "b.mp4").stat().st_size, make.encode(tmp_path / "b.mp4", frames=30)
    sizes = rf"{now} has {now.stat().st_size:,} bytes, but {before:,} in the manifest"
    message = rf"manifest\.jsonl: {sizes}: changed since; run python -m jaxvid\.tools\."
    with pytest.raises(UserError, match=message):
        build()
    scan.scan(tmp_path, workers=1)
    assert [build()[i].get("total") for i in range(3)] == [5, 30, None]


def test_one_scan_at_a_time(tmp_path):
    make.encode(tmp_path / "a.mp4", frames=5)
    out = tmp_path / "manifest.jsonl"
    with (
        files.locked(tmp_path / ".manifest.jsonl.lock", out, fix="wait"),
        pytest.raises(UserError, match=f"manifest.jsonl is in use by process {os.getpid()} on"),
    ):
        scan.scan(tmp_path, workers=1)
    assert not out.exists()


def test_manifests_that_are_none(tmp_path):
    for name, text, message in (
        ("m.txt", "", r"m\.txt: a manifest ends in \.jsonl or \.csv"),
        ("m.jsonl", '{"path": "a", "status": "ok"}\n[]\n', r"m\.jsonl:2: not a line"),
        ("m.jsonl", '{"path": "a", "status": "ok", "hue": 3}\n', r"m\.jsonl:1: not a line"),
        ("m.csv", "path,status,frames\na,ok,many\n", r"m\.csv:2: not a line of a manifest"),
        ("m.csv", "path,status\na,ok\nb,ok,c\n", r"m\.csv:3: not a line of a manifest"),
        ("m.csv", "file,label\na,ok\n", r"m\.csv:2: not a line of a manifest"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=message):
            manifests.read(tmp_path / name)
    with pytest.raises(UserError, match=r"none\.csv: no such manifest; python -m jaxvid\.tools"):
        manifests.read(tmp_path / "none.csv")


@pytest.fixture
def copied(videos, tmp_path, probed, monkeypatch):
    """A function that copies a scanned folder, with its indexes, to a machine without a cache."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mkv"):
        make.encode(folder / name, frames=20, **make.B_FRAMES)
    make.encode(folder / "c.ts", frames=20, **make.B_FRAMES)
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))
    rows = scan.scan(folder)
    assert [row.index for row in rows.values()] == ["kept", "kept", "none"]

    def copy(**options) -> video_list.Videos:
        target = tmp_path / "node" / "videos"
        shutil.copytree(folder, target, **options)
        (target / "all.txt").write_text("a.mp4 0\nb.mkv 1\nc.ts 2\n")
        monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "other"))
        return video_list.build("", root=str(target), file="all.txt", manifest="manifest.jsonl")

    return copy


@pytest.fixture
def with_demuxer(monkeypatch):
    """The names of the files that are opened with a demuxer, as the keys of a dict."""
    names, original = {}, packets.open_container

    def watch(source, path):
        names[os.path.basename(path)] = True
        return original(source, path)

    monkeypatch.setattr(packets, "open_container", watch)
    return names


def read_all(source: video_list.Videos) -> list[list[int]]:
    """The numbers on two frames of each video."""
    numbers = []
    for index in range(len(source)):
        with Open()(source[index], np.random.default_rng(0))["reader"] as reader:
            numbers.append(make.numbers(reader.read([3, 17])))
    return numbers


def whole_seconds(source, target):
    """Copy a file as tar does, which keeps its time in seconds."""
    shutil.copyfile(source, target)
    seconds = int(os.stat(source).st_mtime)
    os.utime(target, ns=(seconds * 10**9, seconds * 10**9))


@pytest.mark.parametrize("copy_function", [shutil.copy2, whole_seconds])
def test_indexes_are_copied_with_the_videos(copied, with_demuxer, copy_function):
    source = copied(copy_function=copy_function)
    with_demuxer.clear()
    assert read_all(source) == [[3, 17]] * 3
    assert [*with_demuxer] == ["c.ts"]


def test_indexes_of_files_with_another_time_are_not_used(copied, with_demuxer):
    source = copied(copy_function=shutil.copyfile)
    with_demuxer.clear()
    assert read_all(source) == [[3, 17]] * 3
    assert [*with_demuxer] == ["b.mkv", "c.ts"]  # a.mp4 does not need one


@pytest.mark.parametrize("same_time", [False, True])
def test_indexes_of_replaced_files_are_not_used(copied, with_demuxer, same_time):
    source = copied()
    path = Path(source.paths[1])
    before = path.stat()
    make.encode(path, frames=20, first=100, **make.B_FRAMES)
    if same_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with_demuxer.clear()
    assert read_all(source) == [[3, 17], [103, 117], [3, 17]]
    assert [*with_demuxer] == ["b.mkv", "c.ts"]


def test_a_missing_index_is_made_by_the_next_scan(videos, tmp_path, probed, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy2(videos / "good" / "a.mp4", folder / name)
    scan.scan(folder)
    indexes = manifests.indexes(folder / "manifest.jsonl")
    entries = sorted(indexes.glob("*/*"))
    assert len(entries) == 2
    entries[0].unlink()
    probed.clear()
    scan.scan(folder)
    assert len(probed) == 1 and sorted(indexes.glob("*/*")) == entries
    (folder / "b.mp4").unlink()
    scan.scan(folder)
    assert len(sorted(indexes.glob("*/*"))) == 1
