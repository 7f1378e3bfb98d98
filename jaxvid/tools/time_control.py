"""Measure whether a model uses the order of frames, with reversed and shuffled clips.

    python -m jaxvid.tools.time_control --workdir runs/quickstart

The model classifies each validation clip in its order, in reverse order, in random order, and with
one frame repeated. The command prints the accuracy for each order, or the mean average precision if
clips have several labels. If classes have an opposite, as in the quickstart, it also prints how
often a reversed clip is classified as the opposite.
"""

import logging
import sys

import numpy as np

from jaxvid import cli, plug
from jaxvid.data import dataset
from jaxvid.data.synthetic import motion
from jaxvid.errors import UserError
from jaxvid.inference.model import Model, load
from jaxvid.train import report
from jaxvid.weights import resolve

logger = logging.getLogger(__name__)

ORDERS = ("forward", "reverse", "shuffle", "freeze")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.time_control", __doc__)
    parser.add_argument("--workdir", required=True, help="workdir of a run, or one checkpoint")
    args = parser.parse_args(argv)
    return cli.guard(lambda: compare(args.workdir))


def compare(workdir: str):
    """Print the first metric of the task in each order.

    Raises:
      UserError: the model recognizes nothing, or its recipe plays clips in no other order.
    """
    check(workdir)
    model, tables = load(workdir), {}
    names = model.names
    for order in ORDERS:
        tables[order], metrics = played(model, order)
        name = next(name for name in metrics if name != "loss")
        print(f"{order:<8} {name} {metrics[name]:6.1%}  of {len(tables[order]['label'])} clips")
    score, label = tables["reverse"]["score"], tables["reverse"]["label"]
    if label.ndim == 1 and set(names) <= motion.OPPOSITE.keys():
        opposite = np.array([names.index(motion.OPPOSITE[name]) for name in names])
        share = (score.argmax(1) == opposite[label]).mean()
        print(f"played backwards, {share:.1%} are called the opposite")


def check(workdir: str):
    """Raise a UserError if a model recognizes nothing, or its recipe has no order of frames."""
    origin = resolve.locate(workdir)
    config = origin.local_config
    recipe = config["data"]["recipe"]["name"]
    known = dataset.sample_labels(config["task"]) != "other"
    if not known or "order" not in plug.spec("data.recipes", recipe):
        raise UserError(
            f"{origin.source}: a model of {config['task']['name']} whose data (recipe {recipe})"
            " cannot be played in another order; time_control is for recognizers of videos"
        )


def played(model: Model, order: str) -> tuple[dict[str, np.ndarray], dict]:
    """Return predictions and metrics of the validation set, with frames in the given order."""
    recipe = model.config["data"]["recipe"] | dict(order=order)
    model.pipeline = plug.load("data.recipes", recipe, split="test")
    return report.collect(model, dataset.for_evaluation(model.config["data"], model.names))


if __name__ == "__main__":
    sys.exit(main())
