"""Find people or hands in frames, and estimate their joints, with RTMDet and RTMPose.

    from jaxvid.inference.poses import Detector, PoseEstimator

    detect, estimate = Detector("rtmdet_m_coco"), PoseEstimator("rtmpose_m_coco")
    boxes = detect(frames)  # frames uint8 (t, h, w, 3) RGB -> a list of t arrays (n, 5)
    poses = estimate(frames, boxes)  # a list of t arrays (n, k, 3)

Frames and boxes are processed in batches of fixed size, so that each network compiles once. The
preprocessing is that of the published models.

Shapes: t frames, b batch, h height, w width, n boxes, k joints, p positions of all maps.
"""

import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import rtmdet, rtmpose
from jaxvid.weights import resolve, zoo

logger = logging.getLogger(__name__)

MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # of RGB
SMALL = 64  # side of an image that all maps of a detector fit
GRAY = 114  # of the border beside frames
LEAST, OVERLAP, MOST, PER_MAP = 0.05, 0.6, 100, 1000  # as published
MARGIN = 1.25  # size of the part of the frame that is looked at, as a multiple of the box
# Joints of COCO that are exchanged in a mirror, by the number of joints.
MIRRORS = {17: (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)}


class Network:
    """A published network of a family, with its variables.

    Attributes:
      net: the Flax module.
      config: the spec of the model.
      classes: number of its classes or joints.
      variables: parameters and running statistics, read on first use; a log line names them.
    """

    def __init__(self, spec: str | Path, family: str):
        self._origin = origin = resolve.locate(spec)
        self.config = origin.local_config["model"]
        if (name := self.config["name"]) != family:
            raise UserError(f"{spec}: a model of the family {name}; expected one of {family}")
        self.source = origin.source
        self.classes = zoo.get(origin.meta["zoo"]).num_classes
        self.net = plug.load("models", self.config, num_classes=self.classes, dtype=jnp.float32)

    @functools.cached_property
    def variables(self) -> dict:
        size = getattr(self.net.head, "size", (SMALL, SMALL))
        image, key = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32), jax.random.key(0)
        like = jax.eval_shape(lambda x: self.net.init(key, x, train=False), image)
        variables, line = resolve.read(self._origin, like, self.net, self.config)
        logger.info(line)
        return jax.device_put(variables)


class Detector:
    """Finds people or hands: a function from frames to a list of boxes (n, 5), best first.

    Args:
      spec: a name of the zoo, such as "rtmdet_m_coco" or "rtmdet_nano_hand", or a file of it.
      batch: number of frames that are processed at once.

    Raises:
      UserError: there are no such weights, or they are of another family.
    """

    def __init__(self, spec: str | Path, batch: int = 8):
        self._network, self._batch = Network(spec, "rtmdet"), batch
        self._size = rtmdet.SIZES[self._network.config["variant"]]
        self._step = jax.jit(functools.partial(_boxes, self._network.net))

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return x1, y1, x2, y2 in pixels and the score of each box, float32, for each frame."""
        height, width = frames.shape[1:3]
        images, scale = zip(*(letterbox(f, self._size) for f in frames), strict=True)
        found = []
        for part in batches(np.stack(images), self._batch):
            rows = self._step(self._network.variables, jnp.asarray(part))
            found += list(np.array(rows))
        limits = np.array([width, height, width, height], np.float32)
        result = []
        for rows, factor in zip(found[: len(frames)], scale, strict=True):
            rows = suppress(rows[rows[:, 4] > LEAST])
            rows[:, :4] = np.clip(rows[:, :4] / np.tile(factor, 2), 0, limits)
            result.append(rows)
        return result


class PoseEstimator:
    """Estimates joints: a function from frames and their boxes to a list of poses (n, k, 3).

    Args:
      spec: a name of the zoo, such as "rtmpose_m_coco" or "rtmpose_m_hand", or a file of it.
      batch: number of boxes that are processed at once.
      flip: also look at the mirror image, and take the mean of the scores, as published.

    Raises:
      UserError: there are no such weights, or they are of another family.
    """

    def __init__(self, spec: str | Path, batch: int = 16, flip: bool = True):
        self._network, self._batch = Network(spec, "rtmpose"), batch
        self._size = self._network.net.head.size
        joints = self._network.classes
        mirror = MIRRORS.get(joints, tuple(range(joints)))
        self._step = jax.jit(functools.partial(_joints, self._network.net, mirror, flip))

    def __call__(self, frames: np.ndarray, boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return x, y in pixels and the score of each joint, float32, for the boxes of each frame.

        A joint whose score is not above 0 is missing, and zeros.
        """
        crops = [(frame, box[:4]) for frame, own in zip(frames, boxes, strict=True) for box in own]
        joints, found = self._network.classes, []
        if crops:
            windows = [window(box, self._size) for _, box in crops]
            pairs = zip(crops, windows, strict=True)
            images = np.stack([cut(frame, *where, self._size) for (frame, _), where in pairs])
            for part in batches(images, self._batch):
                found += list(np.array(self._step(self._network.variables, jnp.asarray(part))))
            for pose, (corner, scale) in zip(found, windows, strict=False):
                pose[:, :2] = np.where(pose[:, 2:] > 0, pose[:, :2] / scale + corner, 0)
                pose[:, 2] = np.maximum(pose[:, 2], 0)
        ends = np.cumsum([len(own) for own in boxes])
        poses = np.stack(found[: len(crops)]) if crops else np.zeros((0, joints, 3), np.float32)
        return np.split(poses, ends[:-1])


