"""UMT on Kinetics-700, from Kinetics-710, as on Kinetics-400.

Variants: base (top-1 77.95) and large (82.79).
"""

from configs import datasets
from configs.umt_k400 import umt_run


def get_config(variant="base"):
    return umt_run(variant, datasets.kinetics(700))
