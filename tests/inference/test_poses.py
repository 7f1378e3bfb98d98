"""Detectors and pose estimators around their networks: geometry, suppression and batches."""

from types import SimpleNamespace

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.inference import poses
from jaxvid.inference.poses import Detector, PoseEstimator

SIZE = 64


class OneBox:
    """A network that sees one box, around the position (4, 3) of the finest map, in each image."""

    def apply(self, variables, images, train):
        self.images = images
        maps = [jnp.full((len(images), n, n, 1), -9.0) for n in (8, 4, 2)]
        maps[0] = maps[0].at[:, 3, 4, 0].set(4.0)
        return (*maps, *(jnp.full((*m.shape[:3], 4), jnp.array([8, 4, 16, 12])) for m in maps))


class Brightest:
    """A network whose joints all are at the brightest pixel."""

    head = SimpleNamespace(size=(SIZE, 48))

    def apply(self, variables, images, train):
        gray = images.sum(-1)
        along = jnp.repeat(gray.max(1), 2, 1), jnp.repeat(gray.max(2), 2, 1)
        return tuple(jnp.repeat(scores[..., None], 17, -1) for scores in along)


@pytest.fixture
def network(monkeypatch):
    """Replaces what is loaded."""

    def use(net, classes=1):
        made = SimpleNamespace(
            net=net, classes=classes, variables={}, config={"variant": "test"}, source="x"
        )
        monkeypatch.setattr(poses, "Network", lambda spec, family, dtype: made)

    return use


def test_boxes_are_in_pixels_of_the_frame(network):
    network(OneBox())
    frames = np.zeros((3, 96, 128, 3), np.uint8)
    found = Detector("rtmdet_nano_hand", batch=2)(frames)
    assert [f.shape for f in found] == [(1, 5)] * 3
    # The position is at (32, 24) of the square, in which the frame has half of its size.
    np.testing.assert_allclose(found[0][0, :4], [48, 40, 96, 72])
    assert found[0][0, 4] == pytest.approx(1 / (1 + np.exp(-4)))


class TwoClasses(OneBox):
    """A network that sees the same box as two classes, and another one outside of the frame."""

    def apply(self, variables, images, train):
        out = super().apply(variables, images, train)
        maps = [jnp.concatenate([m, m - 1], -1) for m in out[:3]]
        maps[0] = maps[0].at[:, 7, 4].set(3.0)  # below the frame, which ends at 48 of 64
        return (*maps, *out[3:])


def test_boxes_of_other_classes_do_not_suppress_each_other(network):
    network(TwoClasses(), 2)
    frames = np.zeros((1, 96, 128, 3), np.uint8)
    (both,) = Detector("rtmdet_m_coco80", classes=(0, 1))(frames)
    np.testing.assert_allclose(both[:, :4], [[48, 40, 96, 72]] * 2)
    scores = 1 / (1 + np.exp([-4.0, -3.0]))
    np.testing.assert_allclose(both[:, 4], scores, rtol=1e-5)
    (second,) = Detector("rtmdet_m_coco80", classes=(1,))(frames)
    np.testing.assert_allclose(second, both[1:])
    (best,) = Detector("rtmdet_m_coco80", classes=(0, 1), most=1)(frames)
    np.testing.assert_allclose(best, both[:1])
    (none,) = Detector("rtmdet_m_coco80", least=0.99)(frames)
    assert none.shape == (0, 5)


def test_classes_that_a_detector_lacks_are_refused(network):
    network(OneBox())
    with pytest.raises(UserError, match=r"classes=\[1\]: give numbers from 0 to 0"):
        Detector("rtmdet_nano_hand", classes=(1,))


@pytest.mark.parametrize("flip", [False, True])
def test_joints_are_in_pixels_of_the_frame(network, flip):
    network(Brightest(), 17)
    frames = np.zeros((2, 200, 300, 3), np.uint8)
    frames[0, 80:84, 100:104] = frames[1, 50:54, 220:224] = 255
    boxes = [np.array([[70, 40, 150, 120, 0.9]]), np.array([[200, 30, 250, 90, 0.9]] * 2)]
    found = PoseEstimator("rtmpose_m_coco", batch=2, flip=flip)(frames, boxes)
    assert [f.shape for f in found] == [(1, 17, 3), (2, 17, 3)]
    np.testing.assert_allclose(found[0][0, :, :2], [[102, 82]] * 17, atol=3)
    np.testing.assert_allclose(found[1][1, :, :2], [[222, 52]] * 17, atol=3)


def test_frames_without_boxes_have_no_poses(network):
    network(Brightest(), 17)
    frames = np.zeros((2, 20, 30, 3), np.uint8)
    found = PoseEstimator("rtmpose_m_coco")(frames, [np.zeros((0, 5))] * 2)
    assert [f.shape for f in found] == [(0, 17, 3)] * 2


