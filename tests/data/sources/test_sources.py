"""Folders of classes, clips of one's own, several sources as one, and what is wrong in them.

Nothing here opens a video, so the files of the folders are empty.
"""

from pathlib import Path

import pytest

from jaxvid import plug
from jaxvid.data.sources import class_folders, concat, user_clips
from jaxvid.errors import UserError


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def touch(folder: Path, *names: str):
    for name in names:
        write(folder / name, "")


def rows(source) -> list[tuple[str, int]]:
    """(file, label) of every video, with paths below the folder of the annotations."""
    base = Path(source.origin)
    base = base if base.is_dir() else base.parent
    samples = [source[i] for i in range(len(source))]
    return [(Path(s["path"]).relative_to(base).as_posix(), int(s["label"])) for s in samples]


# Folders of classes


def test_class_folders(tmp_path):
    touch(tmp_path, "run/b.MP4", "run/a.avi", "jump/day 1/c.webm", "jump/notes.txt")
    touch(tmp_path, ".cache/x.mp4", "run/._a.avi", "readme.mp4")
    source = class_folders.build("train", root=str(tmp_path))
    assert source.names == ("jump", "run")
    assert rows(source) == [("jump/day 1/c.webm", 0), ("run/a.avi", 1), ("run/b.MP4", 1)]
    assert source.where(1) == source.id(1) == str(tmp_path / "run/a.avi")


def test_class_folders_number_by_the_names_they_are_given(tmp_path):
    touch(tmp_path, "run/a.mp4", "jump/b.mp4")
    names = ("run", "sit", "jump")
    source = class_folders.build("val", root=str(tmp_path), names=names)
    assert source.names == names and rows(source) == [("jump/b.mp4", 2), ("run/a.mp4", 0)]
    with pytest.raises(UserError, match=r'/jump: no such class\. Did you mean "jumps"\?'):
        class_folders.build("val", root=str(tmp_path), names=("jumps", "run"))


def test_class_folders_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"/none: no such folder; set config\.data\.root"):
        class_folders.build("train", root=str(tmp_path), folder="none")
    touch(tmp_path, "a.mp4")
    with pytest.raises(UserError, match="no sub-folders; there must be one for each class"):
        class_folders.build("train", root=str(tmp_path))


def halves(folder: Path, share=0.8) -> tuple[set[str], set[str]]:
    splits = ("train", "val")
    sources = [class_folders.build(s, root=str(folder), share=share) for s in splits]
    return {p for p, _ in rows(sources[0])}, {p for p, _ in rows(sources[1])}


def test_a_split_takes_its_share_of_every_class(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in "ab" for i in range(50)))
    train, val = halves(tmp_path)
    assert not train & val and len(train | val) == 100
    for name in "ab":
        assert sum(p.startswith(name) for p in val) == 10
    # Not the last ones, but the same ones by name in both classes.
    assert {p[2:] for p in val if p[0] == "a"} == {p[2:] for p in val if p[0] == "b"}
    assert {p[2:] for p in val if p[0] == "a"} != {f"{i}.mp4" for i in range(40, 50)}


def test_a_new_file_hardly_moves_others(tmp_path):
    touch(tmp_path, *(f"a/{i}.mp4" for i in range(50)))
    train, val = halves(tmp_path)
    for i in range(10):
        touch(tmp_path, f"a/new{i}.mp4")
        train_before, val_before = train, val
        train, val = halves(tmp_path)
        assert len(train_before & val) <= 1 and len(val_before & train) <= 1


def test_same_names_in_sub_folders_split_by_the_whole_path(tmp_path):
    """Ties of the hash would leave the split to the order in which the system lists files."""
    touch(tmp_path, *(f"a/{day}/clip.mp4" for day in range(40)))
    train, val = halves(tmp_path, share=0.5)
    assert len(train) == len(val) == 20
    assert val != {f"a/{day}/clip.mp4" for day in range(20, 40)}
    hashes = class_folders.hashlib.sha1
    first = min(range(40), key=lambda day: hashes(f"{day}/clip.mp4".encode()).digest())
    assert f"a/{first}/clip.mp4" in train


def test_a_class_of_one_video_is_for_training(tmp_path):
    touch(tmp_path, "one/a.mp4", *(f"many/{i}.mp4" for i in range(10)))
    for share in (0.8, 0.1):
        train, val = halves(tmp_path, share)
        assert "one/a.mp4" in train and not any(p.startswith("one") for p in val)


# A user's own clips


def own(folder: Path, split: str, **options):
    return user_clips.build(split, root=str(folder), **options)


