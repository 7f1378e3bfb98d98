"""From a video to skeletons to actions, with stand-ins for the networks."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import jaxvid
from jaxvid.data.annotations import skeleton_files
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.data.video.readers import ArrayReader
from jaxvid.errors import UserError
from jaxvid.inference import draw, poses, skeleton, tracking
from jaxvid.inference.skeleton import PoseFinder, SkeletonPipeline
from jaxvid.results import Recognized
from jaxvid.tools import skeleton as tool

SIZE, FPS, FRAMES = (96, 160), 8, 24
WHITE = np.full(3, 255, np.uint8)


def body(x):
    """Joints of a person at x, (17, 3)."""
    j = np.arange(17)
    places = np.stack([x + 4 * (j % 5), 30 + 3 * j], 1)
    return np.concatenate([places, np.full((17, 1), 0.9)], 1).astype(np.float32)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A white figure of 20 x 50 pixels that walks to the right, at 20 + 2 t; frame 5 is empty."""
    frames = np.full((FRAMES, *SIZE, 3), 40, np.uint8)
    for t, frame in enumerate(frames):
        if t != 5:
            frame[30:80, 20 + 2 * t : 40 + 2 * t] = 255
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    write_video(path, frames, FPS, crf=10, threads=1)
    return path


def find(frames):
    """A detector: the box around what is white."""
    found = []
    for frame in frames:
        y, x = np.nonzero((frame > 200).all(-1))
        box = [x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9] if len(x) else []
        found.append(np.array(box, np.float32).reshape(-1, 5))
    return found


def estimate(frames, boxes):
    """An estimator: a body in each box."""
    return [np.array([body(x) for x, *_ in own]).reshape(-1, 17, 3) for own in boxes]


@pytest.fixture
def model(monkeypatch):
    """Replace the model of a pipeline by one that recognizes the direction of the first person.

    Its attribute `seen` has the samples that it received.
    """
    seen = []

    def predict(sample, topk):
        seen.append(sample)
        moved = np.diff(sample["keypoint"][0, [0, -1], 0, 0])[0]
        labels = ("right", "left") if moved > 0 else ("left", "right")
        return Recognized(labels[:topk], (0.8, 0.2)[:topk])

    recipe = {"name": "skeleton", "layout": "coco"}
    found = SimpleNamespace(
        source="runs/st", config={"data": {"recipe": recipe}}, predict=predict, seen=seen
    )
    monkeypatch.setattr(skeleton, "load", lambda checkpoint: found)
    return found


def test_a_pipeline_goes_from_pixels_to_actions(model, video):
    recognize = jaxvid.pipeline("skeleton", "runs/st", detector=find, estimator=estimate, topk=1)
    found = recognize(video)
    [window] = found.windows
    assert (window.labels, window.people, window.end) == (("right",), 1, FRAMES / FPS)
    assert (found.report.interpolated, found.report.nobody, found.report.people) == (1, 1, 1)
    [sample] = model.seen
    np.testing.assert_array_equal(sample["size"], SIZE)
    assert sample["keypoint"].shape == (1, FRAMES, 17, 2)
    np.testing.assert_allclose(sample["keypoint"][0, :, 0, 0], 20 + 2 * np.arange(FRAMES), atol=2)


def test_windows_cover_a_long_video(model, video):
    found = SkeletonPipeline("runs/st", find, estimate, window=1.25, every=0.5)(video)
    assert [w.start for w in found.windows] == [0, 0.5, 1, 1.5, 1.75]
    assert all(w.end - w.start == 1.25 for w in found.windows)
    assert [s["keypoint"].shape[1] for s in model.seen] == [10] * 5
    assert len(list(found.lines())) == 5
    whole = SkeletonPipeline("runs/st", find, estimate, window=0)(video)
    assert [(w.start, w.end) for w in whole.windows] == [(0, 3)]


