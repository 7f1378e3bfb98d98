"""Goldens of networks that find the part of a video that a sentence describes."""

import numpy as np

from jaxvid.tasks.grounding import Grounding
from tests.parity.cases.case import Case

LEVELS = ((0, 32), (32, 48), (48, 56))  # first point, and the point after the last
LENGTHS = (7, 4)


def sentences(x):
    """The words of the two sentences, and equal parts of the videos."""
    query = np.zeros((len(LENGTHS), max(LENGTHS)), np.int32)
    for row, length in enumerate(LENGTHS):
        query[row, :length] = np.arange(1, length + 1) * (13 + 5 * row)
    edges = np.linspace(0, 1, x.shape[1] + 1, dtype=np.float32)
    position = np.broadcast_to(np.stack([edges[:-1], edges[1:]], 1), (len(x), x.shape[1], 2))
    return {"feature": x, "position": position, "query": query}


def predictions(stage):
    """Return a function to the published outputs: those of each level, and the segments."""
    task = Grounding(stage=stage)

    def named(out):
        found = {}
        for level, (start, end) in enumerate(LEVELS):
            found[f"cls{level}"] = out.score[:, None, start:end]
            found[f"reg{level}"] = out.reach[:, start:end].swapaxes(1, 2)
            found[f"iou{level}"] = out.overlap[:, None, start:end]
        given = dict.fromkeys(("segments", "duration", "query"), 0)
        preds = task.predict(out, given)
        for row in range(len(LENGTHS)):
            found[f"det{row}"] = preds["part"][row]
            found[f"det_scores{row}"] = preds["score"][row]
        return found

    return named


def grounding(stage):
    spec = dict(name="drn", variant="c3d-4096")
    return Case(spec, sentences, lambda maps: maps, outputs=predictions(stage))


CASES = {"drn_first": grounding("first"), "drn_third": grounding("third")}
