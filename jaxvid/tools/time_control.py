"""Does a model look at time? Its accuracy with frames in other orders.

    python -m jaxvid.tools.time_control --workdir runs/quickstart

Each validation clip is played forward, backwards, with its frames shuffled, and as one frame
repeated. Where classes have an opposite (the quickstart's do), it also counts how often a clip
played backwards is called the opposite.
"""

import argparse
import sys

import numpy as np

from jaxvid import log, predict
from jaxvid.cli import guard
from jaxvid.data import dataset, motion
from jaxvid.train import report

ORDERS = ("forward", "reverse", "shuffle", "freeze")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jaxvid.tools.time_control", description=__doc__
    )
    parser.add_argument("--workdir", required=True, help="workdir of a run, or one checkpoint")
    args = parser.parse_args(argv)
    return guard(lambda: compare(args.workdir))


def compare(workdir: str):
    """Print the accuracy in each order."""
    table = {order: predictions(workdir, order) for order in ORDERS}
    for order, (score, label, _) in table.items():
        log.say(f"{order:<8} top1 {(score.argmax(1) == label).mean():6.1%}  of {len(label)} clips")
    score, label, names = table["reverse"]
    if set(names) <= motion.OPPOSITE.keys():
        opposite = np.array([names.index(motion.OPPOSITE[name]) for name in names])
        share = (score.argmax(1) == opposite[label]).mean()
        log.say(f"played backwards, {share:.1%} are called the opposite")


def predictions(workdir: str, order: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Scores (n, c), labels (n,) and class names of the validation set played in `order`."""
    model = predict.load(workdir, recipe=dict(order=order))
    source = dataset.for_evaluation(model.config["data"], model.names)
    table, _ = report.collect(model, source)
    return table["score"], table["label"], model.names


if __name__ == "__main__":
    sys.exit(main())