@pytest.mark.parametrize("joints", [17, 21, 133])
def test_a_mirror_of_a_mirror_is_the_same(joints):
    mirror = poses.mirror(joints)
    assert [mirror[mirror[j]] for j in range(joints)] == list(range(joints))


def test_a_mirror_exchanges_left_and_right():
    assert poses.mirror(17)[:7] == (0, 2, 1, 4, 3, 6, 5)
    body = poses.mirror(133)
    assert body[:17] == poses.mirror(17)
    # Left toe, corner of the jaw, eyebrow, nose, eye, mouth, and left thumb.
    pairs = (17, 20), (23, 39), (40, 49), (54, 58), (63, 70), (71, 77), (88, 90), (93, 114)
    assert all(body[left] == right for left, right in pairs)
    assert [j for j in range(23, 91) if body[j] == j] == [31, 50, 51, 52, 53, 56, 74, 80, 85, 89]


def test_of_boxes_that_overlap_the_best_one_stays():
    rows = np.array([[0, 0, 10, 10, 0.5], [1, 0, 11, 10, 0.9], [30, 0, 40, 10, 0.7]], np.float32)
    np.testing.assert_array_equal(poses.suppress(rows), rows[[1, 2]])
    assert poses.suppress(np.zeros((0, 5), np.float32)).shape == (0, 5)


def test_a_frame_lies_in_the_upper_left_of_the_square():
    image, scale = poses.letterbox(np.zeros((50, 100, 3), np.uint8), 64)
    assert (image[:32] == 0).all() and (image[32:] == poses.GRAY).all()
    np.testing.assert_allclose(scale, 0.64)


def test_a_window_has_the_box_in_its_middle():
    corner, scale = poses.window(np.array([100, 100, 140, 200]), (256, 192))
    np.testing.assert_allclose(corner + np.array([192, 256]) / scale / 2, [120, 150])
    assert 256 / scale == pytest.approx(125)  # the height of the box and its margin
    frame = np.zeros((300, 300, 3), np.uint8)
    frame[150, 120] = 255
    seen = poses.cut(frame, corner, scale, (256, 192))
    y, x = np.unravel_index(seen.sum(-1).argmax(), seen.shape[:2])
    assert abs(y - 128) <= 2 and abs(x - 96) <= 2


@pytest.mark.parametrize("box", [[70, 40, 150, 120], [10, 30, 250, 90], [-20, -5, 31.5, 160.25]])
def test_a_window_is_that_of_the_published_affine_transform(box):
    """The transform is given by the center, the point above it and the one at a right angle."""
    rng, (height, width), box = np.random.default_rng(0), (256, 192), np.array(box, np.float64)
    frame = rng.integers(0, 255, (200, 300, 3), np.uint8)
    center, (w, h) = (box[:2] + box[2:]) / 2, 1.25 * (box[2:] - box[:2])
    w = max(w, h * width / height)
    source = np.array([center, center - [0, w / 2], center - w / 2], "f4")
    middle = np.array([width, height]) / 2
    half = width / 2
    target = np.array([middle, middle - [0, half], middle - half], "f4")
    matrix = cv2.getAffineTransform(source, target)
    published = cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)
    seen = poses.cut(frame, *poses.window(box, (height, width)), (height, width))
    assert (np.abs(seen.astype(int) - published) > 8).mean() < 0.01  # positions are rounded to 1/32
    corner, scale = poses.window(box, (height, width))
    np.testing.assert_allclose(matrix @ [*corner, 1], [0, 0], atol=1e-3)
    np.testing.assert_allclose(matrix[0, 0], scale, rtol=1e-5)


@pytest.mark.parametrize("shape", [(50, 100), (97, 33), (480, 853), (64, 64)])
def test_a_frame_is_resized_as_published(shape):
    frame = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    factor = min(64 / max(shape), 64 / min(shape))
    height, width = (int(n * factor + 0.5) for n in shape)
    published = np.full((64, 64, 3), 114, np.uint8)
    published[:height, :width] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    image, scale = poses.letterbox(frame, 64)
    np.testing.assert_array_equal(image, published)
    np.testing.assert_allclose(scale, [width / shape[1], height / shape[0]])


def test_models_of_other_families_are_refused(monkeypatch):
    origin = SimpleNamespace(local_config={"model": {"name": "swin"}})
    monkeypatch.setattr(poses.resolve, "locate", lambda spec: origin)
    with pytest.raises(UserError, match="swin_tiny_k400: a model of the family swin; expected"):
        Detector("swin_tiny_k400")
