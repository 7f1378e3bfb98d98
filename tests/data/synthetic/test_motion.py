"""The embedded motion clips: pure, balanced, told apart by motion and by nothing else."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs import quickstart
from jaxvid import files
from jaxvid.data.synthetic import motion
from jaxvid.data.video.decode import VideoReader
from jaxvid.errors import UserError

SMALL = {"train": 16, "val": 8, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return motion.generate(tmp_path_factory.mktemp("motion") / "clips", **SMALL)


@pytest.fixture(scope="module")
def clips():
    """800 training clips: frames (n t h w 3) and labels (n,)."""
    frames, labels = zip(*(motion.draw("train", i) for i in range(800)), strict=True)
    return np.stack(frames), np.array(labels)


def poses(name, count):
    """(n t 4) poses of a class."""
    return np.stack([motion.draw_poses(name, np.random.default_rng([7, i])) for i in range(count)])


def steps(tracks):
    """(n t-1 4) change from frame to frame along each circle, the short way round."""
    period = np.array([p.high - p.low for p in motion.PHASES.values()])
    return (np.diff(tracks, axis=1) + period / 2) % period - period / 2


def test_draw_is_a_pure_function_of_its_arguments():
    frames, label = motion.draw("train", 5, seed=1)
    motion.draw("val", 2)
    again, same = motion.draw("train", 5, seed=1)
    assert frames.shape == (motion.FRAMES, motion.SIZE, motion.SIZE, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, again) and label == same
    for other in [("train", 6, 1), ("train", 5, 2), ("val", 5, 1)]:
        assert not np.array_equal(frames, motion.draw(*other)[0])


def test_a_changed_drawing_needs_a_new_version():
    means = [motion.draw(split, i)[0].mean() for split in ("train", "val") for i in range(4)]
    known = {1: [46.3, 46.5, 83.6, 44.4, 37.7, 50.5, 50.5, 60.2]}
    assert means == pytest.approx(known[motion.VERSION], abs=0.5), (
        "the clips changed: raise VERSION, so that cached ones are not used, and add its numbers"
    )


def test_classes_are_balanced_in_no_fixed_order():
    labels = np.array([[motion.label_of(s, i, 0) for i in range(400)] for s in ("train", "val")])
    runs = labels.reshape(-1, len(motion.CLASSES))
    assert (np.sort(runs, axis=1) == np.arange(len(motion.CLASSES))).all()
    assert len(np.unique(runs, axis=0)) > 90
    assert not np.array_equal(labels[0], labels[1])


def test_train_and_val_share_no_frame(clips):
    train = {frame.tobytes() for frame in clips[0].reshape(-1, motion.SIZE, motion.SIZE, 3)}
    val = {f.tobytes() for i in range(100) for f in motion.draw("val", i)[0]}
    assert len(val) > 1000
    assert not train & val
    assert not set(motion.LOOKS["train"].textures) & set(motion.LOOKS["val"].textures)


def test_opposites_pair_all_classes():
    assert set(motion.OPPOSITE) == set(motion.CLASSES) == set(motion.MOVES)
    for name, other in motion.OPPOSITE.items():
        assert name != other and motion.OPPOSITE[other] == name


@pytest.mark.parametrize("name", motion.CLASSES)
def test_poses_are_uniform_in_every_frame(name):
    low = np.array([p.low for p in motion.PHASES.values()])
    high = np.array([p.high for p in motion.PHASES.values()])
    unit = np.sort((poses(name, 1000) - low) / (high - low), axis=0)
    distance = np.abs(unit - (np.arange(1000) / 1000)[:, None, None]).max()
    assert unit.min() >= 0 and unit.max() < 1
    # Kolmogorov-Smirnov: 64 such distances of 1000 uniform draws exceed 0.08 once in 3000 times.
    assert distance < 0.08


@pytest.mark.parametrize("name", motion.CLASSES)
def test_backwards_is_the_opposite_class(name):
    backwards, opposite = steps(poses(name, 200)[:, ::-1]), steps(poses(motion.OPPOSITE[name], 200))
    for column, (key, phase) in enumerate(motion.PHASES.items()):
        moves = backwards[..., column]
        if key == motion.MOVES[name][0]:
            assert (np.sign(moves) == np.sign(opposite[0, 0, column])).all()
            assert (
                phase.slow - 1e-9 <= np.abs(moves).min() <= np.abs(moves).max() <= phase.fast + 1e-9
            )
        else:
            assert np.abs(moves).max() < 1e-9


@pytest.mark.parametrize("frame", [0, motion.FRAMES // 2, motion.FRAMES - 1])
def test_one_frame_does_not_tell_the_class(clips, frame):
    assert probe(clips[0][:, frame], clips[1]) <= 0.2  # 4.5 sigma above chance


def test_one_frame_tells_where_the_shape_is(clips):
    """The probe of the test above is not blind: it reads eight directions from the center."""
    images = clips[0][:, 0]
    centers = np.array([measure(image)[:2] for image in images]) - motion.SIZE / 2
    eighth = np.floor(np.arctan2(centers[:, 1], centers[:, 0]) / (np.pi / 4)).astype(int) + 4
    assert probe(images, eighth % 8) >= 0.5


def probe(images, labels):
    """Accuracy on the second half of a ridge classifier of (n h w 3) fitted to the first."""
    small = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA) for image in images]
    x = np.mean(small, axis=-1).reshape(len(images), -1) / 128
    x -= x.mean(axis=0)
    half = len(x) // 2
    targets = np.eye(8)[labels[:half]] - 1 / 8
    weights = np.linalg.solve(x[:half].T @ x[:half] + 10 * np.eye(x.shape[1]), x[:half].T @ targets)
    return np.mean((x[half:] @ weights).argmax(axis=1) == labels[half:])


def test_motion_tells_the_class(clips):
    """Centroid, size and long axis of the bright pixels give the class without any learning."""
    guesses = np.array([guess(frames) for frames in clips[0][:400]])
    assert np.mean(guesses == clips[1][:400]) >= 0.9


def test_a_mirror_gives_the_class_that_the_quickstart_labels_it_with(clips):
    task = quickstart.get_config().task
    swap = np.arange(len(motion.CLASSES))
    for a, b in task.augment.flip_labels:
        swap[[a, b]] = b, a
    assert task.augment.flip == 0.5
    guesses = np.array([guess(frames[:, :, ::-1]) for frames in clips[0][:400]])
    assert np.mean(guesses == swap[clips[1][:400]]) >= 0.9


def measure(image):
    """x, y, log radius and angle of the bright pixels."""
    m = cv2.moments((image.min(axis=-1) > 110).astype(np.uint8), binaryImage=True)
    angle = np.rad2deg(0.5 * np.arctan2(2 * m["mu11"], m["mu20"] - m["mu02"]))
    return m["m10"] / m["m00"], m["m01"] / m["m00"], np.log(m["m00"]) / 2, angle


def guess(frames):
    change = np.diff([measure(image) for image in frames], axis=0)
    change[:, 3] = (change[:, 3] + 90) % 180 - 90  # a long axis has no head
    usual = [(phase.slow + phase.fast) / 2 for phase in motion.PHASES.values()]
    score = np.median(change, axis=0) / usual
    best = np.abs(score).argmax()
    move = (list(motion.PHASES)[best], np.sign(score[best]))
    return next(i for i, name in enumerate(motion.CLASSES) if motion.MOVES[name] == move)


def test_files_hold_the_drawn_clips(folder):
    assert (folder / "classes.txt").read_text().split() == list(motion.CLASSES)
    for split, count in (("train", SMALL["train"]), ("val", SMALL["val"])):
        lines = [line.split() for line in (folder / f"{split}.txt").read_text().splitlines()]
        assert [name for name, _ in lines] == [f"{split}/{i:06d}.mp4" for i in range(count)]
        assert sorted(p.name for p in (folder / split).iterdir()) == [n[-10:] for n, _ in lines]
        for index, (name, label) in enumerate(lines):
            frames, drawn = motion.draw(split, index, SMALL["seed"])
            assert int(label) == drawn
            with VideoReader(folder / name) as reader:
                assert reader.fps == motion.FPS
                video = reader.read(range(reader.frames))
            assert video.shape == frames.shape
            # Written clips keep 32 dB; the neighboring frame would give 12, 23 at the very best.
            error = np.mean((video.astype(float) - frames) ** 2, axis=(1, 2, 3))
            assert 10 * np.log10(255**2 / error.max()) > 30


def test_a_finished_folder_is_used_as_is(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    calls = []
    assert motion.generate(folder, **SMALL, progress=lambda *c: calls.append(c)) == folder
    assert not calls
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_folder_with_something_else_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"choose another folder:\n  seed: 3 there, 4 now"):
        motion.generate(folder, train=16, val=8, seed=4)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="contains other files; choose another folder"):
        motion.generate(tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(UserError, match="val >= 1"):
        motion.generate(tmp_path / "clips", train=8, val=0)
    with pytest.raises(UserError, match='no split "test"'):
        motion.draw("test", 0)
    assert not list(tmp_path.iterdir())


def test_ensure_names_the_folder_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path))
    calls = []
    one = motion.ensure(train=3, val=2, progress=lambda *c: calls.append(c))
    assert one.parent == tmp_path
    assert calls == [(i, 5) for i in range(1, 6)]
    assert motion.ensure(tmp_path, train=3, val=2) == one
    assert motion.ensure(train=3, val=2, seed=1) != one
    monkeypatch.setattr(motion, "VERSION", motion.VERSION + 1)
    assert motion.ensure(train=3, val=2) != one
    assert len(list(tmp_path.glob("motion-*"))) == 3


SCRIPT = """
import os, sys
from jaxvid.data.synthetic import motion
stop = int(sys.argv[2])
motion.generate(sys.argv[1], 24, 8, progress=lambda done, total: os._exit(9) if done == stop else 0)
"""


def start(root, stop=-1):
    command = [sys.executable, "-c", SCRIPT, str(root), str(stop)]
    return subprocess.Popen(command, cwd=Path(motion.__file__).parents[3])


def test_a_killed_run_leaves_nothing_in_the_way(tmp_path):
    root = tmp_path / "clips"
    assert start(root, stop=10).wait() == 9
    assert not root.exists()
    assert len(list(tmp_path.glob(".clips.*.part"))) == 1
    motion.generate(root, 24, 8)
    assert len(list(root.rglob("*.mp4"))) == 32
    assert not list(tmp_path.glob(".*.part"))


def test_processes_may_ask_together(tmp_path):
    root = tmp_path / "clips"
    processes = [start(root) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(list(root.rglob("*.mp4"))) == 32
    assert sorted(p.name for p in tmp_path.iterdir()) == [".clips.lock", "clips"]


def test_without_locks_the_first_to_finish_wins(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError("this file system has no locks")

    def overtake(done, total):
        if done == total:
            assert motion.generate(root, 3, 2) == root  # as another process would, meanwhile

    root = tmp_path / "clips"
    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    assert motion.generate(root, 3, 2, progress=overtake) == root
    assert sorted(p.name for p in tmp_path.iterdir()) == [".clips.lock", "clips"]