def test_a_video_without_people_has_windows_without_labels(model):
    nobody = np.full((4, *SIZE, 3), 40, np.uint8)
    found = SkeletonPipeline("runs/st", find, estimate)(nobody, fps=4.0)
    assert [(w.labels, w.people) for w in found.windows] == [((), 0)]
    assert model.seen == []
    assert list(found.lines()) == ["    0.00 s to     1.00 s  nobody"]
    assert draw.on_frame(found, nobody[0], 0.0).shape[2] == 3


def test_key_points_of_a_file_or_of_the_caller(model, video, tmp_path):
    given = [body(20.0 + 2 * t)[None] for t in range(FRAMES)]
    path = tmp_path / "poses.pkl"
    path.write_bytes(pickle.dumps(given))
    one, two = (SkeletonPipeline("runs/st")(video, each) for each in (given, path))
    assert one.windows == two.windows and one.windows[0].labels[0] == "right"
    assert one.report.interpolated == 0
    with VideoReader(video) as reader:
        large = skeleton.annotation(one.people, "walk", FRAMES, (192, 320))
        people, _ = SkeletonPipeline("runs/st").people(reader, large)
    np.testing.assert_allclose(people[0].points[:, 0, 0], 10 + np.arange(FRAMES), atol=0.1)


def test_a_gesture_follows_the_best_hand_of_each_frame(model, video):
    model.config["data"]["recipe"]["layout"] = "handmp"
    hands = [np.stack([np.full((21, 3), v) for v in (0.2, 0.9 - t % 2 / 2)]) for t in range(FRAMES)]
    found = jaxvid.pipeline("gesture", "runs/st")(video, hands)
    assert found.report.people == 1
    assert found.people[0].points[0, 0, 0] == np.float32(0.9)


def test_an_annotation_is_in_the_form_of_mmaction2():
    people, _ = tracking.track([np.stack([body(20.0), body(90.0)])] * 6)
    made = skeleton.annotation(people, "walk", 8, SIZE, label=3)
    assert set(made) == {
        *("frame_dir", "label", "img_shape", "original_shape", "total_frames"),
        *("keypoint", "keypoint_score"),
    }
    assert made["keypoint"].shape == (2, 8, 17, 2) and made["keypoint_score"].shape == (2, 8, 17)
    assert made["keypoint"].dtype == np.float16 and not made["keypoint"][:, 6:].any()
    skeleton_files.checked(made, "walk")


@pytest.mark.parametrize(
    "recipe,message",
    [
        ({"name": "clip"}, "runs/st: its recipe is clip; name a model of skeletons"),
        ({"name": "skeleton", "layout": "nturgb+d"}, "runs/st: a model of 3-D skeletons"),
    ],
)
def test_other_models_are_refused(recipe, message, model):
    model.config["data"]["recipe"] = recipe
    with pytest.raises(UserError, match=message):
        SkeletonPipeline("runs/st")


@pytest.mark.parametrize(
    "given,message",
    [
        ([body(1.0)[None]] * 3, r"poses: key points of 3 frames, but .*walk\.mp4 has 24"),
        ([np.ones((1, 21, 3))] * FRAMES, r'21 joints, but runs/st takes 17, the layout "coco"'),
        (None, r"nothing finds the people; give poses="),
    ],
)
def test_key_points_that_do_not_fit(given, message, model, video):
    with pytest.raises(UserError, match=message):
        SkeletonPipeline("runs/st")(video, given)


@pytest.mark.parametrize(
    "detector,estimator,message",
    [
        (lambda f: find(f)[:-1], estimate, "the detector gave 23 arrays for 24 frames"),
        (lambda f: None, estimate, "the detector gave NoneType for 24 frames"),
        (lambda f: [np.ones((1, 4))] * len(f), estimate, r"gave \(1, 4\); expected boxes \(n, 5\)"),
        (find, lambda f, b: [np.ones((2, 17, 3))] * len(f), "gave 2 poses for 1 boxes"),
        (find, lambda f, b: [np.ones((1, 17))] * len(f), r"the estimator: an array \(1, 17\)"),
    ],
)
def test_functions_that_return_something_else(detector, estimator, message, model, video):
    with pytest.raises(UserError, match=message):
        SkeletonPipeline("runs/st", detector, estimator)(video)


