"""The page of a run: whole in itself, and of whatever there is."""

import csv
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from jaxvid.draw import plots
from jaxvid.errors import UserError
from jaxvid.tools import report

NAMES = ['run & "go"', "<b>中文</b>", "a_long_name_without_spaces_" * 6]


class Page(HTMLParser):
    """Tags must close, and texts and attributes are kept."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.text, self.links = [], [], [], []
        self.feed(content)
        assert self.open == []
        self.words = " ".join(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(run, **options) -> Page:
    path = report.write([run], options.get("out"))
    content = path.read_text(encoding="utf-8")
    page = Page(content)
    assert all(link.startswith("data:image/") for link in page.links)
    assert not re.search(r"https?://|<script|@import|url\(", content)
    assert "width=device-width" in content and "prefers-color-scheme:dark" in content
    return page


def begun(folder, steps=3):
    """A run under way: a config and lines, the last of them half written."""
    folder.mkdir(parents=True)
    config = {"model": {"name": "swin", "variant": "tiny"}, "optim": {"lr": 0.125}}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [
        {"step": 10 * s, "epoch": s, "train/loss": 1 / s, "train/lr": 0.1, "train/step_time": 0.5}
        for s in range(1, steps)
    ]
    lines.append({"step": 10 * steps, "epoch": steps, "val/top1": 0.25, "val/n": 8})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + '{"step": 99')
    return folder


def evaluated(folder, names=NAMES, clips=True):
    """What `--mode eval` leaves of recognition."""
    begun(folder)
    (folder / "eval").mkdir()
    rows = [(name, 4, i / len(names), float("nan"), names[0], 2) for i, name in enumerate(names)]
    counts = np.eye(len(names), dtype=int) * 3
    counts[-1, 0] += 2
    files = {
        "report.csv": [("name", "n", "recall", "precision", "confusion", "confused"), *rows],
        "confusion.csv": [
            ("true", *names),
            *((n, *row) for n, row in zip(names, counts.tolist(), strict=True)),
        ],
    }
    for name, content in files.items():
        with (folder / "eval" / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(content)
    metrics = {"test/top1": 0.75, "test/median_rank": 1.0, "test/n": 1200}
    (folder / "eval/manifest.json").write_text(json.dumps({"metrics": metrics}))
    entry = dict(id="clips/one.mp4", true=names[0], predicted=names[-1], score=0.5)
    if clips:
        entry["box"] = [0, 20, 40, 10]
        cv2.imwrite(str(folder / "eval/worst.png"), np.zeros((30, 50, 3), np.uint8))
    (folder / "eval/examples.json").write_text(json.dumps({"worst": [entry], "best": []}))
    return folder


def test_a_run_under_way_has_curves_and_config(tmp_path):
    page = read(begun(tmp_path / "run"))
    assert page.tags.count("svg") == 4  # loss, top1, lr, step_time
    assert {"Curves", "Config", "Speed", "optim.lr", "0.125"} <= set(page.text)
    assert "swin tiny, step 30, epoch 3.00" in page.words
    assert "25.0%" in page.text and "img" not in page.tags
    assert not {"Classes", "Confusion matrix", "Worst clips"} & set(page.text)


def test_an_evaluated_run_has_all_of_it(tmp_path):
    page = read(evaluated(tmp_path / "run"))
    for title in ("Metrics", "Curves", "Confusion matrix", "Classes", "Worst clips", "Config"):
        assert title in page.text
    assert "Best clips" not in page.text
    assert {"75.0%", "1,200", "66.7%", *NAMES} <= set(page.text)  # names as they are, escaped
    assert "b" in page.tags and "nan" not in page.text
    assert f"predicted: 50% {NAMES[-1]} " in page.text and "one.mp4" in page.text
    (link,) = page.links
    assert link.startswith("data:image/jpeg")


@pytest.mark.parametrize("count", [1, 40, 41, 400])
def test_any_number_of_classes(tmp_path, count):
    names = [f"class {i}" for i in range(count)]
    page = read(evaluated(tmp_path / "run", names, clips=False))
    assert names[-1] in page.text
    assert len(page.links) == (count > plots.LABELED)  # many classes are a picture
    assert page.tags.count("figure") == 1  # a clip without its frames


def test_the_weakest_class_comes_first(tmp_path):
    path = evaluated(tmp_path / "run", ["a", "b", "c"]) / "eval/report.csv"
    path.write_text("name,n,recall\na,1,0.5\nb,1,nan\nc,1,0.25\n")
    words = read(tmp_path / "run").words
    assert words.index(" 25.0%") < words.index(" 50.0%") < words.index(" \N{EN DASH}")


@pytest.mark.parametrize(
    "name,content,expected",
    [
        ("report.csv", "name,n,ap\nwave,3,0.5\nrun,2,0.25\n", "25.0%"),  # detection, localization
        ("ranks.csv", "video,rank_of_text\nx.mp4,1.0\n", "1"),  # retrieval
    ],
)
def test_tasks_of_other_tables(tmp_path, name, content, expected):
    folder = tmp_path / "run"
    (folder / "eval").mkdir(parents=True)
    (folder / "eval" / name).write_text(content)
    page = read(folder)
    assert expected in page.text and "Confusion matrix" not in page.text


def test_several_runs_are_compared(tmp_path):
    evaluated(tmp_path / "runs/one")
    begun(tmp_path / "runs/two", steps=5)
    (tmp_path / "runs/empty").mkdir()
    page = read(tmp_path / "runs")
    assert {"2 runs", "one", "two", "75.0%", "25.0%", "val/top1"} <= set(page.text)
    assert (tmp_path / "runs/report.html").exists()
    assert page.tags.count("svg") == 3  # loss, top1, lr
    out = tmp_path / "here.html"
    report.write([tmp_path / "runs/one", tmp_path / "runs/two"], out)
    assert "2 runs" in Page(out.read_text(encoding="utf-8")).text
    report.write([tmp_path / "runs/one"], None)
    assert report.write([tmp_path / "runs/one", tmp_path / "runs/two"], None).parent.name == "runs"
    assert "2 runs" not in Page((tmp_path / "runs/one/report.html").read_text("utf-8")).text


def test_values_for_people():
    values = [("top1", "0.5"), ("t2v_rank", "1.0"), ("loss", "0.5"), ("n", "1"), ("n", "12000")]
    assert [report.shown(*v) for v in values] == ["50.0%", "1", "0.5", "1", "12,000"]
    assert report.shown("ap", "nan") == "\N{EN DASH}" and report.shown("x", "wave") == "wave"


def test_mistakes(tmp_path, capsys):
    assert report.main([str(tmp_path / "none")]) == 1
    assert report.main([str(tmp_path)]) == 1
    err = capsys.readouterr().err.splitlines()
    assert "no such folder" in err[0] and "no run" in err[1] and len(err) == 2
    with pytest.raises(UserError, match="cannot write"):
        report.write([begun(tmp_path / "run")], tmp_path / "none" / "x.html")


def test_the_command(tmp_path, capsys):
    assert report.main([str(begun(tmp_path / "run"))]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path}/run/report.html\n"