def test_own_clips_in_lists(tmp_path):
    write(tmp_path / "train.csv", "clips/a.mp4,run\n")
    write(tmp_path / "val.txt", "clips/b.mp4 run\n")
    touch(tmp_path, "clips/a.mp4", "clips/b.mp4")
    assert rows(own(tmp_path, "train")) == [("clips/a.mp4", 0)]
    assert rows(own(tmp_path, "val", names=("run",))) == [("clips/b.mp4", 0)]


def test_own_clips_in_train_and_val(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/b/3.mp4")
    train = own(tmp_path, "train")
    assert (train.names, rows(train)) == (("a", "b"), [("a/1.mp4", 0), ("b/2.mp4", 1)])
    assert rows(own(tmp_path, "val", names=train.names)) == [("b/3.mp4", 1)]


def test_own_clips_in_one_folder_a_class(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in "ab" for i in range(10)))
    train, val = own(tmp_path, "train"), own(tmp_path, "val")
    assert (len(train), len(val)) == (16, 4)
    assert len(own(tmp_path, "train", train_share=0.5)) == 10


@pytest.mark.parametrize(
    "files,split,message",
    [
        (["train.csv"], "val", "has a list for train but no val.csv or val.txt"),
        (["val.txt", "a/1.mp4"], "train", "has a list for val but no train.csv or train.txt"),
        (["train/a/1.mp4"], "val", "has train/ but no val/"),
        (["val/a/1.mp4"], "train", "has val/ but no train/"),
        (["1.mp4"], "train", "no sub-folders; there must be one for each class"),
    ],
)
def test_own_clips_half_there(tmp_path, files, split, message):
    touch(tmp_path, *files)
    with pytest.raises(UserError, match=f"^{tmp_path}.*: {message}"):
        own(tmp_path, split)


def test_own_clips_nowhere(tmp_path):
    with pytest.raises(UserError, match=r"/none: no such folder; set --config\.data\.root"):
        own(tmp_path / "none", "train")
    # Not the working directory, which is what an empty path means elsewhere.
    with pytest.raises(UserError, match=r"set --config\.data\.root to the folder of your clips"):
        user_clips.build("train", root="")


# Several as one


def both(folder: Path, split="train", **options) -> concat.Concat:
    parts = {k: dict(name="class_folders", folder=k) for k in ("first", "second")}
    return concat.build(split, root=str(folder), **parts, **options)


def test_concat_is_one_after_the_other(tmp_path):
    write(tmp_path / "a.txt", "1.mp4 0\n2.mp4 1\n")
    write(tmp_path / "b.txt", "# b\n3.mp4 2\n")
    parts = {k: dict(name="video_list", file=f"{k}.txt") for k in "ab"}
    source = concat.build("train", root=str(tmp_path), **parts)
    assert len(source) == 3 and source.labels.tolist() == [0, 1, 2] and source.names == ()
    assert [Path(source[i]["path"]).name for i in range(3)] == ["1.mp4", "2.mp4", "3.mp4"]
    assert [int(source[i]["label"]) for i in range(3)] == [0, 1, 2]
    assert source.id(2) == str(tmp_path / "3.mp4")
    assert source.where(1) == f"{tmp_path}/a.txt:2" and source.where(2) == f"{tmp_path}/b.txt:2"
    assert source.origin == f"{tmp_path}/a.txt + {tmp_path}/b.txt"


def test_concat_numbers_the_classes_of_all_parts(tmp_path):
    """Each part by itself would call its first class 0."""
    touch(tmp_path, "first/run/1.mp4", "first/sit/2.mp4", "second/jump/3.mp4", "second/run/4.mp4")
    source = both(tmp_path)
    assert source.names == ("jump", "run", "sit")
    found = {Path(source[i]["path"]).name: int(source[i]["label"]) for i in range(4)}
    assert found == {"1.mp4": 1, "2.mp4": 2, "3.mp4": 0, "4.mp4": 1}
    given = both(tmp_path, names=("sit", "run", "jump"))
    assert given.labels.tolist() == [1, 0, 2, 1]


def test_concat_refuses_names_next_to_numbers(tmp_path):
    touch(tmp_path, "first/run/1.mp4")
    write(tmp_path / "b.txt", "3.mp4 0\n")
    parts = dict(
        a=dict(name="class_folders", folder="first"), b=dict(name="video_list", file="b.txt")
    )
    with pytest.raises(UserError, match=r"b\.txt: labels are numbers here.*config\.data\.names"):
        concat.build("train", root=str(tmp_path), **parts)
    source = concat.build("train", root=str(tmp_path), names=("run",), **parts)
    assert source.labels.tolist() == [0, 0]


def test_concat_of_nothing_and_of_what_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="concat needs the spec of at least one source"):
        concat.build("train", root=str(tmp_path))
    with pytest.raises(UserError, match=r'no source of data named "vidio_list".*"video_list"'):
        plug.load(
            "data.sources", dict(name="concat", a=dict(name="vidio_list")), split="train", root=""
        )
