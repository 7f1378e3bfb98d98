"""Find the largest config.batch whose training step fits into memory.

    python -m jaxvid.tools.find_batch --config configs/swin_k400.py:tiny [--limit-gib 40]

Steps are compiled, not run, and no data are read. Each line is a batch, what XLA says its step
needs on a device, and whether that fits; what is clearly too large by estimate is not compiled. If
not even the smallest batch fits, it names other settings that do. Without devices like those of the
cluster, give their memory.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jaxvid import cli, log
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.train import estimate, memory
from jaxvid.train.plan import rehearse


def report(config: Any, limit_gib: float):
    """Try batches and print."""
    limit = int(limit_gib * 2**30) or memory.capacity()
    needs = needing(config, memory.REFUSED * limit)

    def fits(batch):
        needed = needs(batch)
        print(f"{batch:8,}  {log.size(needed):>10}  {'fits' if needed <= limit else 'too large'}")
        return needed <= limit

    print(f"{meshes.describe_devices()}, {log.size(limit)} each")
    unit = meshes.build(**config.mesh).shape["data"] * config.accumulate
    try:
        print(f"--config.batch={largest(fits, unit)}")
    except UserError as error:
        config.batch = unit
        planned, _, shapes = rehearse(config, meshes.build(**config.mesh))
        raise UserError(f"{error}. {memory.Fit(limit).advice(planned, shapes)}") from None


def needing(config: Any, most: float = math.inf) -> Callable[[int], int]:
    """A function: config.batch -> bytes that a step needs on a device.

    Args:
      most: steps that need more than this by estimate are not compiled.
    """
    mesh = meshes.build(**config.mesh)

    def needs(batch):
        config.batch = batch
        planned, _, shapes = rehearse(config, mesh)
        if (likely := estimate.training(planned, shapes)) > most:
            return likely
        step = planned.step()
        step.compile(planned.state_shapes, shapes)
        return step.memory

    return needs


def largest(fits: Callable[[int], bool], unit: int) -> int:
    """The largest multiple of `unit` that fits, to an eighth of itself.

    Raises:
      UserError: not even `unit` does.
    """
    if not fits(unit):
        raise UserError(f"not even a batch of {unit} fits")
    power = 1
    while fits(2 * power * unit):
        power *= 2
    good = power
    for part in (2, 4, 8):
        step = power // part
        if step and fits((good + step) * unit):
            good += step
    return good * unit


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.find_batch", __doc__, with_config=True)
    add = parser.add_argument
    add("--limit-gib", type=float, default=0.0, help="memory of a device; by default what it has")
    args, changes = parser.parse_known_args(argv)
    return cli.guard(lambda: report(cli.config(args.config, changes), args.limit_gib))


if __name__ == "__main__":
    sys.exit(main())
