"""Skeletons, heat maps and spectrograms as pictures, and boxes and skeletons on a video.

Shapes: t frames, h height, w width, m people, j joints, n boxes, f frequencies.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from jaxvid.draw.frames import SHADES
from jaxvid.skeletons import Skeleton

SIDE = 240  # pixels of a drawn skeleton
MARGIN = 12
DARK = np.array((24, 24, 28))
LEFT, RIGHT, MIDDLE = (40, 150, 255), (255, 130, 20), (90, 225, 110)
FINGERS = ((255, 90, 70), (250, 200, 40), (80, 215, 100), (60, 165, 255), (200, 110, 255))
SHOWN, CERTAIN = 0.3, 0.6  # scores of joints: those between are drawn half transparent


def boxes(video: np.ndarray, corners: Iterable, shades: Iterable) -> np.ndarray:
    """Return a copy of a clip uint8 (t h w 3) with boxes (n 4), x1 y1 x2 y2 in its pixels."""
    video = video.copy()
    thick = max(1, min(video.shape[1:3]) // 120)
    for (x1, y1, x2, y2), shade in zip(np.rint(corners).astype(int), shades, strict=True):
        for frame in video:
            cv2.rectangle(frame, (x1, y1), (x2 - 1, y2 - 1), shade, thick)
    return video


def skeletons(points: np.ndarray, there: np.ndarray, edges: Sequence) -> np.ndarray:
    """Draw joints and bones on a dark background, uint8 (t SIDE SIDE 3), with a color per person.

    Args:
      points: (m t j 2), x to the right and y down, in any unit. They are scaled to the picture.
      there: bool (m t j), which joints are known.
      edges: pairs of joints that are connected by bones.
    """
    known = points[there]
    low, high = (known.min(0), known.max(0)) if len(known) else (np.zeros(2), np.ones(2))
    scale = (SIDE - 2 * MARGIN) / max(float((high - low).max()), 1e-6)
    places = np.rint((points - (low + high) / 2) * scale + SIDE / 2).astype(int)
    frames = np.full((points.shape[1], SIDE, SIDE, 3), DARK, np.uint8)
    for person, (moving, seen) in enumerate(zip(places, there, strict=True)):
        shade = SHADES[person % len(SHADES)]
        for frame, joints, own in zip(frames, moving.tolist(), seen, strict=True):
            for a, b in edges:
                if own[a] and own[b]:
                    cv2.line(frame, joints[a], joints[b], shade, 2, cv2.LINE_AA)
            for j in np.flatnonzero(own):
                cv2.circle(frame, joints[j], 2, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
    return frames


def people(frame: np.ndarray, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return a copy of a frame uint8 (h w 3) with skeletons on it.

    Limbs of the left are blue, those of the right orange, others green; a hand has a color for each
    finger. Joints with scores below 0.6 are half transparent, and those below 0.3 are left out.

    Args:
      frame: the frame.
      points: (m j 3): x, y in its pixels, score.
      skeleton: layout of the joints.
    """
    drawn, shades = frame.copy(), joint_shades(skeleton)
    for low, high in ((SHOWN, CERTAIN), (CERTAIN, np.inf)):
        for person in points:
            strength = person[:, 2]
            for a, b in skeleton.edges:
                if low <= min(strength[a], strength[b]) < high:
                    _limb(drawn, person[[a, b], :2], shades[a], _thick(person))
            for j in np.flatnonzero((low <= strength) & (strength < high)):
                _joint(drawn, person[j, :2], shades[j], _thick(person))
        if high == CERTAIN:
            drawn = cv2.addWeighted(drawn, 0.5, frame, 0.5, 0)
    return drawn


def joint_shades(skeleton: Skeleton) -> list[tuple[int, int, int]]:
    """Return the color of each joint, and of the limb from it to its neighbor."""
    if not skeleton.left and skeleton.joints == 21:  # a hand: the wrist and five fingers
        root = skeleton.center
        return [MIDDLE if j == root else FINGERS[(j - 1) // 4] for j in range(skeleton.joints)]
    sides = dict.fromkeys(skeleton.left, LEFT) | dict.fromkeys(skeleton.right, RIGHT)
    return [sides.get(j, MIDDLE) for j in range(skeleton.joints)]


def _thick(person: np.ndarray) -> int:
    """Return the width of the lines of a person, which depends on the size of the body."""
    known = person[person[:, 2] >= SHOWN, :2]
    extent = float(np.ptp(known, axis=0).max()) if len(known) else 0.0
    return max(1, round(extent / 90))


def _limb(frame: np.ndarray, ends: np.ndarray, shade: tuple, thick: int) -> None:
    (x1, y1), (x2, y2) = np.rint(ends * 16).astype(int).tolist()
    for color, width in (((20, 20, 20), thick + 2), (shade, thick)):
        cv2.line(frame, (x1, y1), (x2, y2), color, width, cv2.LINE_AA, 4)


def _joint(frame: np.ndarray, place: np.ndarray, shade: tuple, thick: int) -> None:
    x, y = np.rint(place * 16).astype(int).tolist()
    for color, radius in (((20, 20, 20), thick + 2), ((255, 255, 255), thick + 1), (shade, thick)):
        cv2.circle(frame, (x, y), radius * 16, color, cv2.FILLED, cv2.LINE_AA, 4)


def heatmaps(maps: np.ndarray) -> np.ndarray:
    """Draw maps 0..1 (t h w j) on a dark background, uint8 (t h w 3), with a color per joint."""
    shades = np.array([SHADES[j % len(SHADES)] for j in range(maps.shape[-1])])
    strong, joint = maps.max(-1, keepdims=True), maps.argmax(-1)
    return np.rint(np.clip(DARK + strong * (shades[joint] - DARK), 0, 255)).astype(np.uint8)


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """Draw a spectrogram 0..1 (t f 1) as one frame uint8 (1 h w 3): time to the right, f upward."""
    levels = np.repeat(np.repeat(audio[:, ::-1, 0].T, 3, 0), 2, 1)[None, ..., None]
    return np.rint(np.clip(DARK + levels * (255 - DARK), 0, 255)).astype(np.uint8)
