"""One row per golden: the model that reproduces it, and how its arrays stand in ours.

Each module has the goldens of related families in the table `CASES`. Those in `QUICK` are the ones
that .ci/run reproduces: every kind of network, with options and training among them. The others
take minutes.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.parity.cases.case import Case

__all__ = ["CASES", "QUICK", "Case"]

CASES: dict[str, Case] = {}
QUICK: set[str] = set()
for _module in (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)):
    CASES |= getattr(_module, "CASES", {})
    QUICK |= getattr(_module, "QUICK", set())
