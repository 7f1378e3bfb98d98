"""Captions from files as they are published, what is wrong in them, and the recipe."""

import json

import numpy as np
import pytest

from jaxvid.data.recipes import video_text as recipe
from jaxvid.data.sources import video_text
from jaxvid.data.text.tokenizer import tokenize
from jaxvid.data.transforms.text import Tokenize
from jaxvid.errors import UserError
from tests.conftest import logs

RNG = np.random.default_rng(0)
LIST = {"a.mp4": ["a man sings", "someone sings"], "b.mp4": ["a dog runs"]}


def read(folder, text, split="train", file="captions.json", **options):
    (folder / file).write_text(text if isinstance(text, str) else json.dumps(text, indent=0))
    return video_text.build(split, root=str(folder), file=file, prefix="videos", **options)


def content(source):
    return [
        (source[i]["path"].rpartition("/")[2], source[i]["captions"]) for i in range(len(source))
    ]


def test_training_has_a_row_a_caption(tmp_path):
    source = read(tmp_path, LIST)
    assert content(source) == [
        ("a.mp4", ("a man sings",)),
        ("a.mp4", ("someone sings",)),
        ("b.mp4", ("a dog runs",)),
    ]
    assert source[0]["path"] == f"{tmp_path}/videos/a.mp4"
    assert len({source.id(i) for i in range(3)}) == 3
    assert source.labels.tolist() == [0, 0, 0]


def test_evaluation_has_a_row_a_video_with_as_many_captions_everywhere(tmp_path):
    source = read(tmp_path, LIST, split="val")
    assert content(source) == [
        ("a.mp4", ("a man sings", "someone sings")),
        ("b.mp4", ("a dog runs", "")),
    ]
    assert content(read(tmp_path, LIST, split="val", keep=1))[0] == ("a.mp4", ("a man sings",))


def test_the_files_of_msrvtt_and_msvd_say_the_same(tmp_path):
    want = [("a.mp4", ("a man sings",)), ("b.mp4", ("a dog, big, runs",))]
    own = {
        "videos": [
            {"video_id": v, "split": s} for v, s in (("a", "test"), ("b", "test"), ("c", "train"))
        ],
        "sentences": [
            {"video_id": v, "caption": c}
            for v, c in (("c", "other"), ("a", "a man sings"), ("b", "a dog, big, runs"))
        ],
    }
    assert content(read(tmp_path, own, split="test", subset="test")) == want
    table = (
        'key,vid_key,video_id,sentence\nret0,msr1,a,a man sings\nret1,msr2,b,"a dog, big, runs"\n'
    )
    assert content(read(tmp_path, table, split="test", file="test.csv")) == want
    lines = "# MSVD\na a man sings\n\nb a dog, big, runs\n"
    assert content(read(tmp_path, lines, split="test", file="captions.txt")) == want


@pytest.mark.parametrize(
    "file,text",
    [
        ("x.csv", "video;caption\n'a;a man, and a dog\nb.mp4;a\u2028b\n"),
        ("x.csv", '# by hand, "x\nvideo,caption,by\n\'a,"a man, and a dog"\nb.mp4,a\u2028b,me\n'),
        ("x.tsv", "caption\tvideo\na man, and a dog\t'a\na\u2028b\tb.mp4\n"),
        ("x.txt", "# by hand\n'a\ta man, and a dog\nb.mp4\ta\u2028b"),
        ("x.txt", '"\'a" a man, and a dog\r\nb.mp4 a\u2028b\r\n'),
    ],
)
def test_captions_are_read_by_the_rules_of_lists(tmp_path, file, text):
    source = read(tmp_path, text, split="val", file=file)
    want = [("'a.mp4", ("a man, and a dog",)), ("b.mp4", ("a\u2028b",))]
    assert content(source) == want


