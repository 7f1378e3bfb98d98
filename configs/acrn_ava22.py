"""ACRN on SlowFast on AVA 2.2: boxes of key frames, 10 epochs from Kinetics weights (mAP 27.71)."""

from configs import acrn_ava21


def get_config():
    return acrn_ava21.run("2.2")
