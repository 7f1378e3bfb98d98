"""Goldens of skeleton networks that refine their graph or see it at several scales."""

from tests.parity.cases.skeletons import of_skeletons

CASES = {
    "ctrgcn_2d": of_skeletons("ctrgcn", "2d"),
    "ctrgcn_3d": of_skeletons("ctrgcn", "3d"),
    "msg3d_2d": of_skeletons("msg3d", "2d"),
    "msg3d_3d": of_skeletons("msg3d", "3d"),
}
