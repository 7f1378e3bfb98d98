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
# Of the published detector of hands: least score, greatest overlap, most boxes of a frame. The
# others are published with 0.001, 0.65 and 300, which serve to measure their precision.
LEAST, OVERLAP, MOST = 0.05, 0.6, 100
PER_MAP = 1000  # best positions of a map that are looked at
MARGIN = 1.25  # size of the part of the frame that is looked at, as a multiple of the box
# Parts of the 68 points of a face. In a mirror, a part is in reverse order.
FACE = ((0, 17), (17, 27), (31, 36), (48, 55), (55, 60), (60, 65), (65, 68))
EYES = [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
BODY = [(left, left + 1) for left in range(1, 17, 2)]
FEET = [(17, 20), (18, 21), (19, 22)]
HANDS = [(91 + i, 112 + i) for i in range(21)]


def mirror(joints: int) -> tuple[int, ...]:
    """Return the joint at the place of each one in a mirror, of COCO, COCO-WholeBody or a hand."""
    pairs = {17: BODY, 21: [], 133: [*BODY, *FEET, *_face(), *HANDS]}[joints]
    other = {**dict(pairs), **{right: left for left, right in pairs}}
    return tuple(other.get(joint, joint) for joint in range(joints))


def _face() -> list[tuple[int, int]]:
    parts = [(start + i, end - 1 - i) for start, end in FACE for i in range((end - start) // 2)]
    return [(23 + left, 23 + right) for left, right in (*parts, *EYES)]


class Network:
    """A published network of a family, with its variables.

    Attributes:
      net: the Flax module.
      config: the spec of the model.
      classes: number of its classes or joints.
      variables: parameters and running statistics, read on first use; a log line names them.
    """

    def __init__(self, spec: str | Path, family: str, dtype: str):
        self._origin = origin = resolve.locate(spec)
        self.config = origin.local_config["model"]
        if (name := self.config["name"]) != family:
            raise UserError(f"{spec}: a model of the family {name}; expected one of {family}")
        self.source = origin.source
        self.classes = zoo.get(origin.meta["zoo"]).num_classes
        self.net = plug.load(
            "models", self.config, num_classes=self.classes, dtype=jnp.dtype(dtype)
        )

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
      dtype: type in which the network computes, "float32" or "bfloat16".
      classes: the classes to find. Class 0 of all published detectors is the person or the hand.
      least: smallest score of a box.
      overlap: greatest intersection over union of two boxes of a class.
      most: greatest number of boxes of a frame.

    Raises:
      UserError: there are no such weights, or they are of another family.
    """

    def __init__(
        self,
        spec: str | Path,
        batch: int = 8,
        dtype: str = "float32",
        classes: Sequence[int] = (0,),
        least: float = LEAST,
        overlap: float = OVERLAP,
        most: int = MOST,
    ):
        self._network, self._batch = Network(spec, "rtmdet", dtype), batch
        if not classes or not set(classes) <= set(range(self._network.classes)):
            count = self._network.classes
            raise UserError(f"{spec}: classes={list(classes)}: give numbers from 0 to {count - 1}")
        self._size = rtmdet.SIZES.get(self._network.config["variant"], 640)
        self._limits = least, overlap, most
        self._step = jax.jit(functools.partial(_boxes, self._network.net, tuple(classes)))

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return x1, y1, x2, y2 in pixels and the score of each box, float32, for each frame."""
        return [
            rows
            for start in range(0, len(frames), self._batch)
            for rows in self._detect(frames[start : start + self._batch])
        ]

    def _detect(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the boxes of each frame of a batch."""
        least, overlap, most = self._limits
        size = np.array(frames.shape[2:0:-1], np.float32)  # width and height
        images, scales = zip(*(letterbox(f, self._size) for f in frames), strict=True)
        found = self._step(self._network.variables, jnp.asarray(filled(images, self._batch)))
        for rows, scale in zip(np.array(found), scales, strict=False):
            rows = rows[rows[..., 4] > least]
            rows[:, :4] = np.clip(rows[:, :4] / np.tile(scale, 2), 0, np.tile(size, 2))
            rows = rows[(rows[:, 2:4] > rows[:, :2]).all(1)]
            kept = [suppress(rows[rows[:, 5] == c], overlap, most) for c in np.unique(rows[:, 5])]
            best = np.concatenate([np.zeros((0, 6), np.float32), *kept])
            yield best[np.argsort(-best[:, 4], kind="stable")][:most, :5]


class PoseEstimator:
    """Estimates joints: a function from frames and their boxes to a list of poses (n, k, 3).

    Args:
      spec: a name of the zoo, such as "rtmpose_m_coco" or "rtmpose_m_hand", or a file of it.
      batch: number of boxes that are processed at once.
      dtype: type in which the network computes, "float32" or "bfloat16".
      flip: also look at the mirror image, and take the mean of the scores, as published.

    Raises:
      UserError: there are no such weights, or they are of another family.
    """

    def __init__(
        self, spec: str | Path, batch: int = 16, flip: bool = True, dtype: str = "float32"
    ):
        self._network, self._batch = Network(spec, "rtmpose", dtype), batch
        self._size = self._network.net.head.size
        exchange = mirror(self._network.classes)
        self._step = jax.jit(functools.partial(_joints, self._network.net, exchange, flip))

    def __call__(self, frames: np.ndarray, boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return x, y in pixels and the score of each joint, float32, for the boxes of each frame.

        A joint whose score is not above 0 is missing, and zeros.
        """
        crops = [(frame, box[:4]) for frame, own in zip(frames, boxes, strict=True) for box in own]
        poses = np.zeros((len(crops), self._network.classes, 3), np.float32)
        for start in range(0, len(crops), self._batch):
            part = slice(start, start + self._batch)
            poses[part] = self._estimate(crops[part])
        return np.split(poses, np.cumsum([len(own) for own in boxes])[:-1])

    def _estimate(self, crops: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return the poses (b, k, 3) in boxes of frames."""
        windows = [window(box, self._size) for _, box in crops]
        pairs = zip(crops, windows, strict=True)
        images = [cut(frame, *where, self._size) for (frame, _), where in pairs]
        found = self._step(self._network.variables, jnp.asarray(filled(images, self._batch)))
        poses = np.array(found)[: len(crops)]
        for pose, (corner, scale) in zip(poses, windows, strict=True):
            pose[:, :2] = np.where(pose[:, 2:] > 0, pose[:, :2] / scale + corner, 0)
            pose[:, 2] = np.maximum(pose[:, 2], 0)
        return poses


def _boxes(net: Any, classes: tuple[int, ...], variables: Any, images: jax.Array) -> jax.Array:
    """Return the best boxes of images uint8 (b, h, w, 3), float32 (b, p, 6), in their pixels.

    The last two numbers of a box are its score and its class.
    """
    images = (images.astype(jnp.float32) - MEAN) / STD
    out = net.apply(variables, images[..., ::-1], train=False)  # the published order is BGR
    rows = []
    for stride, logits, sides in zip(rtmdet.STRIDES, out[:3], out[3:], strict=True):
        y, x = jnp.meshgrid(*(jnp.arange(n) * stride for n in logits.shape[1:3]), indexing="ij")
        at = jnp.stack([x, y], -1).astype(jnp.float32)
        corners = jnp.concatenate([at - sides[..., :2], at + sides[..., 2:]], -1)
        score = jax.nn.sigmoid(logits[..., list(classes)]).reshape(len(images), -1)
        best, where = jax.lax.top_k(score, min(PER_MAP, score.shape[1]))
        place, kind = where // len(classes), jnp.array(classes)[where % len(classes)]
        boxes = jnp.take_along_axis(corners.reshape(len(images), -1, 4), place[..., None], 1)
        rows.append(jnp.concatenate([boxes, best[..., None], kind[..., None]], -1))
    return jnp.concatenate(rows, 1)


def _joints(net: Any, exchange: tuple, flip: bool, variables: Any, images: jax.Array) -> jax.Array:
    """Return joints of images uint8 (b, h, w, 3): float32 (b, k, 3), in their pixels."""
    images = (images.astype(jnp.float32) - MEAN) / STD
    scores = net.apply(variables, images, train=False)
    if flip:
        x, y = (
            s[..., list(exchange)] for s in net.apply(variables, images[:, :, ::-1], train=False)
        )
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


def suppress(rows: np.ndarray, overlap: float = OVERLAP, most: int = MOST) -> np.ndarray:
    """Return the best boxes (n, 5 or more) of which no two overlap by more than `overlap`.

    The fifth number of a box is its score. The best box is the first.
    """
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept = []
    while len(rows) and len(kept) < most:
        best = rows[0]
        kept.append(best)
        inside = np.minimum(best[2:4], rows[:, 2:4]) - np.maximum(best[:2], rows[:, :2])
        common = inside.clip(0).prod(1)
        areas = (rows[:, 2:4] - rows[:, :2]).prod(1)
        apart = common <= overlap * (areas + areas[0] - common)
        rows = rows[1:][apart[1:]]
    return np.array(kept, np.float32).reshape(-1, rows.shape[1])


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


def filled(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return images as a batch of `size`. Black images fill it up."""
    rest = np.zeros((size - len(images), *images[0].shape), np.uint8)
    return np.concatenate([np.stack(images), rest])
