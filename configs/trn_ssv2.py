"""TRN-R50 on Something-Something v2 (top-1 51.20): otherwise as on version 1."""

from configs import datasets, trn_ssv1


def get_config():
    return trn_ssv1.run(datasets.something(), datasets.SSV2_MIRROR)