def _boxes(net: Any, variables: Any, images: jax.Array) -> jax.Array:
    """Return boxes with scores of images uint8 (b, h, w, 3), float32 (b, p, 5), in their pixels."""
    images = (images.astype(jnp.float32) - MEAN) / STD
    out = net.apply(variables, images[..., ::-1], train=False)  # the published order is BGR
    rows = []
    for stride, logits, sides in zip(rtmdet.STRIDES, out[:3], out[3:], strict=True):
        y, x = jnp.meshgrid(*(jnp.arange(n) * stride for n in logits.shape[1:3]), indexing="ij")
        at = jnp.stack([x, y], -1).astype(jnp.float32)
        corners = jnp.concatenate([at - sides[..., :2], at + sides[..., 2:]], -1)
        score = jax.nn.sigmoid(logits.max(-1, keepdims=True))
        flat = jnp.concatenate([corners, score], -1).reshape(len(images), -1, 5)
        best = jax.lax.top_k(flat[..., 4], min(PER_MAP, flat.shape[1]))[1]
        rows.append(jnp.take_along_axis(flat, best[..., None], 1))
    return jnp.concatenate(rows, 1)


def _joints(net: Any, mirror: tuple, flip: bool, variables: Any, images: jax.Array) -> jax.Array:
    """Return joints of images uint8 (b, h, w, 3): float32 (b, k, 3), in their pixels."""
    images = (images.astype(jnp.float32) - MEAN) / STD
    scores = net.apply(variables, images, train=False)
    if flip:
        x, y = (s[..., list(mirror)] for s in net.apply(variables, images[:, :, ::-1], train=False))
        scores = (scores[0] + x[:, ::-1]) / 2, (scores[1] + y) / 2
    places = [score.argmax(1) / rtmpose.BINS for score in scores]
    return jnp.stack([*places, jnp.minimum(*(score.max(1) for score in scores))], -1)


def letterbox(frame: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame in the upper left of a gray square, and its scales along x and y."""
    height, width = frame.shape[:2]
    factor = size / max(height, width)
    new = np.array([int(width * factor + 0.5), int(height * factor + 0.5)])
    image = np.full((size, size, 3), GRAY, np.uint8)
    image[: new[1], : new[0]] = cv2.resize(frame, new.tolist(), interpolation=cv2.INTER_LINEAR)
    return image, new / np.array([width, height], np.float32)


def suppress(rows: np.ndarray) -> np.ndarray:
    """Return the best boxes (n, 5) of which no two overlap by more than `OVERLAP`, best first."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept: list[np.ndarray] = []
    while len(rows) and len(kept) < MOST:
        best = rows[0]
        kept.append(best)
        inside = np.minimum(best[2:4], rows[:, 2:4]) - np.maximum(best[:2], rows[:, :2])
        common = inside.clip(0).prod(1)
        areas = (rows[:, 2:4] - rows[:, :2]).prod(1)
        apart = common <= OVERLAP * (areas + areas[0] - common)
        rows = rows[1:][apart[1:]]
    return np.array(kept, np.float32).reshape(-1, 5)


def window(box: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Return the corner of the part of a frame around a box, and pixels of `size` for one of it."""
    center, (w, h) = (box[:2] + box[2:4]) / 2, np.maximum((box[2:4] - box[:2]) * MARGIN, 1)
    width = max(w, h * size[1] / size[0])
    scale = size[1] / width
    return center - np.array(size[::-1]) / (2 * scale), float(scale)


def cut(frame: np.ndarray, corner: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """Return the part of a frame at `corner` in `size`, with black outside of the frame."""
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    return cv2.warpAffine(frame, matrix, size[::-1], flags=cv2.INTER_LINEAR)


def batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield parts of `size` images. The last one is filled up with zeros."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
