"""Key points drawn as heat maps: a Gaussian for each joint, or a bar for each limb (PoseC3D, 2022).

Shape letters: v views, m people, t frames, j joints or limbs, h height, w width; n things to draw,
p pixels of them all.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid import skeletons
from jaxvid.data.sample import Sample
from jaxvid.data.transforms import coordinates
from jaxvid.errors import UserError

FAINTEST = 1e-4  # joints with a lower score are not drawn


@dataclass(frozen=True)
class Heatmaps:
    """Draw `keypoint` (v m t j 2) in pixels as `heatmap` float32 (v t h w j), from 0 to the score.

    The value of a pixel is score * exp(-d^2 / (2 sigma^2)), where d is its distance from the joint,
    or from the nearest point of the limb. The score of a limb is the lower score of its ends. Where
    people overlap, the larger value counts.

    Attributes:
      sigma: standard deviation of the Gaussian in pixels. Values beyond 3 sigma in x or y are 0.
      layout: layout of the joints, see `jaxvid.skeletons`.
      limbs: pairs of joints. If empty, joints are drawn.
      scaling: size of the heat map divided by the size of the frame of the key points.
      double: add a mirrored copy of each view.
    """

    sigma: float = 0.6
    layout: str = "coco"
    limbs: tuple[skeletons.Pair, ...] = ()
    scaling: float = 1.0
    double: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = dict(sample)
        size = coordinates.frame_size(sample)
        points = sample.pop("keypoint")
        scores = sample.pop("keypoint_score", np.ones(points.shape[:-1], np.float32))
        heatmap = self.draw(points, scores, *size)
        if self.double:
            mirrored = heatmap[:, :, :, ::-1, self.mirror()]
            heatmap = np.concatenate([heatmap, mirrored])
        return sample | {"heatmap": heatmap}

    def draw(self, points: np.ndarray, scores: np.ndarray, height: int, width: int) -> np.ndarray:
        """Draw points (v m t j 2) with scores (v m t j) in a frame of the given size in pixels.

        Returns:
          float32 (v t h w j).
        """
        joints = skeletons.get(self.layout).joints
        if points.shape[-2] != joints:
            raise UserError(
                f"key points have {points.shape[-2]} joints, {joints} in the layout"
                f' "{self.layout}"; set config.data.recipe.layout'
            )
        if points.shape[-1] != 2:
            raise UserError(
                f"key points have {points.shape[-1]} coordinates; heat maps need x, y in pixels,"
                ' and the scores in "keypoint_score"'
            )
        h, w = (int(side * self.scaling + 0.5) for side in (height, width))
        start, end = np.array(self.limbs or [(j, j) for j in range(joints)]).T
        a, b = (points[..., k, :2] * np.float32(self.scaling) for k in (start, end))
        peak = np.minimum(scores[..., start], scores[..., end]).astype(np.float32)
        # A limb shorter than a pixel is drawn as the joint at its start, with that joint's score.
        short = (np.square(a - b).sum(-1) < 1) & (peak >= FAINTEST)
        b, peak = np.where(short[..., None], a, b), np.where(short, scores[..., start], peak)

        v, m, t, j = np.nonzero(peak >= FAINTEST)
        a, b, peak = (array[v, m, t, j] for array in (a, b, peak))
        low = np.maximum(np.trunc(np.minimum(a, b) - 3 * self.sigma), 0)
        high = np.minimum(np.trunc(np.maximum(a, b) + 3 * self.sigma) + 1, (w, h))
        n, x, y = _pixels(low.astype(int), np.maximum(high - low, 0).astype(int))
        value = peak[n] * np.exp(_distance(a, b, n, x, y) * np.float32(-0.5 / self.sigma**2))

        out = np.zeros((len(points), points.shape[2], h, w, len(start)), np.float32)
        first = (v * out.shape[1] + t) * h * w * out.shape[-1] + j
        pixel = first[n] + (y * w + x) * out.shape[-1]
        np.maximum.at(out.reshape(-1), pixel, value)  # people may overlap
        return out

    def mirror(self) -> tuple[int, ...]:
        """Return for each channel the channel that it becomes in a mirrored frame."""
        joints = skeletons.get(self.layout).mirror
        if not self.limbs:
            return joints
        ends = [{a, b} for a, b in self.limbs]
        return tuple(ends.index({joints[a], joints[b]}) for a, b in self.limbs)


def _pixels(low: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels of boxes, given as upper left corners (n 2) and sizes (n 2), both x, y.

    Returns:
      The number of the box, x and y of every pixel, each (p,).
    """
    areas = size.prod(1)
    box = np.repeat(np.arange(len(size)), areas)
    place = np.arange(len(box)) - (areas.cumsum() - areas)[box]
    y, x = np.divmod(place, size[box, 0])
    return box, low[box, 0] + x, low[box, 1] + y


def _distance(a, b, n, x, y) -> np.ndarray:
    """Return the squared distance (p,) of pixels x, y from the lines a[n] to b[n]."""
    along = b - a
    squared = np.square(along).sum(1)
    along_x, along_y = along.T
    over = np.divide(1, squared, where=squared > 0, out=np.zeros_like(squared))
    dx, dy = x.astype(np.float32) - a[n, 0], y.astype(np.float32) - a[n, 1]
    along_x, along_y = along_x[n], along_y[n]
    share = np.clip((dx * along_x + dy * along_y) * over[n], 0, 1)
    return np.square(dx - share * along_x) + np.square(dy - share * along_y)
