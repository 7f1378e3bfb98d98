"""Every tool for every task: it works, or ends in one line that says why not and what to do."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jaxvid import cli, main, predict
from jaxvid.data.annotations import feature_files
from jaxvid.tools import (
    bench_loader,
    browse,
    check,
    detect,
    doctor,
    export_weights,
    extract_features,
    find_batch,
    report,
    time_control,
)
from jaxvid.weights import torch_file
from tests.data import people
from tests.tools.tiny_tasks import TASKS

pytestmark = pytest.mark.long

SHIPPED = {
    "recognition": "finetune:mini",
    "text_classes": "xclip_own:mini",
    "masked": "videomae_pretrain:mini",
    "multi_label": "multi_label_own:mini",
    "audio": "audio_own:mini",
    "skeleton": "stgcn_ntu60",
    "localization": "bmn_own:mini",
    "detection": "fast_rcnn_own:mini",
    "retrieval": "clip4clip_msrvtt",
}
METRICS = {
    "recognition": "top1",
    "text_classes": "top1",
    "masked": "loss",
    "multi_label": "map",
    "audio": "top1",
    "skeleton": "top1",
    "localization": "auc",
    "detection": "map",
    "retrieval": "t2v_r1",
}
INSTEAD = "take the features of a model that recognizes actions in videos, such as swin_tiny_k400"
ORDER = r"cannot be played in another order; time_control is for recognizers of videos"
# (tool, task) -> the line that a refusal ends with
REFUSALS = {
    ("browse", "localization"): "the samples hold features; see what .* `python -m jaxvid.predict",
    ("extract_features", "skeleton"): rf"\(recipe skeleton\) hold no videos; {INSTEAD}",
    ("extract_features", "localization"): rf"\(recipe localization\) hold no videos; {INSTEAD}",
    ("extract_features", "detection"): f"which needs 'proposals' in addition to a video; {INSTEAD}",
    ("extract_features", "audio"): rf"\(recipe audio\) hold no videos; {INSTEAD}",
    ("time_control", "audio"): ORDER,
    ("time_control", "skeleton"): ORDER,
    ("time_control", "localization"): ORDER,
    ("time_control", "detection"): ORDER,
    ("time_control", "retrieval"): ORDER,
    ("time_control", "text_classes"): ORDER,
    ("time_control", "masked"): ORDER,
    ("predict", "masked"): "restores pixels and knows no classes: .* or use its features",
    (
        "predict",
        "skeleton",
    ): r"val_0\.mp4: this model needs skeletons; give it a file of key points",
    ("predict", "detection"): "give a sample with time and proposals, or use .*jaxvid.tools.detect",
    ("predict", "retrieval"): "give it labels to choose from, --labels .*jaxvid.tools.retrieve",
}


@dataclass(frozen=True)
class Case:
    """A run of one step: its task, config and folder, and a video that is like its data."""

    task: str
    config: Any
    run: Path
    video: Path

    def __call__(self, main: Callable, *arguments: Any) -> int:
        return main([*map(str, arguments), f"--checkpoint={self.run}"])


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Callable[[str], Case]:
    @functools.cache
    def make(task: str) -> Case:
        root = tmp_path_factory.mktemp(task)
        config, video = TASKS[task](root), root / "videos" / "val_0.mp4"
        if task == "localization":
            video = root / "set" / "videos" / "val_0000.mp4"
            folders = root / "set" / "videos", root / "set" / "features", "--every=8"
            assert make("recognition")(extract_features.main, *folders) == 0
        if task == "detection":
            video = root / "videos" / "val_000.mp4"
        main.train(config.copy_and_resolve_references(), root / "run")
        return Case(task, config, root / "run", video)

    return make


def run_browse(case: Case, out: Path) -> int:
    return cli.guard(lambda: browse.show(case.config, "val", 2, str(out / "sheet"), 8))


def see_browse(case: Case, out: Path, printed: str):
    """Two views, and what is special of the task: notes below, or colors of its drawings."""
    assert printed.startswith("2 views of ")
    sheet = cv2.imread(str(out / "sheet_val.png"))
    assert sheet is not None and (out / "sheet_val.mp4").stat().st_size > 1000
    orange = (sheet == (20, 120, 230)).all(-1).sum()  # BGR of the first box, or person
    assert (orange > 100) == (case.task in ("detection", "skeleton"))


def run_check(case: Case, out: Path) -> int:
    return cli.guard(lambda: check.check(case.config, None, True, 10))


def see_check(case: Case, out: Path, printed: str):
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
    assert rows["train"][0] == "8"
    assert all(rows[name][-1] == "ok" for name in ("labels", "missing", "overlap"))


def run_bench_loader(case: Case, out: Path) -> int:
    return cli.guard(lambda: bench_loader.report(case.config, 2, 1, [0], 250.0))


def see_bench_loader(case: Case, out: Path, printed: str):
    assert "transfer (here to the device)" in printed
    assert re.search(r"a batch of 8 every 250 ms is 32\.0 clips/s: \d+ worker", printed)


def run_find_batch(case: Case, out: Path) -> int:
    """With memory for a batch of 8 and no more, if others take memory in proportion.

    That spares the time to compile them.
    """
    config = case.config.copy_and_resolve_references()
    needed = find_batch.needing(config)(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find_batch, "needing", lambda *_: lambda batch: needed * batch // 8)
        return cli.guard(lambda: find_batch.report(config, 1.5 * needed / 2**30))


def see_find_batch(case: Case, out: Path, printed: str):
    assert printed.splitlines()[-1] == "--config.batch=8"


def run_extract_features(case: Case, out: Path) -> int:
    return case(extract_features.main, case.video, out, "--every=4")


def see_extract_features(case: Case, out: Path, printed: str):
    assert "1 of 1 videos have features" in printed
    feature, made = feature_files.read(out / f"{case.video.stem}.npz")
    channels = {"retrieval": 32, "text_classes": 64}  # those of frames, and those of patches
    assert feature.shape == (2, channels.get(case.task, 16))
    assert made is not None and made.frames == case.config.data.recipe.frames
    assert made.stride == (2 if case.task in channels else 1)  # 2 frames over every 4


def run_time_control(case: Case, out: Path) -> int:
    return time_control.main([f"--workdir={case.run}"])


def see_time_control(case: Case, out: Path, printed: str):
    rows = [line.split() for line in printed.splitlines()]
    assert [row[0] for row in rows] == ["forward", "reverse", "shuffle", "freeze"]
    assert {row[1] for row in rows} == {METRICS[case.task]}
    lines = map(json.loads, (case.run / "metrics.jsonl").read_text().splitlines())
    forward = next(line[f"val/{rows[0][1]}"] for line in lines if f"val/{rows[0][1]}" in line)
    assert rows[0][2] == f"{forward:.1%}"


def run_show_config(case: Case, out: Path) -> int:
    """In a pipe whose reader leaves after a line."""
    tool = f"{sys.executable} -m jaxvid.tools.show_config --config {SHIPPED[case.task]} --flat"
    command = f"set -o pipefail; {tool} > {out}/all.txt && {tool} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode % 141  # as a shell reports a pipe whose reader has left


def see_show_config(case: Case, out: Path, printed: str):
    lines = (out / "all.txt").read_text().splitlines()
    task = "recognition" if case.task in ("skeleton", "audio") else case.task
    assert f"--config.task.name={task}" in lines and len(lines) > 40
    assert printed.splitlines() == lines[:1]


def run_predict(case: Case, out: Path) -> int:
    return case(predict.main, case.video, "--json", f"--out={out}/seen.mp4")


def see_predict(case: Case, out: Path, printed: str):
    found = json.loads(printed)
    assert found["video"] == str(case.video) and len(found["labels"]) == len(found["scores"]) > 1
    assert ("segments" in found) == (case.task == "localization")
    assert (out / "seen.mp4").stat().st_size > 1000


def run_export_weights(case: Case, out: Path) -> int:
    return export_weights.main([str(case.run), f"--out={out}/weights.safetensors"])


def see_export_weights(case: Case, out: Path, printed: str):
    tensors = torch_file.load(out / "weights.safetensors")
    assert f"wrote {len(tensors)} tensors to " in printed and len(tensors) > 10


def run_report(case: Case, out: Path) -> int:
    return report.main([str(case.run), f"--out={out}/run.html"])


def see_report(case: Case, out: Path, printed: str):
    page = (out / "run.html").read_text()
    assert f"val/{METRICS[case.task]}" in page and page.count("<svg") > 1


TOOLS = (
    "browse",
    "check",
    "bench_loader",
    "find_batch",
    "extract_features",
    "time_control",
    "show_config",
    "predict",
    "export_weights",
    "report",
)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("tool", TOOLS)
def test_it_works_or_says_why_not(tool, task, case, tmp_path, capsys):
    made = case(task)
    capsys.readouterr()
    code = globals()[f"run_{tool}"](made, tmp_path)
    out, err = capsys.readouterr()
    if message := REFUSALS.get((tool, task)):
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (code, len(errors), err.splitlines()[-1:]) == (1, 1, errors)
        assert re.search(message, errors[0])
    else:
        assert code == 0, err
        globals()[f"see_{tool}"](made, tmp_path, out)


def test_doctor_knows_no_task(capsys):
    code, lines = doctor.main([]), capsys.readouterr().out.splitlines()
    bad = [line for line in lines if line.startswith("BAD")]
    assert code == bool(bad)
    assert any("H.264" in line for line in lines)


# What the refusals advise


def test_a_skeleton_model_takes_a_file_of_key_points(case, capsys):
    made = case("skeleton")
    assert made(predict.main, made.run.parent / "alone.npz") == 0
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]} == {
        "pair",
        "walk",
    }


def test_a_retrieval_model_takes_labels_and_a_recognizer_takes_none(case, capsys):
    made = case("retrieval")
    assert made(predict.main, made.video, "--labels", "red", "blue") == 0
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]} == {"red", "blue"}
    made = case("recognition")
    assert made(predict.main, made.video, "--labels", "red", "blue") == 1
    assert "so it takes no labels" in capsys.readouterr().err


def test_detect_takes_a_video_and_boxes(case, tmp_path, capsys):
    made = case("detection")
    boxes = f"--proposals={made.run.parent / 'val_proposals.pkl'}"
    code = made(detect.main, made.video, boxes, f"--start={people.START}", "--topk=1")
    assert code == 0
    assert capsys.readouterr().out.count("%") == 4  # two people at two moments


def test_a_timeline_is_the_picture_of_localization(case, tmp_path, capsys):
    made = case("localization")
    assert made(predict.main, made.video, f"--out={tmp_path}/x.png") == 0
    assert np.ptp(cv2.imread(str(tmp_path / "x.png"))) > 100
