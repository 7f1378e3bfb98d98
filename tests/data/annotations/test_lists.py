"""Lists of videos as users write them, csv and text, and what is wrong in them.

Nothing here opens a video, so there are none.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxvid.data.sources import video_list
from jaxvid.errors import UserError
from tests.conftest import logs


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def read(folder: Path, text: str, file: str = "train.txt", encoding: str = "utf-8", **options):
    """The list `text`, as written to `folder` / `file`."""
    write(folder / file, text, encoding)
    return video_list.build("train", root=str(folder), file=file, **options)


def rows(source) -> list[tuple[str, int]]:
    """(file, label) of every video, with paths below the folder of the annotations."""
    base = Path(source.origin)
    base = base if base.is_dir() else base.parent
    samples = [source[i] for i in range(len(source))]
    return [(Path(s["path"]).relative_to(base).as_posix(), int(s["label"])) for s in samples]


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


@pytest.mark.parametrize("comment", ['# a, "b" c', '# a, "b', "# don't; stop", '  # a, "b"'])
def test_a_comment_may_hold_quotes_and_separators(tmp_path, comment):
    source = read(tmp_path, f"{comment}\na.mp4,0\n{comment}\nb.mp4,1\n", "train.csv")
    assert rows(source) == [("a.mp4", 0), ("b.mp4", 1)]
    assert source.where(1).endswith(":4")


def test_a_number_sign_within_quotes_is_no_comment(tmp_path):
    source = read(tmp_path, '"a\n# b.mp4",0\n"#c.mp4",1\n', "train.csv")
    assert rows(source) == [("a\n# b.mp4", 0), ("#c.mp4", 1)]


def test_bom_in_a_txt(tmp_path):
    assert rows(read(tmp_path, "\ufeffa.mp4 0\n")) == [("a.mp4", 0)]


@pytest.mark.parametrize(
    "file,text,message",
    [
        ("a.txt", "a.mp4 0\nb.mp4\n", 'a.txt:2: expected "path label", found "b.mp4"$'),
        ("a.txt", "a.mp4 0 1\n", "a.txt:1: .* several labels need config.task.name=multi_label"),
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
    with logs('numbers and words, such as "hello" in line 1'):
        train = read(tmp_path, "a.mp4 hello\nb.mp4 2\nc.mp4 10\n")
    assert train.names == ("10", "2", "hello")
    assert read(tmp_path, "d.mp4 10\ne.mp4 2\n", names=train.names).labels.tolist() == [0, 1]


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
        ("1.5", r'train\.csv:3: label "1\.5" is not a whole number.*config\.data\.names'),
        ("99999999999", r"train\.csv:3: label 99999999999 is not a class number"),
        ("9" * 5000, r"train\.csv:3: label"),
        ("-2147483649", r"train\.csv:3: label -2147483649 is not a class number"),
        ("1e300", r"train\.csv:3: label 1e300 is not a class number"),
        ("nan", r"train\.csv:3: the label is missing: 'nan'"),
        ("NaN", r"train\.csv:3: the label is missing: 'NaN'"),
        (",1", r'train\.csv:3: expected "path,label", found "b\.mp4,,1"$'),
    ],
)
def test_a_label_that_is_no_class_is_named(tmp_path, label, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, f"path,label\na.mp4,0\nb.mp4,{label}\n", "train.csv")


def test_names_of_classes_may_look_like_fractions_where_they_are_listed(tmp_path):
    with pytest.raises(UserError, match="not a whole number"):
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
    with pytest.raises(UserError, match=r"train\.txt:2: label -1 is outside 0\.\.2"):
        read(tmp_path, "a.mp4 0 2\nb.mp4 -1\n", multi_label=True)
    table = "path,run,sit,jump\na.mp4,1,0,1\nb.mp4,0,1,0\n"
    with pytest.raises(UserError, match=r"t\.csv:2: this looks like a column of 0 and 1"):
        read(tmp_path, table, "t.csv", multi_label=True)


def test_numbers_of_several_labels_count_up_to_the_largest(tmp_path):
    source = read(tmp_path, "a.mp4 0 2\nb.mp4 1\n", multi_label=True)
    assert np.array_equal(source.labels, [[1, 0, 1], [0, 1, 0]])
