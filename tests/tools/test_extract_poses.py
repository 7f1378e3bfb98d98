"""Key points of videos in a pickle of MMAction2, in a run that can be interrupted."""

import pickle

import numpy as np
import pytest

from jaxvid.data.sources import skeleton, user_skeletons
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError
from jaxvid.tools import extract_poses
from jaxvid.tools.extract_poses import Job, Settings

HERE = "tests.tools.test_extract_poses"
SETTINGS = Settings(f"{HERE}:find", f"{HERE}:estimate")
SIZE = 48, 64
FOUND = ("--detector", SETTINGS.detector, "--estimator", SETTINGS.estimator)


def find(frames):
    """A box where the frame is white, if it is anywhere."""
    found = []
    for frame in frames:
        y, x = np.nonzero(frame.min(-1) > 200)
        box = [[x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9]] if len(x) else []
        found.append(np.array(box, np.float32).reshape(-1, 5))
    return found


def estimate(frames, boxes):
    """17 joints on the diagonal of each box."""
    share = np.linspace(0, 1, 17)[:, None]
    return [
        np.array([np.hstack([(1 - share) * b[:2] + share * b[2:4], share**0]) for b in own])
        for own in boxes
    ]


def clip(path, left, there=True):
    frames = np.full((8, *SIZE, 3), 30, np.uint8)
    if there:
        for t, frame in enumerate(frames):
            frame[8:40, left + t : left + t + 16] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, 8, crf=10, threads=1)


