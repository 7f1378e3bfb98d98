"""Published models, reproduced: our numbers beside those of the goldens.

    python -m tests.parity --goldens DIR [NAME ...]

A line for each golden that has a row in cases/: parameters (and running statistics), the largest
relative error of outputs and features, its tolerance and the verdict; where the golden records a
step of training, error/tolerance of its loss, its gradient's norm, the norms of single parameters
(largest and median) and the running statistics. Exits 1 when one fails.

A golden is NAME.json and NAME.npz, as golden.py says; yours may stand beside the published ones.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxvid.cli import guard
from jaxvid.errors import UserError
from tests.parity import check, golden, manifests
from tests.parity.cases import CASES
from tests.parity.check import Check
from tests.parity.golden import Golden


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all that have a row")
    parser.add_argument(
        "--goldens", default=os.environ.get("JAXVID_GOLDENS"), help="folder; or set JAXVID_GOLDENS"
    )
    parser.add_argument("--float32", action="store_true", help="train in float32, not float64")
    parser.add_argument(
        "--write-manifests", action="store_true", help="write what tests without goldens read"
    )
    args = parser.parse_args(argv)
    jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))  # as the goldens
    return guard(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Check what is asked for, or write manifests.

    Raises:
      UserError: some did not pass, or there is no such golden.
    """
    folder = Path(args.goldens or "")
    if not args.goldens or not folder.is_dir():
        raise UserError(f"--goldens={args.goldens or ''}: no such folder; it holds NAME.json, .npz")
    goldens = [golden.read(folder, name) for name in args.names or golden.names(folder)]
    if args.write_manifests:
        return manifests.write(g for g in goldens if g.name in CASES)
    if args.names:
        waiting = []
        _ = [g.case for g in goldens]  # a name without a row is an error before anything runs
    else:
        waiting = [g.name for g in goldens if g.name not in CASES and "base" not in g.about]
    ready = [g for g in goldens if g.name not in waiting]
    print(f"{'golden':32}{'parameters':>12}  {'error':>8}  {'tolerance':>9}")
    failed = [g.name for g in ready if not passes(g, not args.float32)]
    if waiting:
        print(f"no row yet ({len(waiting)}): {', '.join(waiting)}")
    if failed:
        raise UserError(f"{len(failed)} of {len(ready)} fail: {', '.join(failed)}")


def passes(g: Golden, double: bool = True) -> bool:
    """Check one golden and print its line."""
    head = f"{g.name:32}{g.parameters:>12,}"
    try:
        outputs = check.outputs(g)
        training = check.training(g, double) if g.about.get("train") else []
    except Exception as error:  # a bug in one family does not hide the others' numbers
        if not isinstance(error, UserError):
            traceback.print_exc()
        print(f"{head}  FAIL  {type(error).__name__}: {error}", flush=True)
        return False
    finally:
        jax.clear_caches()
    checks = outputs + training
    passed = all(c.passed for c in checks)
    worst = max(outputs, key=Check.share)
    verdict = "pass" if passed else "FAIL"
    print(f"{head}  {worst.error:8.1e}  {worst.tolerance:9.1e}  {verdict}", end="")
    for c in training:
        print(f"  {c.what.split()[0]} {c.error:.0e}/{c.tolerance:.0e}", end="")
    print(flush=True)
    for c in checks:
        if not c.passed:
            print(f"    {c.what}: {c.error:.3g}, tolerance {c.tolerance:.3g}", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
