"""Link the detections of several moments of a video to action tubes: a person and its actions.

A box continues the person whose last box it overlaps most. Pairs are chosen in the order of their
IoU, until none reaches `LINK`. Each other box starts a tube. A person can be missing for `GAP`
moments.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxvid.inference import tracking
from jaxvid.metrics.detection import iou
from jaxvid.results import ActionTube, Detected, Moments

LINK = 0.2  # smallest IoU of two boxes of a person
GAP = 2  # most consecutive moments in which a person can be missing


def link(moments: Sequence[Detected]) -> Moments:
    """Return the moments, whose boxes get the numbers of their tubes, and the tubes.

    The score of a class in a tube is the mean of its scores at the moments of the tube. It counts 0
    where the class is none of the predicted ones. Tubes count from 1, in the order of their starts.
    """
    rows: list[list[tuple[int, int]]] = []  # of each tube: moment and box
    numbered = []
    for at, moment in enumerate(moments):
        boxes = np.reshape(moment.boxes, (-1, 4))
        going = [i for i, tube in enumerate(rows) if at - tube[-1][0] <= GAP + 1]
        last = [moments[rows[i][-1][0]].boxes[rows[i][-1][1]] for i in going]
        near = iou(np.reshape(last, (-1, 4)), boxes)
        owner = tracking.pairs(near, LINK)
        numbers = []
        for box in range(len(boxes)):
            if box in owner:
                tube = going[owner[box]]
            else:
                tube = len(rows)
                rows.append([])
            rows[tube].append((at, box))
            numbers.append(tube + 1)
        numbered.append(replace(moment, numbers=tuple(numbers)))
    tubes = tuple(_tube(number, tube, moments) for number, tube in enumerate(rows, 1))
    return Moments(tuple(numbered), tubes)


def _tube(number: int, rows: Sequence[tuple[int, int]], moments: Sequence[Detected]) -> ActionTube:
    total: dict[str, float] = {}
    for at, box in rows:
        for label, score in zip(moments[at].labels[box], moments[at].scores[box], strict=True):
            total[label] = total.get(label, 0.0) + score / len(rows)
    best = sorted(total, key=lambda label: -total[label])
    return ActionTube(
        number=number,
        labels=tuple(best),
        scores=tuple(total[label] for label in best),
        times=tuple(moments[at].time for at, _ in rows),
        boxes=tuple(moments[at].boxes[box] for at, box in rows),
    )
