"""RoIAlign against its definition, sample by sample, and its gradient."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops.roi_align import bin_weights, roi_align

pytestmark = pytest.mark.long

SIZE, SCALE = 3, 1 / 4
H, W, C = 7, 9, 2


def interpolated(picture, y, x):
    """Bilinear, of (h, w, c); 0 further than a pixel outside."""
    h, w, _ = picture.shape
    if not (-1 <= y <= h and -1 <= x <= w):
        return np.zeros(picture.shape[-1])
    y, x = (min(max(v, 0.0), n - 1.0) for v, n in ((y, h), (x, w)))
    top, left = math.floor(y), math.floor(x)
    value = 0.0
    for row, share in ((top, 1 - (y - top)), (min(top + 1, h - 1), y - top)):
        for column, part in ((left, 1 - (x - left)), (min(left + 1, w - 1), x - left)):
            value = value + share * part * picture[row, column]
    return value


def by_definition(picture, box, size=SIZE, scale=SCALE):
    """One box of one picture: (size, size, c)."""
    x1, y1, x2, y2 = np.asarray(box, np.float64) * scale - 0.5
    out = np.zeros((size, size, picture.shape[-1]))
    tall, wide = (y2 - y1) / size, (x2 - x1) / size
    rows, columns = math.ceil(tall), math.ceil(wide)
    for p in range(size):
        for q in range(size):
            for i in range(rows):
                for j in range(columns):
                    y = y1 + p * tall + (i + 0.5) * tall / rows
                    x = x1 + q * wide + (j + 0.5) * wide / columns
                    out[p, q] += interpolated(picture, y, x)
            out[p, q] /= max(rows * columns, 1)
    return out


BOXES = {
    "inside": (5, 6, 20, 19),
    "all of it": (0, 0, 4 * W, 4 * H),
    "a bin is less than a pixel": (10, 9, 13, 11),
    "bins of whole pixels": (2, 2, 26, 26),
    "beyond the upper left": (-13, -9, 17, 11),
    "beyond the lower right": (20, 15, 55, 44),
    "around all of it": (-300, -200, 350, 420),
    "outside": (60, 60, 90, 90),
    "no width": (8, 3, 8, 20),
    "no width, far to the left": (-13, 3, -13, 20),
    "swapped": (20, 3, 8, 20),
    "no box": (0, 0, 0, 0),
}


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).standard_normal((2, H, W, C)).astype(np.float32)


@pytest.fixture(scope="module")
def boxes():
    """The same, other by other, for two pictures."""
    rows = np.array(list(BOXES.values()), np.float32)
    return np.stack([rows, rows[::-1]])


def test_every_box_is_what_the_definition_says(pictures, boxes):
    got = jax.jit(lambda x, b: roi_align(x, b, SIZE, SCALE))(pictures, boxes)
    assert got.shape == (2, len(BOXES), SIZE, SIZE, C)
    names = [list(BOXES), list(BOXES)[::-1]]
    for b in range(2):
        for n, name in enumerate(names[b]):
            want = by_definition(pictures[b], boxes[b, n])
            np.testing.assert_allclose(got[b, n], want, atol=2e-6, err_msg=name)


def test_random_boxes(pictures):
    corners = np.random.default_rng(1).uniform(-20, 60, (2, 40, 4)).astype(np.float32)
    got = roi_align(pictures, corners, 4, 0.25)
    for b in range(2):
        want = [by_definition(pictures[b], box, 4, 0.25) for box in corners[b]]
        np.testing.assert_allclose(got[b], want, atol=1e-5)


def test_the_gradient_spreads_a_bin_over_the_pixels_it_is_made_of(pictures, boxes):
    """It is linear in the features: its gradient is its transpose."""
    weight = np.random.default_rng(2).standard_normal((2, len(BOXES), SIZE, SIZE, C))

    def total(features):
        return (roi_align(features, boxes, SIZE, SCALE) * weight).sum()

    got = jax.grad(total)(jnp.asarray(pictures))
    units = np.eye(H * W).reshape(H, W, H * W)  # a channel for each pixel alone
    spread = np.stack([[by_definition(units, box) for box in row] for row in boxes])
    want = np.einsum("bnpqi,bnpqc->bic", spread, weight).reshape(pictures.shape)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_gradient_of_boxes_is_that_of_finite_differences(pictures):
    box = np.array([[[5.3, 6.1, 20.7, 19.2]]])
    with jax.enable_x64(True):
        features = jnp.asarray(pictures[:1], jnp.float64)
        weight = jnp.asarray(np.random.default_rng(3).standard_normal((SIZE, SIZE, C)))

        def total(box):
            rows = bin_weights(box[1] / 4 - 0.5, (box[3] - box[1]) / 4, SIZE, H)
            columns = bin_weights(box[0] / 4 - 0.5, (box[2] - box[0]) / 4, SIZE, W)
            return (jnp.einsum("ph,qw,hwc->pqc", rows, columns, features[0]) * weight).sum()

        corner, total = jnp.asarray(box[0, 0]), jax.jit(total)
        got, step = jax.grad(total)(corner), 1e-5
        for k in range(4):
            move = np.eye(4)[k] * step
            want = (total(corner + move) - total(corner - move)) / (2 * step)
            np.testing.assert_allclose(got[k], want, rtol=1e-5)


def test_padding_changes_no_other_box_and_has_no_gradient(pictures, boxes):
    few = boxes[:, :3]
    padded = np.concatenate([few, np.zeros_like(boxes[:, :5])], 1)
    got = roi_align(pictures, padded, SIZE, SCALE)
    np.testing.assert_allclose(got[:, :3], roi_align(pictures, few, SIZE, SCALE), atol=1e-6)
    assert not got[:, 3:].any()
    grad = jax.grad(lambda x: roi_align(x, padded, SIZE, SCALE)[:, 3:].sum())(pictures)
    assert not np.asarray(grad).any()


def test_boxes_without_a_size_make_no_nan(pictures, boxes):
    with jax.debug_nans(True):
        found = roi_align(jnp.asarray(pictures), jnp.asarray(boxes), SIZE, SCALE)
    assert np.isfinite(found).all()


def test_half_precision_stays_half(pictures, boxes):
    want = roi_align(pictures, boxes, SIZE, SCALE)
    got = roi_align(jnp.asarray(pictures, jnp.bfloat16), boxes, SIZE, SCALE)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(got), want, atol=0.05)


def test_weights_of_a_bin_inside_add_up_to_one():
    start, length = jnp.array([0.2, 1.7, 3.0]), jnp.array([5.5, 2.1, 0.4])
    weights = bin_weights(start, length, 4, 8)
    assert weights.shape == (3, 4, 8)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
