"""From an annotated key frame to a batch's row: pixels, crops, padding."""

import cv2
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.transforms import boxes, sampling
from jaxvid.data.transforms.boxes import FILL, PackBoxes, ToPixels
from jaxvid.data.transforms.video import Open
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.readers import ArrayReader
from jaxvid.errors import UserError
from tests.data import people

RNG = np.random.default_rng(0)


def sample(height=40, width=60, count=2, **more):
    shares = np.array([[0.1, 0.2, 0.5, 0.9], [0, 0, 1, 1], [0.3, 0.3, 0.4, 0.4]], np.float32)
    return {
        "video": RNG.integers(0, 255, (1, 3, height, width, 3), dtype=np.uint8),
        "boxes": shares[:count],
        "box_label": np.eye(4, dtype=np.uint8)[:count],
        "proposals": shares,
        **more,
    }


def test_shares_become_pixels():
    found = ToPixels()(sample(), RNG)
    np.testing.assert_allclose(found["boxes"], [[6, 8, 30, 36], [0, 0, 60, 40]], rtol=1e-6)
    np.testing.assert_allclose(found["proposals"][2], [18, 12, 24, 16], rtol=1e-6)
    assert found["resolution"].tolist() == [40, 60]


def pack(given, **options):
    return PackBoxes(**dict(room=4) | options)(ToPixels()(given, RNG), RNG)


def test_boxes_are_padded_with_a_mask():
    found = pack(sample(tube=np.array([5, 6], np.int32)))
    shapes = {key: value.shape for key, value in found.items()}
    assert shapes == {
        "video": (1, 3, 40, 60, 3),
        "boxes": (4, 4),
        "box_label": (4, 4),
        "box_mask": (4,),
        "proposals": (4, 4),
        "proposal_mask": (4,),
        "tube": (4,),
        "scale": (2,),
    }
    assert found["box_mask"].tolist() == [1, 1, 0, 0]
    assert found["proposal_mask"].tolist() == [1, 1, 1, 0]
    assert not found["boxes"][2:].any() and not found["box_label"][2:].any()
    assert found["boxes"][1].tolist() == [0, 0, 60, 40]
    assert found["tube"].tolist() == [5, 6, 0, 0]
    assert {key: found[key].dtype for key in ("boxes", "box_label", "box_mask", "scale")} == {
        "boxes": np.float32,
        "box_label": np.uint8,
        "box_mask": np.float32,
        "scale": np.float32,
    }


def test_a_sample_without_true_boxes():
    given = sample()
    for key in ("boxes", "box_label"):
        del given[key]
    assert pack(given).keys() == {"video", "proposals", "proposal_mask", "scale"}


def test_more_boxes_than_there_is_room_for():
    with pytest.raises(
        UserError, match=r"3 boxes in a key frame; raise config\.data\.recipe\.boxes=2"
    ):
        pack(sample(), room=2)
    found = pack(sample(), room=2, crowd=True)
    assert found["proposals"].shape == (2, 4)
    with pytest.raises(UserError, match="3 boxes"):
        pack(sample(count=3), room=2, crowd=True)  # true boxes are never left out


def test_a_canvas_holds_pictures_of_all_shapes():
    given = sample()
    found = pack(given, canvas=(48, 80))
    assert found["video"].shape == (1, 3, 48, 80, 3)
    np.testing.assert_array_equal(found["video"][:, :, :40, :60], given["video"])
    assert (found["video"][:, :, 40:] == FILL).all() and (
        found["video"][:, :, :, 60:] == FILL
    ).all()
    assert found["scale"].tolist() == [1, 1]
    np.testing.assert_allclose(found["boxes"][0], [6, 8, 30, 36], rtol=1e-6)
    with pytest.raises(UserError, match=r"a frame of 40 x 60 is larger than .*canvas=\(40, 50\)"):
        pack(given, canvas=(40, 50))


def test_a_canvas_is_for_samples_with_true_boxes():
    """Others are alone in their batch."""
    given = sample()
    for key in ("boxes", "box_label"):
        del given[key]
    assert pack(given, canvas=(48, 80))["video"].shape == (1, 3, 40, 60, 3)


def test_what_fills_a_canvas_is_hardly_there_for_the_model():
    task = plug.load("tasks", dict(name="detection"), num_classes=2)
    left = (np.array(boxes.FILL) - task.mean) / task.std
    assert np.abs(left).max() < 0.01


# Recipes


def build(split, **options):
    options = dict(frames=4, stride=2, boxes=5) | options
    return plug.load("data.recipes", dict(name="detection", **options), split=split)


def run(pipeline, given, seed=0):
    rng = np.random.default_rng(seed)
    for transform in pipeline:
        given = transform(given, rng)
    return given


def annotated(**more):
    rng = np.random.default_rng(1)
    figures = [people.figure(rng) for _ in range(2)]
    shares = np.stack([f[0][8] for f in figures]) / np.array([96, 64, 96, 64])
    return {
        "reader": ArrayReader(people.draw(figures), people.FPS),
        "time": np.float32(1),
        "clip": np.int32(0),
        "boxes": np.float32(shares),
        "box_label": np.eye(4, dtype=np.uint8)[:2],
        "proposals": np.float32(shares),
        **more,
    }, figures


