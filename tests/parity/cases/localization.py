"""Goldens of networks that find actions in untrimmed videos."""

from einops import rearrange

from tests.parity.cases.case import Case

QUICK = {"bmn_400"}


def proposals(variant):
    spec = dict(name="bmn", variant=variant)
    return Case(spec, lambda x: {"feature": rearrange(x, "n c t -> n t c")}, "n t c -> n c t")


CASES = {
    "bmn_400": proposals("400"),
    "bmn_2048": proposals("2048"),
}
