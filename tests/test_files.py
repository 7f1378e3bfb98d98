"""Files appear whole, locks end with their process, and outputs know what they were made from."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxvid import files
from jaxvid.errors import UserError

ROOT = Path(__file__).parents[1]


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path))
    assert files.cache_root() == tmp_path
    monkeypatch.setenv("JAXVID_CACHE", "")
    assert files.cache_root() == Path.home() / ".cache" / "jaxvid"


# Writing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "one")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as part:
        part.write_text("two")
        assert path.read_text() == "one" and part.suffix == ".txt"
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "one"
    files.write_text(path, "zwölf")
    assert path.read_bytes() == "zwölf".encode()


@pytest.mark.parametrize(
    "code,fix",
    [
        (errno.ENOSPC, "make room there"),
        (errno.EROFS, "name a place where you may write"),
        (errno.EACCES, "name a place where you may write"),
        (errno.EISDIR, "this is a folder; name a file"),
    ],
)
def test_what_cannot_be_written_is_one_line(code, fix):
    message = rf"^there: cannot write there \(.+\); {fix}.*$"
    with pytest.raises(UserError, match=message), files.explained("there"):
        raise OSError(code, os.strerror(code))


def test_a_probe_leaves_nothing(tmp_path):
    (tmp_path / "a").touch()
    assert files.probe(tmp_path / "new" / "folder") == (tmp_path / "A").exists()
    files.probe_file(tmp_path / "new.csv")
    files.probe_file(None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_places_that_do_not_do(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"^{path}: cannot write .* a file is in the way"):
            files.probe(path)
    with pytest.raises(UserError, match="this is a folder; name a file"):
        files.probe_file(tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        files.probe_file(tmp_path / "none" / "a.csv")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, where nothing is made")
def test_a_folder_that_takes_no_files():
    with pytest.raises(UserError, match=r"^/proc/new/a: cannot write there .*; name a place"):
        files.probe(Path("/proc/new/a"))


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.tempfile, "NamedTemporaryFile", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room there"):
        files.probe(tmp_path)


# Locks

HOLD = """
import sys, time
from pathlib import Path
from jaxvid import files
with files.hold(Path(sys.argv[1]), fix="use another"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_is_held_by_one_process_until_it_dies(holder, tmp_path):
    message = rf"run is in use by process {holder.pid} on .+ since 20.+; use another"
    with pytest.raises(UserError, match=message), files.hold(tmp_path / "run", fix="use another"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with files.hold(tmp_path / "run", fix="use another"):
        pass
    with files.hold(tmp_path / "run", fix="use another"):  # what ended has let it go
        pass


def test_a_folder_is_held_by_one_run_of_a_process(tmp_path):
    with (
        files.hold(tmp_path, fix="use another"),
        pytest.raises(UserError, match=f"process {os.getpid()} on"),
        files.hold(tmp_path, fix="use another"),
    ):
        pass


def test_children_do_not_keep_a_lock(tmp_path):
    """They outlive a killed run by a moment, or are what a user started from it."""
    command = [sys.executable, "-c", "input()"]
    with files.hold(tmp_path, fix="use another"):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, close_fds=False)
    try:
        with files.hold(tmp_path, fix="use another"):  # which a kept lock would refuse
            assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_whoever_waits_says_for_whom(holder, tmp_path, said):
    lock = tmp_path / "run" / ".lock"
    end = threading.Timer(0.5, holder.kill)
    end.start()
    with files.locked(lock, tmp_path / "run") as held:
        assert held
    assert said == [line for line in said if f"run is in use by process {holder.pid} on" in line]
    assert len(said) == 1


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, said):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with files.hold(tmp_path, fix="use another"):
        pass
    assert said == [f"{tmp_path}: no locks on this file system; let nothing else write there"]


# Records


def test_a_folder_belongs_to_its_settings(tmp_path):
    path = tmp_path / "new" / "settings.json"
    files.claim(path, dict(size=3, kind="x"))
    files.claim(path, dict(size=3, kind="x"))
    with pytest.raises(UserError, match=r"write to another folder:\n  size: 3 there, 4 now"):
        files.claim(path, dict(size=4, kind="x"))
    before = path.read_text()
    with pytest.raises(UserError, match=r"folder:\n  kind: x there, None now$"):
        files.claim(path, dict(size=3))
    with pytest.raises(UserError, match=r"folder:\n  color: None there, red now$"):
        files.claim(path, dict(size=3, kind="x", color="red"))
    assert path.read_text() == before
    path.write_text("{")
    with pytest.raises(UserError, match=r"settings\.json: cannot read these settings .*remove it"):
        files.claim(path, dict(size=3, kind="x"))


@pytest.fixture
def made(tmp_path):
    """A source, an output that was made from it, and its record."""
    source, output = tmp_path / "in" / "a.mp4", tmp_path / "out" / "a.npz"
    for path in (source, output):
        path.parent.mkdir()
        path.write_text("one")
    record = files.Record(output.parent / "record.jsonl")
    record.add(output, files.describe(source))
    return source, output


def is_fresh(output: Path, source: Path) -> bool:
    return files.Record(output.parent / "record.jsonl").is_fresh(output, source)