@pytest.fixture
def videos(tmp_path):
    root = tmp_path / "clips"
    for k, name in enumerate(("run/a", "run/b", "walk/c")):
        clip(root / f"{name}.mp4", 4 * k)
    return root


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Jobs run in this process; the processes themselves are tested in test_jobs.py."""
    calls = []

    def run(function, items, *, what, workers):
        for item in items:
            calls.append(item.name)
            try:
                done = extract_poses.jobs.Done(item, function(item))
            except UserError as error:
                done = extract_poses.jobs.Done(item, error=str(error))
            yield done

    monkeypatch.setattr(extract_poses.extraction.jobs, "run", run)
    return calls


def test_class_folders_become_labels(videos, tmp_path, at_once):
    clip(videos / "walk" / "empty.mp4", 0, there=False)
    out = tmp_path / "data" / "train.pkl"
    out.parent.mkdir()
    assert extract_poses.run(videos, out, SETTINGS) == 0
    found = pickle.loads(out.read_bytes())
    assert [(a["frame_dir"], a["label"]) for a in found] == [
        ("run/a", 0),
        ("run/b", 0),
        ("walk/c", 1),
    ]
    assert all(a["keypoint"].shape == (1, 8, 17, 2) for a in found)
    assert all(tuple(a["img_shape"]) == SIZE == tuple(a["original_shape"]) for a in found)
    np.testing.assert_allclose(
        found[1]["keypoint"][0, :, 0], [(4 + t, 8) for t in range(8)], atol=1
    )
    assert (out.parent / "classes.txt").read_text() == "run\nwalk\n"
    source = user_skeletons.build("train", root=str(out.parent))
    assert (source.names, source.labels.tolist()) == (("run", "walk"), [0, 0, 1])
    assert source[2]["keypoint"].shape == (1, 8, 17, 2)


def test_a_second_run_extracts_what_is_new(videos, tmp_path, at_once):
    out = tmp_path / "train.pkl"
    extract_poses.run(videos, out, SETTINGS)
    assert len(at_once) == 3
    clip(videos / "walk" / "d.mp4", 2)
    clip(videos / "run" / "a.mp4", 30)  # another video of this name
    at_once.clear()
    extract_poses.run(videos, out, SETTINGS)
    assert at_once == ["run/a", "walk/d"]
    found = pickle.loads(out.read_bytes())
    assert [a["frame_dir"] for a in found] == ["run/a", "run/b", "walk/c", "walk/d"]
    assert found[0]["keypoint"][0, 0, 0, 0] == pytest.approx(30, abs=1)
    with pytest.raises(UserError, match="other settings"):
        extract_poses.run(videos, out, Settings(SETTINGS.detector, SETTINGS.estimator, least=0.7))


def test_lists_become_splits(videos, tmp_path):
    (tmp_path / "train.txt").write_text("run/a.mp4 3\nwalk/c 0\n")
    (tmp_path / "val.csv").write_text("run/b.mp4,3\n")
    out = tmp_path / "all.pkl"
    extract_poses.run(videos, out, SETTINGS, lists=(tmp_path / "train.txt", tmp_path / "val.csv"))
    found = pickle.loads(out.read_bytes())
    assert found["split"] == {"train": ["run/a", "walk/c"], "val": ["run/b"]}
    assert [a["label"] for a in found["annotations"]] == [3, 3, 0]
    source = skeleton.build("val", root=str(tmp_path), file="all.pkl")
    assert (len(source), source.labels.tolist()) == (1, [3])


def test_folders_of_splits(tmp_path):
    for k, name in enumerate(("train/walk/a", "train/run/a", "val/walk/a")):
        clip(tmp_path / "clips" / f"{name}.mp4", k)
    extract_poses.run(tmp_path / "clips", tmp_path / "skeletons.pkl", SETTINGS)
    source = user_skeletons.build("train", root=str(tmp_path))
    assert [source.id(i) for i in range(2)] == ["train/run/a", "train/walk/a"]
    assert (source.names, source.labels.tolist()) == (("run", "walk"), [0, 1])
    assert user_skeletons.build("val", root=str(tmp_path)).labels.tolist() == [1]


def test_a_file_that_is_no_video_is_reported(videos, tmp_path):
    (videos / "run" / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "train.pkl"
    assert extract_poses.run(videos, out, SETTINGS) == 1
    assert len(pickle.loads(out.read_bytes())) == 3


def test_a_gesture_is_one_hand(videos, tmp_path):
    settings = Settings(SETTINGS.detector, SETTINGS.estimator, "gesture", people=1)
    job = Job(videos / "run" / "a.mp4", tmp_path / "a.pkl", "run/a", settings)
    assert extract_poses.extract(job) == (8, True)
    assert pickle.loads(job.target.read_bytes())["keypoint"].shape == (1, 8, 17, 2)


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--detector", "nothing:f", "--estimator", "x:y"], "--detector=nothing:f: No module"),
        ([*FOUND, "--list", "none.txt"], "none.txt: no such list"),
        ([*FOUND, "--list", "wrong.txt"], "wrong.txt:2: no such video: x"),
        ([*FOUND, "--list", "word.txt"], "word.txt:1: the label is miss"),
        ([*FOUND, "--people", "0"], "--people=0"),
        ([*FOUND, "--out", "no/a.pkl"], "there is no folder no"),
    ],
)
def test_mistakes_are_one_line(flags, message, videos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.txt").write_text("run/a 0\nx 1\n")
    (tmp_path / "word.txt").write_text('run/a ""\n')
    assert extract_poses.main([str(videos), "--out", "a.pkl", *flags]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_classes_of_another_folder_are_not_replaced(videos, tmp_path):
    (tmp_path / "classes.txt").write_text("jump\n")
    with pytest.raises(UserError, match=r"classes\.txt: has other classes"):
        extract_poses.run(videos, tmp_path / "train.pkl", SETTINGS)


def test_nobody_anywhere_is_an_error(tmp_path):
    clip(tmp_path / "clips" / "a.mp4", 0, there=False)
    with pytest.raises(UserError, match=r"train\.pkl: nobody was seen in any of 1 videos"):
        extract_poses.run(tmp_path / "clips", tmp_path / "train.pkl", SETTINGS)


@pytest.mark.long
def test_worker_processes_load_the_functions(videos, tmp_path, monkeypatch):
    monkeypatch.undo()
    out = tmp_path / "train.pkl"
    assert extract_poses.run(videos, out, SETTINGS, workers=2) == 0
    assert len(pickle.loads(out.read_bytes())) == 3