def test_evaluation_sees_the_whole_picture():
    given, _ = annotated()
    found = run(build("test", short_side=32), given)
    assert found["video"].shape == (1, 4, 32, 48, 3)
    assert found["scale"].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(found["proposals"][:2], given["boxes"] * [48, 32, 48, 32], rtol=1e-5)
    assert found.keys() == {
        "video",
        "time",
        "clip",
        "boxes",
        "box_label",
        "box_mask",
        "proposals",
        "proposal_mask",
        "scale",
    }
    again = run(build("val", short_side=32), annotated()[0])
    np.testing.assert_array_equal(found["video"], again["video"])


def test_boxes_of_training_stay_on_what_they_hold():
    """Whatever crop and mirror: the middle of a box that is in sight shows its figure."""
    seen = set()
    for seed in range(20):
        given, figures = annotated()
        pipeline = build("train", size=48, short_side=60, short_side_max=80, stride=1)
        found = run(pipeline, given, seed)
        assert found["video"].shape == (1, 4, 48, 48, 3)
        for (_, color, striped), box in zip(figures, found["boxes"], strict=False):
            if striped or min(box[2] - box[0], box[3] - box[1]) < 6:
                continue
            x, y = ((box[:2] + box[2:]) / 2).astype(int)
            pixel = found["video"][0, 2, y, x].astype(int)  # the key frame, but for jitter of 1
            assert np.abs(pixel - people.COLORS[color]).max() < 60, (seed, box)
            seen.add((seed, color))
    assert len(seen) > 8


def test_frames_may_lie_in_folders(tmp_path):
    """The same clip as of a video, which counts at the rate of the source; late as published."""
    given, figures = annotated()
    frames = people.draw(figures)
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(tmp_path / f"img_{number:05}.png"), frame[..., ::-1])
    del given["reader"]
    folder = {"path": str(tmp_path), "template": "img_{:05}.png", "fps": float(people.FPS)}
    for late in (0, 1):
        found = run(build("val", short_side=64, late=late), given | folder)
        np.testing.assert_array_equal(found["video"][0], frames[np.array([4, 6, 8, 10]) + late])
    (tmp_path / "img_00009.png").unlink()
    with pytest.raises(VideoError, match="img_00009"):
        run(build("val", short_side=64), given | folder)


def test_training_differs_from_draw_to_draw_and_repeats_by_seed():
    pipeline = build("train", size=48, short_side=60, short_side_max=80)
    one, same, other = (run(pipeline, annotated()[0], seed)["video"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_training_mirrors_and_evaluation_does_not():
    options = dict(size=48, short_side=60, short_side_max=80)
    plain, other = (run(build("train", flip=p, **options), annotated()[0]) for p in (0.0, 1.0))
    np.testing.assert_array_equal(other["video"], plain["video"][:, :, :, ::-1])
    np.testing.assert_allclose(other["boxes"][:2, 0], 48 - plain["boxes"][:2, 2])
    options = dict(short_side=32)
    plain, other = (run(build("val", flip=p, **options), annotated()[0]) for p in (0.0, 1.0))
    np.testing.assert_array_equal(other["video"], plain["video"])


def test_only_training_leaves_proposals_out():
    crowd = np.tile(annotated()[0]["proposals"], (4, 1))
    options = dict(boxes=5, size=48, short_side=60, short_side_max=80)
    assert run(build("train", **options), annotated(proposals=crowd)[0])["proposals"].shape == (
        5,
        4,
    )
    with pytest.raises(UserError, match="8 boxes in a key frame"):
        run(build("val", **options), annotated(proposals=crowd)[0])


def test_a_canvas_is_for_evaluation():
    options = dict(canvas=(70, 100), size=48, short_side=60, short_side_max=80)
    shapes = [run(build(s, **options), annotated()[0])["video"].shape for s in ("train", "val")]
    assert shapes == [(1, 4, 48, 48, 3), (1, 4, 70, 100, 3)]


def test_the_example_goes_through():
    recipe = dict(name="detection", frames=4, stride=2, boxes=5)
    example = plug.load("data.recipes", recipe, "example")
    found = run(build("test", short_side=32), example)
    assert found["proposal_mask"].tolist() == [1, 0, 0, 0, 0]


def test_another_split_is_an_error():
    with pytest.raises(UserError, match='a split is train, val or test, not "dev"'):
        build("dev")


# Key frames


def test_time_may_count_frames():
    reader = ArrayReader(np.zeros((50, 2, 2, 3), np.uint8), 25.0)
    clip = sampling.KeyframeClip(1)
    assert clip({"reader": reader, "time": 1.0}, RNG)["frames"].tolist() == [[25]]
    sample = {"reader": reader, "time": 7.0, "fps": 1.0}
    assert clip(Open()(sample, RNG), RNG)["frames"].tolist() == [[7]]


def test_frames_without_a_rate_are_an_error():
    reader = ArrayReader(np.zeros((50, 2, 2, 3), np.uint8), 0.0, "folder")
    with pytest.raises(UserError, match="folder: frames without a rate; set fps"):
        sampling.KeyframeClip(1)({"reader": reader, "time": 1.0}, RNG)


def test_a_video_without_boxes_is_told_where_to_go():
    reader = ArrayReader(np.zeros((50, 2, 2, 3), np.uint8), 25.0)
    with pytest.raises(UserError, match=r"boxes at a time of a video.*jaxvid\.inference\.detect"):
        sampling.KeyframeClip(1)({"reader": reader}, RNG)
