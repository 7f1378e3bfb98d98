"""Key points of one video from a pickle, in every form, and what is wrong with others."""

import pickle

import numpy as np
import pytest

from jaxvid.data.annotations import video_poses
from jaxvid.errors import UserError

POINTS = np.arange(2 * 4 * 3 * 2, dtype=np.float32).reshape(2, 4, 3, 2) + 1
SCORES = np.full((2, 4, 3), 0.5, np.float32)
ONE = dict(
    frame_dir="clips/walk", label=0, total_frames=4, img_shape=(10, 20), keypoint=POINTS
)  # fmt: skip
OTHER = ONE | {"frame_dir": "wlak"}
JOINED = np.concatenate([POINTS, SCORES[..., None]], -1)
FRAMES = list(JOINED.swapaxes(0, 1))


def read(tmp_path, content, name="videos/walk.mp4"):
    path = tmp_path / "poses.pkl"
    path.write_bytes(pickle.dumps(content))
    return video_poses.read(path, name)


@pytest.mark.parametrize(
    "content,followed",
    [
        (ONE | {"keypoint_score": SCORES}, True),
        ([ONE | {"keypoint_score": SCORES}], True),
        ({"split": {}, "annotations": [OTHER, ONE | {"keypoint_score": SCORES}]}, True),
        (FRAMES, False),
        (np.stack(FRAMES), False),
        ([dict(keypoints=f[..., :2], keypoint_scores=f[..., 2]) for f in FRAMES], False),
        (
            dict(
                total_frames=4, frame_inds=np.arange(4).repeat(2), keypoint=np.concatenate(FRAMES)
            ),
            False,
        ),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_poses(content, followed, tmp_path):
    found = read(tmp_path, content)
    np.testing.assert_array_equal(found.points, JOINED)
    assert found.followed == followed
    np.testing.assert_array_equal(np.stack(found.frames), np.stack(FRAMES))


def test_missing_people_and_scores():
    some = [FRAMES[0], FRAMES[1][:1], [], np.zeros((0, 3, 3))]
    found = video_poses.of(some, "poses")
    assert [len(frame) for frame in found.frames] == [2, 1, 0, 0]
    zeros = POINTS.copy()
    zeros[1, 2:] = 0
    found = video_poses.of(ONE | {"keypoint": zeros}, "poses")
    assert found.points[0, 0, :, 2].tolist() == [1, 1, 1] and not found.points[1, 2:].any()
    broken = FRAMES[0].copy()
    broken[0, 1, 0] = np.nan
    assert not video_poses.of([broken], "poses").points[0, 0, 1].any()


def test_points_fit_a_video_of_another_size():
    found = video_poses.of(ONE, "poses")
    assert found.size == (10, 20)
    np.testing.assert_array_equal(found.scaled(10, 20), found.points)
    np.testing.assert_allclose(found.scaled(30, 40)[..., :2], POINTS * (2, 3))


@pytest.mark.parametrize(
    "content,message",
    [
        ([], r"poses\.pkl: this is an object of type empty list; expected an annotation"),
        (3.5, r"poses\.pkl: this is an object of type float; expected"),
        ({"keypoints": POINTS}, r'no "keypoint" in it\. Did you mean "keypoints"\?'),
        ([ONE | {"frame_dir": "a"}, OTHER], r"no annotation of .*Did you mean \"wlak\""),
        ([ONE, ONE], r"several annotations of videos/walk\.mp4"),
        ([ONE, "x"], r"annotation 1: no frame_dir"),
        (ONE | {"keypoint": np.ones((1, 4, 3, 3))}, r"3-D.*jaxvid\.predict FILE\.pkl"),
        (ONE | {"total_frames": 5}, r'expected "total_frames", 5'),
        ([FRAMES[0], np.ones((1, 5, 3))], r"3 and 5 joints"),
        ([FRAMES[0], np.ones((5, 3))], r"frame 1: an array \(5, 3\); expected \(people, joints"),
        ([FRAMES[0], "x"], r"frame 1: no array of numbers"),
        ([FRAMES[0] * np.inf], r"frame 0: infinite"),
        ([dict(keypoints=POINTS[0])], r'frame 0: no "keypoint_scores"'),
        ([dict(keypoints=POINTS[0], keypoint_scores=np.ones(3))], r"do not fit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(content, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.pkl: cannot read it"):
        video_poses.read(tmp_path / "none.pkl", "walk.mp4")
    (tmp_path / "text.pkl").write_text("hello")
    with pytest.raises(UserError, match=r"text\.pkl"):
        video_poses.read(tmp_path / "text.pkl", "walk.mp4")