def test_an_output_is_of_its_source_as_it_is(made):
    source, output = made
    assert is_fresh(output, source)
    about = source.stat()
    source.write_text("two")
    os.utime(source, ns=(about.st_mtime_ns - 10**9,) * 2)  # older than the output, all the same
    assert not is_fresh(output, source)
    source.write_text("three")
    os.utime(source, ns=(about.st_mtime_ns,) * 2)
    assert not is_fresh(output, source)
    source.write_text("one")
    os.utime(source, ns=(about.st_mtime_ns,) * 2)
    assert is_fresh(output, source)
    output.unlink()
    assert not is_fresh(output, source)


def test_two_sources_do_not_share_an_output(made):
    source, output = made
    other = source.with_suffix(".mkv")
    other.write_text("other content")
    with pytest.raises(UserError, match=rf"a\.npz: made from {source}, not from {other}; write"):
        is_fresh(output, other)
    moved = source.rename(source.with_name("moved.mp4"))  # the same file at another place
    assert is_fresh(output, moved)
    moved.unlink()
    assert not is_fresh(output, other)  # nobody else has it: it is made again


def test_an_output_without_a_record_counts_if_it_is_younger(made):
    source, output = made
    (output.parent / "record.jsonl").unlink()
    assert is_fresh(output, source)
    later = output.stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    assert not is_fresh(output, source)


def test_a_record_that_was_cut_short_goes_on(made):
    source, output = made
    path = output.parent / "record.jsonl"
    with path.open("a") as file:
        file.write('{"output": "b.np')
    assert is_fresh(output, source)
    files.Record(path).add(output, files.describe(source))
    assert len(path.read_text().splitlines()) == 2
    path.write_text('{"output": "b.npz"}\nnonsense\n')
    with pytest.raises(UserError, match=r"record\.jsonl:2: not a line of this record"):
        files.Record(path)


@pytest.mark.parametrize("ignore_case", [False, True])
def test_outputs_are_one_to_one(tmp_path, monkeypatch, ignore_case):
    monkeypatch.setattr(files, "probe", lambda folder: ignore_case)
    root, target = tmp_path / "in", tmp_path / "out"
    root.mkdir()

    def outputs(*names):
        sources = [root / name for name in names]
        return files.outputs(root, target, sources, lambda path: path.with_suffix(".npz"))

    assert outputs("a.mp4", "sub/a.mp4") == {
        target / "a.npz": root / "a.mp4",
        target / "sub/a.npz": root / "sub/a.mp4",
    }
    if ignore_case:
        with pytest.raises(UserError, match=r"a\.mp4 and .*A\.mp4 would both be .*out/A\.npz"):
            outputs("a.mp4", "A.mp4")
    else:
        assert len(outputs("a.mp4", "A.mp4")) == 2
    with pytest.raises(UserError, match=r"a\.mp4 and .*a\.mkv would both be written to .*a\.npz"):
        outputs("a.mp4", "a.mkv")


def test_outputs_do_not_lie_among_the_originals(tmp_path):
    root = tmp_path / "videos"
    (root / "videos").mkdir(parents=True)
    sources = [root / "a.mp4", root / "videos" / "a.mp4"]
    for source in sources:
        source.touch()
    (tmp_path / "link").symlink_to(root)
    for target in (root, root / "new", root / "videos" / "..", tmp_path / "link" / "new"):
        with pytest.raises(UserError, match=f"{target}: write to another folder than that of"):
            files.outputs(root, target, sources, apart=True)
        assert sorted(root.iterdir()) == [root / "a.mp4", root / "videos"]
    with pytest.raises(UserError, match=f"{root}: write to another folder than that of"):
        files.outputs(sources[0], root, sources[:1], apart=True)
    assert files.outputs(sources[0], root / "new", sources[:1]) == {root / "new/a.mp4": sources[0]}
    # videos/videos/a.mp4 would be written to videos/a.mp4, which is another original.
    with pytest.raises(UserError, match=f"{sources[0]}: this would be written among the originals"):
        files.outputs(root, tmp_path, sources)
    (root / "videos.mp4").touch()  # and its frames to the folder videos
    with pytest.raises(UserError, match=f"{root}: this would be written among the originals"):
        files.outputs(root, tmp_path, [root / "videos.mp4"], lambda path: path.with_suffix(""))


def test_outputs_of_another_kind_may_be_beside_an_original_or_in_a_folder_there(tmp_path):
    """Arrays and images are never taken for videos."""
    source = tmp_path / "a.mp4"
    source.touch()

    def outputs(root, target):
        return files.outputs(root, target, [source], lambda path: path.with_suffix(".npz"))

    assert outputs(source, tmp_path) == {tmp_path / "a.npz": source}
    assert outputs(tmp_path, tmp_path / "arrays") == {tmp_path / "arrays/a.npz": source}
    with pytest.raises(UserError, match="write to another folder than that of the originals"):
        outputs(tmp_path, tmp_path)


def test_an_output_file_is_no_input(tmp_path):
    (tmp_path / "a.npz").touch()
    (tmp_path / "link.npz").symlink_to(tmp_path / "a.npz")
    for name in ("a.npz", "link.npz"):
        with pytest.raises(UserError, match=f"{name}: this is an input; write to another file"):
            files.probe_file(tmp_path / name, ["swin_tiny_k400", tmp_path / "a.npz"])
    files.probe_file(tmp_path / "b.npz", [tmp_path / "a.npz"])
