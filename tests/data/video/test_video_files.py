"""What counts as a video below a folder: for training, for tools, for lists of names."""

import os
from pathlib import Path

import pytest

from data_prep import layout
from jaxvid.data.annotations.key_frames import find_files
from jaxvid.data.sources import class_folders, user_clips
from jaxvid.data.video import video_files
from jaxvid.errors import UserError
from jaxvid.tools import jobs
from tests.conftest import logs

CAMERAS = ("a.mp4", "a.MTS", "a.m2ts", "a.VOB", "a.ogv", "a.3GP", "a.mpg", "a.Mov", "a b.c.1.AVI")
NOT_THEIRS = (
    ".ipynb_checkpoints/a-checkpoint.mp4",
    "__MACOSX/a.mp4",
    "__MACOSX/._a.mp4",
    "._a.mp4",
    "@eaDir/a.mp4/thumb.mp4",
    "$RECYCLE.BIN/a.mp4",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
)


def touch(folder: Path, *names: str):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def everywhere(clips: Path) -> list[str]:
    """Files below the class folder run/ as all readers of folders see them."""
    trained = class_folders.build("train", root=str(clips)).paths
    prepared = {str(clips / path) for path in layout.stems(clips).values()}
    assert trained == [str(path) for path in jobs.videos_below(clips)]
    assert {Path(path).stem for path in trained} == {Path(path).stem for path in prepared}
    return [Path(path).relative_to(clips / "run").as_posix() for path in trained]


def test_all_readers_see_the_same_files(tmp_path):
    run = tmp_path / "clips" / "run"
    touch(run, *CAMERAS, *NOT_THEIRS, "notes.txt", "sub/b.mp4")
    touch(tmp_path / "clips", *NOT_THEIRS)
    touch(tmp_path, "elsewhere/l.mp4")
    (run / "more").symlink_to(tmp_path / "elsewhere")
    (run / "k.mp4").symlink_to(tmp_path / "elsewhere" / "l.mp4")
    (tmp_path / "elsewhere" / "loop").symlink_to(run)
    expected = sorted([*CAMERAS, "sub/b.mp4", "more/l.mp4", "k.mp4"])
    assert sorted(everywhere(tmp_path / "clips")) == expected


def test_a_link_to_itself_is_a_missing_file(tmp_path):
    touch(tmp_path, "run/a.mp4")
    (tmp_path / "run" / "b.mp4").symlink_to("b.mp4")
    (tmp_path / "run" / "loop").symlink_to("loop")
    assert [path.name for path in video_files.walk(tmp_path)] == ["a.mp4", "b.mp4", "loop"]


@pytest.mark.parametrize("name", [b"run/caf\xe9.mp4", b"caf\xe9/a.mp4"])
def test_a_name_that_is_no_text_is_refused(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    try:
        os.makedirs(os.path.dirname(path))
        open(path, "wb").close()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    with pytest.raises(UserError, match=r"caf\\xe9.*not in UTF-8; rename it"):
        class_folders.build("train", root=str(tmp_path))
    with pytest.raises(UserError, match="not in UTF-8; rename it"):
        jobs.videos_below(tmp_path)


def test_a_name_of_two_classes_is_named(tmp_path):
    touch(tmp_path, "run/a.mp4", "jump/b.mp4")
    (tmp_path / "classes.txt").write_text("run\njump\nrun\n")
    with pytest.raises(UserError, match='run: "run" is the name of two classes; rename one'):
        user_clips.build("train", root=str(tmp_path))


def test_a_linked_class_is_a_class(tmp_path):
    touch(tmp_path, "clips/run/a.mp4", "elsewhere/b.mp4")
    (tmp_path / "clips" / "jump").symlink_to(tmp_path / "elsewhere")
    assert class_folders.build("train", root=str(tmp_path / "clips")).names == ("jump", "run")


def test_a_folder_is_no_video_whatever_its_name(tmp_path):
    touch(tmp_path, "run/frames.mp4/a.mp4")
    assert everywhere(tmp_path) == ["frames.mp4/a.mp4"]


def test_what_is_left_out_is_said(tmp_path):
    touch(tmp_path, "run/a.mp4", "run/b.xyz", "run/c", "run/d.XYZ", "run/e.txt", "top.mp4")
    with logs() as said:
        class_folders.build("train", root=str(tmp_path))
    ignored = "left out 3 files without the ending of a video: .xyz (2), no ending (1)"
    assert said == [
        f"{tmp_path}: {ignored}",
        f"{tmp_path}: 1 videos are in no class folder, such as top.mp4",
    ]
    with logs() as said:
        jobs.videos_below(tmp_path)
    assert said == [f"{tmp_path}: {ignored}"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    touch(tmp_path, "run/a.mp4", "run/closed/b.mp4")
    (tmp_path / "run" / "closed").chmod(0)
    try:
        with pytest.raises(UserError, match="run/closed: Permission denied"):
            class_folders.build("train", root=str(tmp_path))
    finally:
        (tmp_path / "run" / "closed").chmod(0o700)


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    touch(tmp_path, *(f"{k}/a.mp4" for k in range(12)))
    source = class_folders.build("train", root=str(tmp_path))
    assert source.names == tuple(map(str, range(12)))
    assert [int(Path(path).parent.name) for path in source.paths] == source.labels.tolist()


@pytest.mark.parametrize(
    "name,full,bare",
    [
        ("a", "a.mp4", "a"),
        ("a.mp4", "a.mp4", "a"),
        ("a.MTS", "a.MTS", "a"),
        ("a_1.25_3.50", "a_1.25_3.50.mp4", "a_1.25_3.50"),
        ("a_1.25_3.50.avi", "a_1.25_3.50.avi", "a_1.25_3.50"),
        ("v.1/b", "v.1/b.mp4", "v.1/b"),
        ("a.npy", "a.npy", "a"),
        ("a.", "a..mp4", "a."),
        ("-_x.YJkl", "-_x.YJkl.mp4", "-_x.YJkl"),
    ],
)
def test_a_dot_does_not_make_an_ending(name, full, bare):
    assert video_files.with_ending(name, ".mp4") == full
    assert video_files.without_ending(name) == bare
    assert video_files.with_ending("a", "_rgb.avi") == "a_rgb.avi"


@pytest.mark.parametrize("beside", [".txt", ".json", ".xml", ".srt", ".JPG", ".wav", ".z"])
@pytest.mark.parametrize("ending", [".mp4", ".MP4", ".MTS", ".Avi"])
def test_a_video_wins_over_what_lies_beside_it(tmp_path, ending, beside):
    touch(tmp_path, f"a{ending}", f"a{beside}", f"b.1{ending}", f"b.1{beside}", f"b{beside}")
    found = find_files(tmp_path, ["a", "b.1", f"a{ending}"])
    assert [Path(path).name for path in found] == [f"a{ending}", f"b.1{ending}", f"a{ending}"]
