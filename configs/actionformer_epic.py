"""ActionFormer on EPIC-Kitchens-100: SlowFast features of 32 frames every 16 frames.

The published average mAP is 23.4 for verbs (30 epochs), and 21.9 for nouns (35 epochs).
"""

from configs import base, datasets
from jaxvid import plug

RANGES = ((0.0, 4.0), (2.0, 8.0), (4.0, 16.0), (8.0, 32.0), (16.0, 64.0), (32.0, 10000.0))


def get_config(variant="verb"):
    kind = base.pick({"verb": "verb", "noun": "noun"}, variant)
    c = base.temporal_detection(30.0 if kind == "verb" else 35.0, 1e-4, 2)
    c.model = dict(name="actionformer", variant="epic", authors=True, remat=False)
    c.task = plug.spec(
        "tasks",
        "temporal_detection",
        ranges=RANGES,
        normalizer=250.0,
        candidates=5000,
        sigma=0.4,
        keep=2000,
        thresholds=(0.1, 0.2, 0.3, 0.4, 0.5),
    )
    c.data = datasets.epic_kitchens(
        kind, frames=2304, test_frames=9216, channels=2304, span=2.0, least=0.3
    )
    return c
