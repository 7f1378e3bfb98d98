"""J-HMDB-21: tubes of people in 21 classes of HMDB51 (Jhuang et al., 2013).

The pickle `JHMDB-GT.pkl` of ACT and MOC has the form of that of UCF101-24, with three official
splits (see `sources/ucf24.py`).
"""

import functools

from jaxvid.data.annotations.key_frames import KeyFrames
from jaxvid.data.sources import ucf24


@functools.wraps(ucf24.build)
def build(split, *, file="JHMDB-GT.pkl", **options) -> KeyFrames:
    return ucf24.build(split, file=file, **options)
