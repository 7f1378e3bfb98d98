import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tools import fuse
from tests.conftest import CASES

RNG = np.random.default_rng(0)
N, C = 40, 7
LABEL = RNG.integers(0, C, N)
ONE, TWO = RNG.random((2, N, C)).astype(np.float32)
IDS = np.array([f"clip_{i}" for i in RNG.permutation(N)])


@pytest.fixture
def save(tmp_path):
    def write(name, **arrays):
        path = tmp_path / name
        np.savez(path, **arrays)
        return str(path)

    return write


def rows(text):
    """{name of the dump: its metrics} of a printed table."""
    lines = [line.split() for line in text.splitlines()[1:]]
    return {Path(line[0]).name: [float(x) for x in line[-3:]] for line in lines}


def top1(score, label=LABEL):
    return round(float(np.mean(score.argmax(1) == label)), 4)


def test_known_numbers_of_two_skeleton_models(capsys):
    data = os.environ.get("JAXVID_DATA")
    if not data:
        pytest.skip("needs JAXVID_DATA: a folder with eval/fuse_joint.npz and eval/fuse_bone.npz")
    files = [str(Path(data, "eval", f"fuse_{name}.npz")) for name in ("joint", "bone")]
    assert fuse.main(files) == 0
    names = {"Metrics-23": "fuse_joint.npz", "Metrics-24": "fuse_bone.npz", "Metrics-25": "fused"}
    keys = "top1", "top5", "mean1"
    assert rows(capsys.readouterr().out) == {
        file: [CASES[name]["expected"][key] for key in keys] for name, file in names.items()
    }


@pytest.fixture
def evaluations(monkeypatch, tmp_path):
    """The commands of evaluations, which write a dump of random scores in place of a model."""
    commands = []

    def run(command, check):
        commands.append(command[1:])
        workdir = Path(command[command.index("--workdir") + 1])
        if workdir.name == "broken":
            return subprocess.CompletedProcess(command, 1)
        (workdir / "eval").mkdir(parents=True)
        score = ONE if "joint" in workdir.name else TWO
        np.savez(workdir / "eval/predictions.npz", score=score, label=LABEL)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(tmp_path)
    return commands


def test_published_streams_are_evaluated_and_fused_in_one_command(evaluations, capsys):
    streams = ["stgcnpp_2d_joint_ntu60", "stgcnpp_2d_u100_bone_ntu60"]
    for _ in range(2):  # what was evaluated is not evaluated again
        assert fuse.main([*streams, "--weights", "2", "1", "--root", "data"]) == 0
        table = rows(capsys.readouterr().out)
        assert table["fused"][0] == top1(2 * ONE + TWO)
    assert len(evaluations) == 2
    name = "stgcnpp_2d_u100_joint_ntu60"
    assert evaluations[0] == [
        *("-m", "jaxvid.main", "--mode", "eval", "--workdir", f"runs/{name}"),
        *("--config", "configs/stgcnpp_ntu60.py:2d_j", "--checkpoint", name),
        "--config.data.root=data",
    ]


def test_runs_are_evaluated_where_they_have_not_been(evaluations, save, capsys):
    Path("runs/joint").mkdir(parents=True)
    Path("runs/bone/eval").mkdir(parents=True)
    save("runs/bone/eval/predictions.npz", score=TWO, label=LABEL)
    assert fuse.main(["runs/joint", "runs/bone"]) == 0
    assert rows(capsys.readouterr().out)["fused"][0] == top1(ONE + TWO)
    assert evaluations == [["-m", "jaxvid.main", "--mode", "eval", "--workdir", "runs/joint"]]


@pytest.mark.parametrize(
    "model,message",
    [
        ("stgcnpp_2d_joints_ntu60", "stgcnpp_2d_joint_ntu60"),
        ("runs/broken", "runs/broken: its evaluation failed"),
    ],
)
def test_a_model_that_is_not_evaluated(evaluations, model, message, capsys):
    Path("runs/broken").mkdir(parents=True)
    assert fuse.main([model]) != 0
    assert message in capsys.readouterr().err


def test_fuses_by_order_with_weights(save, capsys):
    a, b = save("a.npz", score=ONE, label=LABEL), save("b.npz", score=TWO, label=LABEL)
    assert fuse.main([a, b, "--weights", "2", "0.5"]) == 0
    table = rows(capsys.readouterr().out)
    assert table["a.npz"][0] == top1(ONE)
    assert table["b.npz"][0] == top1(TWO)
    assert table["fused"][0] == top1(2 * ONE + 0.5 * TWO)
    assert (
        len({top1(x) for x in (ONE, TWO, ONE + TWO, 2 * ONE + 0.5 * TWO)}) == 4
    )  # or the lines above show nothing