def test_a_score_beyond_one():
    with pytest.raises(UserError, match="least=50: the score of a box is from 0 to 1"):
        PoseFinder(find, estimate, least=50)


def test_uncertain_boxes_are_left_out():
    boxes = np.array([[0, 0, 9, 9, 0.2], [0, 0, 9, 9, 0.6], [0, 0, 9, 9, 0.9]])
    seen = []
    finder = PoseFinder(lambda f: [boxes], lambda f, b: seen.append(b) or estimate(f, b), 0.5, 1)
    assert len(finder(ArrayReader(np.zeros((1, *SIZE, 3), np.uint8)))[0]) == 1
    assert seen[0][0][:, 4].tolist() == [np.float32(0.9)]


# The command


def test_missing_weights_are_named_in_one_message(video, monkeypatch, capsys):
    def locate(spec):
        raise UserError(f"cannot fetch {spec}: put the file at W/{spec}.pth")

    monkeypatch.setattr(poses.resolve, "locate", locate)
    assert tool.main([str(video), "--checkpoint", "stgcnpp_2d_joint_ntu60"]) == 1
    error = capsys.readouterr().err
    assert "--poses FILE.pkl" in error
    for name in ("stgcnpp_2d_joint_ntu60", "rtmdet_m_coco", "rtmpose_m_coco"):
        assert f"put the file at W/{name}.pth" in error


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "poses.pkl"
    path.write_bytes(pickle.dumps([body(20.0 + 2 * t)[None] for t in range(FRAMES)]))
    return path


def test_the_command_draws_and_writes(model, video, points, tmp_path, capsys):
    out = tmp_path / "seen.mp4"
    flags = ["--checkpoint", "runs/st", "--poses", str(points), "--window", "2", "--out", str(out)]
    assert tool.main([str(video), *flags]) == 0
    assert "80.0% right, 20.0% left" in capsys.readouterr().out
    found = json.loads((tmp_path / "seen.json").read_text())
    assert [w["labels"][0] for w in found["windows"]] == ["right", "right"]
    assert found["report"]["frames"] == FRAMES and found["people"][0]["seen"] == FRAMES
    with VideoReader(video) as before, VideoReader(out) as after:
        assert after.frames == FRAMES
        scale = after.width // before.width
        frame = after.read([10])[0].astype(int)
    x, y = np.rint(body(40.0)[6, :2] * scale).astype(int)
    assert np.abs(frame[y, x] - [255, 130, 20]).max() < 60  # the right shoulder


def test_the_command_takes_functions(model, video, tmp_path, capsys, monkeypatch):
    source = "from tests.inference.test_skeleton import estimate, find"
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    flags = ["--checkpoint", "runs/st", "--detector", "mine:find", "--estimator"]
    assert tool.main([str(video), *flags, "mine:estimate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["windows"][0]["labels"] == ["right", "left"]
    assert tool.main([str(video), *flags, "mine:estimat"]) == 1
    assert "--estimator=mine:estimat" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--poses", "none.pkl"], "none.pkl: cannot read it"),
        (["--poses", "POSES", "--detector", "a:b"], "--poses has key points, so leave out"),
        (["--poses", "POSES", "--window", "-1"], "window=-1"),
        (["--poses", "POSES", "--out", "missing/seen.mp4"], "there is no folder missing"),
        (["--poses", "POSES", "--out", "VIDEO"], "this is an input"),
        (["--poses", "POSES", "--out", "seen.json"], "--out=seen.json: name a video"),
        (["--poses", "POSES", "--topk", "0"], "topk=0"),
        (["--detector", "a:b"], "--detector=a:b: No module"),
    ],
)
def test_mistakes_are_one_line(flags, message, model, video, points, capsys):
    names = {"POSES": str(points), "VIDEO": str(video)}
    arguments = [names.get(flag, flag) for flag in flags]
    assert tool.main([str(video), "--checkpoint", "runs/st", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and error.count("\n") <= 2
