"""Records of the settings of a folder, and of the source of each output."""

import os
from pathlib import Path

import pytest

from jaxvid import files, provenance
from jaxvid.errors import UserError


def test_a_folder_belongs_to_its_settings(tmp_path):
    path = tmp_path / "new" / "settings.json"
    provenance.claim(path, dict(size=3, kind="x"))
    provenance.claim(path, dict(size=3, kind="x"))
    with pytest.raises(UserError, match=r"write to another folder:\n  size: 3 there, 4 now"):
        provenance.claim(path, dict(size=4, kind="x"))
    before = path.read_text()
    with pytest.raises(UserError, match=r"folder:\n  kind: x there, None now$"):
        provenance.claim(path, dict(size=3))
    with pytest.raises(UserError, match=r"folder:\n  color: None there, red now$"):
        provenance.claim(path, dict(size=3, kind="x", color="red"))
    assert path.read_text() == before
    path.write_text("{")
    with pytest.raises(UserError, match=r"settings\.json: cannot read these settings .*remove it"):
        provenance.claim(path, dict(size=3, kind="x"))


@pytest.fixture
def made(tmp_path):
    """A source, an output that was made from it, and its record."""
    source, output = tmp_path / "in" / "a.mp4", tmp_path / "out" / "a.npz"
    for path in (source, output):
        path.parent.mkdir()
        path.write_text("one")
    record = provenance.Record(output.parent / "record.jsonl")
    record.add(output, provenance.describe(source))
    return source, output


def is_fresh(output: Path, source: Path) -> bool:
    return provenance.Record(output.parent / "record.jsonl").is_fresh(output, source)


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
    provenance.Record(path).add(output, provenance.describe(source))
    assert len(path.read_text().splitlines()) == 2
    path.write_text('{"output": "b.npz"}\nnonsense\n')
    with pytest.raises(UserError, match=r"record\.jsonl:2: not a line of this record"):
        provenance.Record(path)


@pytest.mark.parametrize("ignore_case", [False, True])
def test_outputs_are_one_to_one(tmp_path, monkeypatch, ignore_case):
    monkeypatch.setattr(files, "probe", lambda folder: ignore_case)
    root, target = tmp_path / "in", tmp_path / "out"
    root.mkdir()

    def outputs(*names):
        sources = [root / name for name in names]
        return provenance.outputs(root, target, sources, lambda path: path.with_suffix(".npz"))

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
            provenance.outputs(root, target, sources, apart=True)
        assert sorted(root.iterdir()) == [root / "a.mp4", root / "videos"]
    with pytest.raises(UserError, match=f"{root}: write to another folder than that of"):
        provenance.outputs(sources[0], root, sources[:1], apart=True)
    assert provenance.outputs(sources[0], root / "new", sources[:1]) == {
        root / "new/a.mp4": sources[0]
    }
    # videos/videos/a.mp4 would be written to videos/a.mp4, which is another original.
    with pytest.raises(UserError, match=f"{sources[0]}: this would be written among the originals"):
        provenance.outputs(root, tmp_path, sources)
    (root / "videos.mp4").touch()  # and its frames to the folder videos
    with pytest.raises(UserError, match=f"{root}: this would be written among the originals"):
        provenance.outputs(root, tmp_path, [root / "videos.mp4"], lambda path: path.with_suffix(""))


def test_outputs_of_another_kind_may_be_beside_an_original_or_in_a_folder_there(tmp_path):
    """Arrays and images are never taken for videos."""
    source = tmp_path / "a.mp4"
    source.touch()

    def outputs(root, target):
        return provenance.outputs(root, target, [source], lambda path: path.with_suffix(".npz"))

    assert outputs(source, tmp_path) == {tmp_path / "a.npz": source}
    assert outputs(tmp_path, tmp_path / "arrays") == {tmp_path / "arrays/a.npz": source}
    with pytest.raises(UserError, match="write to another folder than that of the originals"):
        outputs(tmp_path, tmp_path)