@pytest.mark.parametrize(
    "file,text,message",
    [
        ("x.json", '{\n"a": ["sings"],\n"b": [" "]\n}', r'x\.json:3: "b" has an empty caption'),
        ("x.json", '{\n"a": ["sings", 3]}', r'x\.json:2: "a" is .*3.; expected captions that'),
        ("x.json", '{\n"a": []}', r'x\.json:2: "a" has no captions'),
        ("x.json", '{"a": ["x"],\n"b": ["y"],\n"a": ["z"]}', r'x\.json:3: "a" is listed twice'),
        ("x.json", '{"a": ["x"],\n}', r"x\.json:\d: this is not json"),
        ("x.json", '{"a": "x"}', r'x\.json:1: "a" is .x.; expected \["CAPTION", \.\.\.\], or the'),
        ("x.json", '["a"]', r'x\.json: expected \{"VIDEO": \["CAPTION", \.\.\.\]\}'),
        ("x.json", "{}", r"x\.json: there are no captions"),
        (
            "x.json",
            '{"videos": [{"video_id": "a"},\n{"video_id": "a"}], "sentences": []}',
            r'x\.json:2: "a" is twice in "videos"',
        ),
        (
            "x.csv",
            "video_id,words\na,b\n",
            r"x\.csv:1: the header needs a column .* video_id, words",
        ),
        ("x.csv", "video_id,sentence\na,b,c\n", r"x\.csv:2: 3 cells, but 2 columns; quote"),
        ("x.csv", "video_id,sentence\n,b\n", r"x\.csv:2: the video has no name"),
        ("x.csv", "video_id,sentence\na,\n", r'x\.csv:2: "a" has an empty caption'),
        ("x.txt", "a sings\nb\n", r'x\.txt:2: "b" has an empty caption'),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, file, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, file=file)


def msrvtt(videos=(), sentences=()):
    """MSR-VTT's own json of two videos, with some more entries."""
    own = [{"video_id": v, "split": "train"} for v in ("a", "b")]
    said = [{"video_id": v, "caption": f"{v} sings"} for v in ("a", "b")]
    return {"videos": [*own, *videos], "sentences": [*said, *sentences]}


@pytest.mark.parametrize(
    "content,message",
    [
        (msrvtt([{"id": "c"}]), r'videos\[2\]: no "video_id" in it'),
        (msrvtt([{"video_id": None}]), r'videos\[2\]: "video_id" is None; expected text or a'),
        (msrvtt([{"video_id": 1.5}]), r'videos\[2\]: "video_id" is 1\.5; expected'),
        (msrvtt([{"video_id": "c"}]), r'videos\[2\]: no "split" in it'),
        (msrvtt(["c"]), r"videos\[2\]: expected a dict, found a str"),
        (msrvtt((), [{"caption": "x"}]), r'sentences\[2\]: no "video_id" in it'),
        (msrvtt((), [{"video_id": "a", "text": "x"}]), r'sentences\[2\]: no "caption" in it'),
        (
            msrvtt((), [{"video_id": "a", "caption": 3}]),
            r'sentences\[2\]: "caption" is 3; expected',
        ),
        (msrvtt() | {"videos": {}}, r'"videos" is \{\}; expected a list'),
    ],
)
def test_an_entry_of_msrvtt_is_named_with_its_key(tmp_path, content, message):
    with pytest.raises(UserError, match=r"captions\.json: " + message):
        read(tmp_path, content, subset="train")


def test_ids_of_msrvtt_may_be_numbers(tmp_path):
    own = {"videos": [{"video_id": 7}], "sentences": [{"video_id": "7", "caption": "x"}]}
    assert content(read(tmp_path, own)) == [("7.mp4", ("x",))]


def test_what_is_left_out_of_msrvtt_is_counted(tmp_path):
    own = msrvtt([{"video_id": "c", "split": "train"}], [{"video_id": "d", "caption": "x"}])
    with logs("left out") as caught:
        assert len(read(tmp_path, own, subset="train")) == 2
    said = "\n".join(caught)
    assert '1 "sentences" belong to a video that is not in "videos", such as "d"' in said
    assert '1 "videos" have no sentence, such as "c"' in said
    with pytest.raises(UserError, match=r'no video of the subset "trian". Did you mean "train"'):
        read(tmp_path, msrvtt(), subset="trian")


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.json: no such val captions.*config\.data\.val"):
        video_text.build("val", root=str(tmp_path), file="nothing.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text in UTF-8"):
        video_text.build("val", root=str(tmp_path), file="x.json")


def test_captions_become_tokens_and_empty_ones_zeros():
    found = Tokenize(6)({"captions": ("a photo", ""), "label": 0}, RNG)
    assert found["text"].tolist() == [tokenize("a photo", 6).tolist(), [0] * 6]
    assert found.keys() == {"text", "label"}


def test_labels_go_into_every_template_one_after_another():
    found = Tokenize(8, ("{}", "a video of {}."))({"labels": ("jump", "run"), "path": "v"}, RNG)
    want = [tokenize(t, 8) for t in ("jump", "a video of jump.", "run", "a video of run.")]
    np.testing.assert_array_equal(found["text"], want)
    assert found["path"] == "v"
    with pytest.raises(UserError, match=r'"a video" needs one \{\}'):
        Tokenize(8, ("a video",))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_recipe_gives_frames_and_texts_of_fixed_shapes(split):
    sample = recipe.example()
    for step in recipe.build(split, frames=3, size=32, short_side=32, length=9):
        sample = step(sample, RNG)
    assert sample["video"].shape == (1, 3, 32, 32, 3)
    assert sample["video"].dtype == np.uint8
    assert (sample["text"].shape, sample["text"].dtype) == ((1, 9), np.int32)
    assert all(isinstance(value, np.ndarray) for value in sample.values())


def test_a_video_alone_needs_no_text():
    sample = {"reader": recipe.example()["reader"]}
    for step in recipe.build("test", frames=3, size=32, short_side=32):
        sample = step(sample, RNG)
    assert sample.keys() == {"video"}


def test_a_list_of_videos_and_a_paragraph(tmp_path):
    rows = [{"video": "a.mp4", "caption": "one"}, {"video": "b.mp4", "caption": ["x.", "y."]}]
    (tmp_path / "c.json").write_text(json.dumps(rows))
    source = video_text.build("val", root=str(tmp_path), file="c.json")
    assert source.captions == (("one", ""), ("x.", "y."))
    joined = video_text.build("val", root=str(tmp_path), file="c.json", paragraph=True)
    assert joined.captions == (("one",), ("x. y.",))
    (tmp_path / "c.json").write_text(json.dumps([{"video": "a.mp4", "caption": 3}]))
    with pytest.raises(UserError, match=r"\[0\].*caption"):
        video_text.build("val", root=str(tmp_path), file="c.json")
