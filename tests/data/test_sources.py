"""Annotations as users have them: lists, csv files, folders of classes, and what is wrong in them.

Nothing here opens a video, so the files of the folders are empty.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.sources import class_folders, concat, user_clips, video_list
from jaxvid.errors import UserError


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def read(folder: Path, text: str, file: str = "train.txt", encoding: str = "utf-8", **options):
    """The list `text`, as written to `folder` / `file`."""
    write(folder / file, text, encoding)
    return video_list.build("train", root=str(folder), file=file, **options)


def touch(folder: Path, *names: str):
    for name in names:
        write(folder / name, "")


def rows(source) -> list[tuple[str, int]]:
    """(file, label) of every video, with paths below the folder of the annotations."""
    base = Path(source.origin)
    base = base if base.is_dir() else base.parent
    samples = [source[i] for i in range(len(source))]
    return [(Path(s["path"]).relative_to(base).as_posix(), int(s["label"])) for s in samples]


# Lists


def test_list_as_mmaction_writes_it(tmp_path):
    source = read(tmp_path, "# a comment\na.mp4 0\n\n  sub/b.mp4\t12  \r\n")
    assert rows(source) == [("a.mp4", 0), ("sub/b.mp4", 12)]
    assert source.labels.dtype == np.int32 and source.names == ()
    assert source.id(1) == str(tmp_path / "sub/b.mp4")
    assert source.where(0) == f"{tmp_path}/train.txt:2"
    assert source.where(1) == f"{tmp_path}/train.txt:4"


def test_prefix_and_suffix(tmp_path):
    text = "a 0\nb.avi 1\n/elsewhere/c 2\n"
    source = read(tmp_path, text, prefix="videos", suffix=".mp4")
    expected = [f"{tmp_path}/videos/a.mp4", f"{tmp_path}/videos/b.avi", "/elsewhere/c.mp4"]
    assert list(source.paths) == expected


@pytest.mark.parametrize(
    "text,line",
    [
        ("my clip.mp4,0\nb.mp4,1\n", 1),
        ('"my clip.mp4",0\r\n"b.mp4", 1\r\n', 1),
        ("path,label\nmy clip.mp4,0\nb.mp4,1\n", 2),
        ("\ufeffpath,label\nmy clip.mp4,0\nb.mp4,1\n", 2),
        ("\ufeffmy clip.mp4,0\nb.mp4,1\n", 1),
        ("\n# made by hand\nVideo , Label\n\n my clip.mp4 , 0,\nb.mp4,1", 5),
    ],
    ids=["plain", "quotes", "header", "bom-header", "bom", "untidy"],
)
def test_csv(tmp_path, text, line):
    source = read(tmp_path, text, "train.csv")
    assert rows(source) == [("my clip.mp4", 0), ("b.mp4", 1)]
    assert source.where(0) == f"{tmp_path}/train.csv:{line}"


def test_a_line_of_csv_is_where_an_editor_shows_it(tmp_path):
    source = read(tmp_path, '"a\nb.mp4",0\nc.mp4,1\n', "train.csv")
    assert source.where(1).endswith(":3")


def test_bom_in_a_txt(tmp_path):
    assert rows(read(tmp_path, "\ufeffa.mp4 0\n")) == [("a.mp4", 0)]


@pytest.mark.parametrize(
    "file,text,message",
    [
        ("a.txt", "a.mp4 0\nb.mp4\n", 'a.txt:2: expected "path label", found "b.mp4"$'),
        ("a.txt", "a.mp4 0 1\n", "a.txt:1: .* several labels need multi_label=True"),
        ("a.txt", "my clip.mp4 0\n", "a.txt:1: .* paths with spaces a csv"),
        ("a.csv", "a.mp4,0\n\nb.mp4,\n", 'a.csv:3: expected "path,label", found "b.mp4"$'),
        ("a.csv", "a.mp4 0\n", 'a.csv:1: expected "path,label", found "a.mp4 0"'),
        ("a.csv", 'a.mp4,0\n"b.mp4,1\nc.mp4,1\n', "a.csv:2: unexpected end of data"),
        ("a.csv", "path,label\n", "a.csv: the list is empty"),
        ("a.txt", "# nothing yet\n", "a.txt: the list is empty"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, file, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, file)


def test_a_list_that_is_not_utf8(tmp_path):
    for encoding, hint in (("latin-1", "$"), ("utf-16", "; it is UTF-16, save it as UTF-8")):
        with pytest.raises(UserError, match=rf"train\.csv: this is not text in UTF-8{hint}"):
            read(tmp_path, "caf\u00e9.mp4,0\n", "train.csv", encoding)


def test_no_such_list(tmp_path):
    with pytest.raises(UserError, match=r"x\.txt: no such val list.*config\.data\.val\.file"):
        video_list.build("val", root=str(tmp_path), file="x.txt")


def test_names_come_from_the_training_list(tmp_path):
    train = read(tmp_path, "a.mp4,run\nb.mp4,jump high\nc.mp4,run\n", "train.csv")
    assert train.names == ("jump high", "run")
    assert train.labels.tolist() == [1, 0, 1]
    val = read(tmp_path, "d.mp4,run\n", "val.csv", names=train.names)
    assert val.labels.tolist() == [1] and val.names == train.names


def test_an_unknown_class_is_named_with_its_line_and_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r'val\.csv:2: no such class: "juump"\. Did .* "jump"\?'):
        read(tmp_path, "a.mp4,run\nb.mp4,juump\n", "val.csv", names=("jump", "run"))


def test_numbers_stay_numbers_where_names_are_known(tmp_path):
    assert read(tmp_path, "a.mp4 1\nb.mp4 0\n", names=("run", "jump")).labels.tolist() == [1, 0]
    # Class 1 of these 101 is called "2": the label says the class, not the name.
    names = tuple(map(str, range(1, 102)))
    assert read(tmp_path, "a.mp4 1\nb.mp4 2\n", names=names).labels.tolist() == [1, 2]


def test_a_numeral_can_be_the_name_of_a_class(tmp_path):
    """Even in a validation list that happens to have no other classes."""
    with pytest.warns(UserWarning, match='numbers and words, such as "hello" in line 1'):
        train = read(tmp_path, "a.mp4 hello\nb.mp4 2\nc.mp4 10\n")
    assert train.names == ("10", "2", "hello")
    assert read(tmp_path, "d.mp4 10\ne.mp4 2\n", names=train.names).labels.tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore:.*numbers and words")
@pytest.mark.parametrize("label", ["--1", "1-", "\u00b2", "1.0.0", "0x1"])
def test_what_is_no_number_is_a_name(tmp_path, label):
    assert read(tmp_path, f"a.mp4 {label}\nb.mp4 0\n").names == tuple(sorted(["0", label]))


@pytest.mark.parametrize("label", ["2", "2.0", "2.", "+2", "2e0", "02", '"2"'])
def test_whole_numbers_are_numbers_however_they_are_written(tmp_path, label):
    for file, text in (("t.csv", f"a.mp4,{label}\nb.mp4,10.0\n"), ("t.txt", f"a {label}\nb 10\n")):
        source = read(tmp_path, text, file)
        assert source.labels.tolist() == [2, 10] and source.names == ()
    assert read(tmp_path, "a.mp4 0 \nb.mp4  -1.0\n").labels.tolist() == [0, -1]  # check_labels


@pytest.mark.parametrize(
    "label,message",
    [
        ("1.5", r'train\.csv:3: label "1\.5" is no whole number.*config\.data\.names'),
        ("99999999999", r"train\.csv:3: label 99999999999 is no class"),
        ("9" * 5000, r"train\.csv:3: label"),
        ("-2147483649", r"train\.csv:3: label -2147483649 is no class"),
        ("1e300", r"train\.csv:3: label 1e300 is no class"),
        ("nan", r"train\.csv:3: the label is missing: 'nan'"),
        ("NaN", r"train\.csv:3: the label is missing: 'NaN'"),
        (",1", r'train\.csv:3: expected "path,label", found "b\.mp4,,1"$'),
    ],
)
def test_a_label_that_is_no_class_is_named(tmp_path, label, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, f"path,label\na.mp4,0\nb.mp4,{label}\n", "train.csv")


def test_names_of_classes_may_look_like_fractions_where_they_are_listed(tmp_path):
    with pytest.raises(UserError, match="no whole number"):
        read(tmp_path, "a.mp4 1.5\n", names=("1.5", "2.5"))
    assert read(tmp_path, "a.mp4 v1.5\n", names=("v1.5", "v2.5")).labels.tolist() == [0]


@pytest.mark.parametrize(
    "file,text",
    [
        ("t.csv", "my clip.mp4;0\nb.mp4;1\n"),
        ("t.csv", "path;label\nmy clip.mp4;0\nb.mp4;1\n"),
        ("t.csv", "my clip.mp4\t0\nb.mp4\t1\n"),
        ("t.tsv", "my clip.mp4\t0\nb.mp4\t1\n"),
        ("t.TSV", "\ufefffile_name\tlabel\r\nmy clip.mp4\t0\r\nb.mp4\t1\r\n"),
        ("t.csv", 'path, label\n"my clip.mp4", "0"\nb.mp4, 1\n'),
        ("t.csv", "my clip.mp4,0\rb.mp4,1\r"),
        ("t.txt", '"my clip.mp4" 0\nb.mp4 1\n'),
        ("t.txt", "\ufeff# list\r\n\r\n'b.mp4' 1\r\n\"my clip.mp4\"\t0"),
    ],
)
def test_lists_as_programs_write_them(tmp_path, file, text):
    text = text.replace("'", "")
    assert sorted(rows(read(tmp_path, text, file))) == [("b.mp4", 1), ("my clip.mp4", 0)]


def test_quotes_within_words_are_letters(tmp_path):
    assert rows(read(tmp_path, 'a"b".mp4 0\n"c 1\n')) == [('a"b".mp4', 0), ('"c', 1)]


def test_a_first_line_with_a_number_is_no_header(tmp_path):
    """A folder or a file may well be called "clip"."""
    assert rows(read(tmp_path, "clip,0\nb,1\n", "t.csv")) == [("clip", 0), ("b", 1)]


def test_multi_label(tmp_path):
    source = read(tmp_path, "a.mp4 0 2\nb.mp4 1\n", multi_label=True, num_classes=4)
    assert np.array_equal(source.labels, [[1, 0, 1, 0], [0, 1, 0, 0]])
    assert source[0]["label"].dtype == np.int32
    by_name = read(tmp_path, "a.mp4,run,jump\nb.mp4,sit\n", "a.csv", multi_label=True)
    assert by_name.names == ("jump", "run", "sit")
    assert np.array_equal(by_name.labels, [[1, 1, 0], [0, 0, 1]])


def test_categories_that_nobody_looked_at_are_masked(tmp_path):
    names = ("scene/beach", "scene/snow", "action/run", "object/ball")
    options: Any = dict(multi_label=True, names=names, num_classes=4)
    source = read(tmp_path, "a.mp4 1\nb.mp4 0 3\n", category_mask=True, **options)
    assert source[0]["label_mask"].tolist() == [1, 1, 0, 0]
    assert source[1]["label_mask"].tolist() == [1, 1, 0, 1]
    assert "label_mask" not in read(tmp_path, "a.mp4 1\n", **options)[0]


def test_multi_label_mistakes(tmp_path):
    with pytest.raises(UserError, match=r"train\.txt:2: label 4 is outside 0\.\.3"):
        read(tmp_path, "a.mp4 0 2\nb.mp4 1 4\n", multi_label=True, num_classes=4)
    with pytest.raises(UserError, match=r"needs config\.data\.num_classes"):
        read(tmp_path, "a.mp4 0 2\n", multi_label=True)


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
    with pytest.raises(UserError, match=r'no data\.sources named "vidio_list".*"video_list"'):
        plug.load(
            "data.sources", dict(name="concat", a=dict(name="vidio_list")), split="train", root=""
        )