def test_matches_by_id_and_writes_a_dump(save, tmp_path):
    shuffle = RNG.permutation(N)
    a = save("a.npz", id=IDS, score=ONE, label=LABEL, views=12)
    b = save("b.npz", id=IDS[shuffle], score=TWO[shuffle], label=LABEL[shuffle], views=3)
    out = tmp_path / "fused.dump"
    assert fuse.main([a, b, "--out", str(out)]) == 0
    fused = fuse.read(str(out))
    np.testing.assert_array_equal(fused.id, IDS)
    np.testing.assert_array_equal(fused.label, LABEL)
    np.testing.assert_array_equal(fused.score, ONE + TWO)
    assert fused.views == 15


@pytest.mark.parametrize("other", ["flow_val/{}", "audio_features/{}.npy", "/mnt/val/{}.FLAC"])
def test_streams_of_a_video_are_matched_by_its_name(save, tmp_path, said, other):
    """Two streams read a video as a file and as a folder of flow, or of other features."""
    shuffle = RNG.permutation(N)
    names = [f"{'run' if i % 2 else 'jump'}/v.{i}" for i in range(N)]
    rgb = [f"data/k400/videos_val/{name}.mp4" for name in names]
    flow = np.array([other.format(name) for name in names])[shuffle]
    a = save("rgb.npz", id=rgb, score=ONE, label=LABEL)
    b = save("flow.npz", id=flow, score=TWO[shuffle], label=LABEL[shuffle])
    out = tmp_path / "fused.npz"
    assert fuse.main([a, b, "--weights", "1", "1.5", "--out", str(out)]) == 0
    fused = fuse.read(str(out))
    np.testing.assert_allclose(fused.score, ONE + 1.5 * TWO, rtol=1e-6)
    assert fused.id is not None and fused.id.tolist() == rgb
    assert any(f'matched by name: "{rgb[0]}" is "{other.format(names[0])}"' in x for x in said)


def test_names_that_are_not_unique_match_nothing(save, capsys):
    two = slice(0, 2)
    a = save("a.npz", id=["x/a.mp4", "x/a.avi"], score=ONE[two], label=LABEL[two])
    b = save("b.npz", id=["y/a.mp4", "y/a.avi"], score=TWO[two], label=LABEL[two])
    fails(capsys, [a, b], r'b\.npz: no id "x/a.avi", which .*a\.npz has')


def test_multi_label(save, capsys):
    label = (RNG.random((N, C)) < 0.4).astype(np.float32)
    a, b = save("a.npz", score=ONE, label=label), save("b.npz", score=TWO, label=label)
    assert fuse.main([a, b]) == 0
    assert capsys.readouterr().out.split()[:3] == ["weight", "map", "mmit_map"]


