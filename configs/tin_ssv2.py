"""TIN-R50 on Something-Something v2 (top-1 54.78): 8 frames, 40 epochs, one crop, no mirror."""

from configs import datasets, tin_ssv1


def get_config():
    c = tin_ssv1.run(datasets.something(), clip=40.0)
    c.eval_every = 2.0
    return c
