"""Tick marks of an axis."""

import numpy as np


def tick(extent: float) -> float:
    """Return the distance of about ten tick marks: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(extent / 5))
    return next(power * k for k in (1, 2, 5, 10) if extent / (power * k) <= 10)