def test_what_nobody_looked_for_does_not_count(save, tmp_path, capsys):
    """The metrics of a task with categories and masks, from what its evaluation writes."""
    names = [f"c{i}" for i in range(C)]
    task: Any = MultiLabel(num_classes=C, categories=(("a", 3), ("b", 4)))
    label = (RNG.random((N, C)) < 0.4).astype(np.int32)
    known = np.repeat(RNG.random((N, 2)) < 0.6, (3, 4), axis=1)
    (metric,), files = task.metrics(), []
    metric.update({"score": ONE, "label": label, "mask": np.ones(N), "label_mask": known})
    for name, score, order in (("a", ONE, np.arange(N)), ("b", TWO, RNG.permutation(N))):
        rows = dict(score=score[order], label=label[order], label_mask=known[order] * 1.0)
        report = task.report(rows, list(IDS[order]), names)
        files.append(save(f"{name}.npz", **report.files["predictions.npz"]))
    out = str(tmp_path / "out.npz")
    assert fuse.main([*files, "--out", out]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["weight", "map", "map_a", "map_b", "mmit_map"]
    assert lines[0].split()[2:] == [f"{value:.4f}" for value in metric.compute().values()]
    fused = fuse.read(out)
    np.testing.assert_array_equal(fused.label_mask, known)
    assert fuse.evaluate(fused) == fuse.evaluate(replace(fused, score=ONE + TWO))
    # Without a mask in one of the dumps that of the other counts, in whatever order.
    bare = save("bare.npz", id=IDS, score=TWO, label=label)
    for pair in ([files[0], bare], [bare, files[0]]):
        assert fuse.main(pair) == 0
        assert capsys.readouterr().out.splitlines()[-1].split()[1:] == lines[-1].split()[1:]
    other = save("other.npz", id=IDS, score=TWO, label=label, label_mask=~known)
    fails(capsys, [files[0], other], r'a\.npz and .*other\.npz have another "label_mask"')


def test_lists_the_hardest_classes_by_name(save, tmp_path, capsys):
    label = np.array([0, 0, 1, 1])
    score = np.eye(3, dtype=np.float32)[[0, 2, 1, 1]]
    a, b = save("a.npz", score=score, label=label), save("b.npz", score=score, label=label)
    names = tmp_path / "names.txt"
    names.write_text("push up\npull up\nsit up\n")
    assert fuse.main([a, b, "--names", str(names)]) == 0
    report = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert report[1].split() == ["push", "up", "2", "0.5000", "1.0000", "sit", "up", "(1)"]
    assert report[2].split() == ["pull", "up", "2", "1.0000", "1.0000", "-"]
    assert len(report) == 3  # "sit up" has no sample


OTHER = (LABEL + 1) % C


@pytest.mark.parametrize(
    "second, message",
    [
        ({"score": TWO}, r'b\.npz: no key "label"'),
        ({"label": LABEL, "scores": TWO}, r'b\.npz: no key "score"\. Did you mean "scores"\?'),
        ({"score": TWO[:, :-1], "label": LABEL % 6}, r"a\.npz has 7 classes, .*b\.npz 6 classes"),
        ({"score": TWO, "label": np.eye(C)[LABEL]}, r"b\.npz 7 multi-label classes"),
        ({"score": TWO, "label": OTHER}, r"label sample 0 differently \(40 of 40 samples\)"),
        ({"score": TWO[1:], "label": LABEL[1:]}, r"a\.npz has 40 samples, .*b\.npz 39"),
        ({"score": TWO, "label": LABEL[1:]}, r'b\.npz: "label" \(39,\) does not fit'),
        ({"score": TWO * np.nan, "label": LABEL}, r'b\.npz: "score" must be finite'),
        ({"score": TWO, "label": LABEL + C}, r'b\.npz: "label" goes beyond the 7 classes'),
        ({"score": TWO, "label": LABEL.astype(object)}, r"b\.npz: not an npz of plain arrays"),
        ({"score": TWO, "label": LABEL, "id": IDS[1:]}, r'b\.npz: "id" \(39,\) does not fit'),
        ({"score": TWO, "label": LABEL, "label_mask": LABEL}, r'"label_mask" \(40,\) does not fit'),
        ({"score": TWO, "label": LABEL, "category": ["x"]}, r'"category" \(1,\) does not fit'),
        ({"score": TWO, "label": LABEL, "id": ["x"] * N}, r'b\.npz: id "x" occurs more than once'),
    ],
)
def test_bad_dumps_are_one_line_errors(save, capsys, second, message):
    a, b = save("a.npz", score=ONE, label=LABEL), save("b.npz", **second)
    fails(capsys, [a, b], message)


def test_ids_must_be_the_same(save, capsys):
    a = save("a.npz", id=IDS, score=ONE, label=LABEL)
    less = save("b.npz", id=IDS[:-1], score=TWO[:-1], label=LABEL[:-1])
    fails(capsys, [a, less], rf'b\.npz: no id "{IDS[-1]}", which .*a\.npz has')
    fails(capsys, [less, a], rf'b\.npz: no id "{IDS[-1]}", which .*a\.npz has')
    other = save("b.npz", id=IDS, score=TWO, label=np.append(LABEL[:-1], OTHER[-1]))
    fails(capsys, [a, other], rf'label "{IDS[-1]}" differently \(1 of 40 samples\)')


def test_the_metrics_of_one_dump(save, capsys):
    """What an evaluation left is enough: the same numbers, and its class names."""
    names = [f"class {i}" for i in range(ONE.shape[1])]
    path = save("a.npz", score=ONE, label=LABEL, names=names)
    assert fuse.main([path]) == 0
    printed = capsys.readouterr().out.splitlines()
    top1 = (ONE.argmax(1) == LABEL).mean()
    assert f"{top1:.4f}" in printed[1] and printed[2] == ""
    assert any(line.startswith("class ") for line in printed[4:])


def test_dumps_of_other_classes_are_not_fused(save, capsys):
    names = [f"class {i}" for i in range(ONE.shape[1])]
    a = save("a.npz", score=ONE, label=LABEL, names=names)
    b = save("b.npz", score=TWO, label=LABEL, names=names[::-1])
    fails(capsys, [a, b], r'a\.npz \(there\) and .*b\.npz \(here\) differ: class 0 is "class 0"')


def test_bad_arguments_are_one_line_errors(save, tmp_path, capsys):
    a, b = save("a.npz", score=ONE, label=LABEL), save("b.npz", score=TWO, label=LABEL)
    fails(capsys, [a, b, "--weights", "1"], "--weights has 1 values for 2 dumps")
    fails(capsys, [a, str(tmp_path / "c.npz")], r"c\.npz: no such file")
    fails(capsys, [a, b, "--out", str(tmp_path / "none" / "x.npz")], r"x\.npz: there is no folder")
    fails(capsys, [a, b, "--names", str(tmp_path / "none")], "cannot read the class names")
    few = tmp_path / "few.txt"
    few.write_text("run\nsit\n")
    fails(capsys, [a, b, "--names", str(few)], r"few\.txt: 2 class names for 7 classes")
    few.write_bytes(b"not a zip")
    fails(capsys, [a, str(few)], r"few\.txt: not an npz of plain arrays")
    np.save(tmp_path / "plain.npy", ONE)
    fails(capsys, [a, str(tmp_path / "plain.npy")], r"plain\.npy: not an npz of plain arrays")


def fails(capsys, arguments, message):
    assert fuse.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(printed.err)
