"""How long a training step takes to compile at the first start of a run, and at the second one.

    python -m benchmarks.compile --model swin --model slowfast:r50_4x16 [--small]

From a checkout. Each start is a process of its own. Both use the same new cache of compiled
programs. Tracing is what Python does, and is not kept.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

from benchmarks import train_step
from jaxvid import main as commands
from jaxvid.distributed import mesh as meshes
from jaxvid.train.plan import rehearse


def start(name: str, small: bool):
    """Compile the step of a model, and print the seconds of its trace and of the compilation.

    The last number is the CPU time of the compilation, over all threads.
    """
    commands.cache_programs()
    planned, _, batch = rehearse(train_step.configure(name, small), meshes.build(1, 1))
    began = time.monotonic()
    lowered = planned.step().lower(planned.state_shapes, batch)
    traced, cpu = time.monotonic(), time.process_time()
    lowered.compile()
    print(traced - began, time.monotonic() - traced, time.process_time() - cpu)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", action="append", required=True, help="FAMILY or FAMILY:VARIANT")
    parser.add_argument("--small", action="store_true", help="2 small clips, for a CPU")
    parser.add_argument("--one-start", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_start:
        start(args.model[0], args.small)
        return 0
    print("| model | start | trace, s | compilation, s | its CPU time, s |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    for name in args.model:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.compile", "--one-start", "--model", name]
            command += ["--small"] * args.small
            for which in ("first", "second"):
                cached = os.environ | {"JAXVID_CACHE": folder}
                done = subprocess.run(command, env=cached, check=True, stdout=-1, text=True)
                seconds = [f"{float(s):.1f}" for s in done.stdout.split()[-3:]]
                print(f"| {name} | {which} | {' | '.join(seconds)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
