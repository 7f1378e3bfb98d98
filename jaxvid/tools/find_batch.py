"""Find the largest config.batch whose training step fits into memory.

    python -m jaxvid.tools.find_batch --config configs/swin_k400.py:tiny [--limit-gib 40]

Steps are compiled but not run, and no data is read. Each line of the output has a batch size, the
memory that its step needs on a device, and whether that fits. Steps that are clearly too large
according to an estimate are not compiled. If not even the smallest batch fits, the command suggests
other settings. If this machine has other devices than the cluster, give their memory with
--limit-gib.
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
    """Try batch sizes, and print the results.

    Raises:
      UserError: not even the smallest batch fits.
    """
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
    """Return a function of `config.batch` that returns the bytes of a step on a device.

    Args:
      most: steps that need more bytes according to an estimate are not compiled.
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
    """Return the largest multiple of `unit` that fits, with a precision of one eighth.

    Raises:
      UserError: not even `unit` fits.
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
    add("--limit-gib", type=float, default=0.0, help="memory of a device (that of this machine)")
    args, changes = parser.parse_known_args(argv)
    return cli.guard(lambda: report(cli.config(args.config, changes), args.limit_gib))


if __name__ == "__main__":
    sys.exit(main())
