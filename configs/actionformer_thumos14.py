"""ActionFormer on THUMOS14: two-stream I3D features of 16 frames every 4 frames, 35 epochs.

Variants are the two published codes: `opentad` (average mAP 68.44) and the authors' `authors`
(66.8). The videos of evaluation are padded to the longest one.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="opentad"):
    authors = base.pick({"opentad": False, "authors": True}, variant)
    c = base.temporal_detection(35.0, 1e-4, 2)
    dropout = dict(dropout=0.1, input_dropout=0.0) if authors else {}
    c.model = dict(name="actionformer", variant="thumos", authors=authors, **dropout, remat=False)
    c.task = plug.spec("tasks", "temporal_detection", keep=200 if authors else 2000)
    c.data = datasets.thumos14(frames=2304, test_frames=13824, channels=2048, span=4.0)
    return c
