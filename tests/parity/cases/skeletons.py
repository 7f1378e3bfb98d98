"""Goldens of skeleton networks.

Shapes: n samples, v views, m people, t frames, j joints, c channels.
"""

from einops import rearrange

from tests.parity.cases.case import Case

QUICK = {"stgcnpp_2d"}


def people(x):
    return {"keypoint": rearrange(x, "n v m t j c -> (n v) m t j c")}


def of_skeletons(name, variant):
    return Case(dict(name=name, variant=variant), people, "n m t j c -> n m c t j")


CASES = {
    "agcn2s_2d": of_skeletons("agcn2s", "2d"),
    "agcn2s_3d": of_skeletons("agcn2s", "3d"),
    "stgcn_2d": of_skeletons("stgcn", "2d"),
    "stgcn_3d": of_skeletons("stgcn", "3d"),
    "stgcnpp_2d": of_skeletons("stgcnpp", "2d"),
    "stgcnpp_3d": of_skeletons("stgcnpp", "3d"),
    "gesture_stgcnpp_jester": of_skeletons("stgcnpp", "2d"),
}
