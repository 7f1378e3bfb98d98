"""The training step of every family of models, beside PyTorch's of the same architecture.

    python -m benchmarks.train_step --model swin --model slowfast:r50_8x8 [--batch N] [--rounds K]
    python -m benchmarks.train_step --all [--small]

From a checkout, on one device. A model is a family, or FAMILY:VARIANT of its config. Clips have
the published size, and the batch is the share of one of eight devices, at least 8; `--small` is for
CPUs.

What is timed is the step of `jaxvid.train`: from uint8 to the updated state, with the config's
augmentation and optimiser. Forward is a forward pass alone, normalisation included. All that a line
compares runs in turns in one process: times are medians, ratios the median of the ratios of
neighbours with quartiles, above 1 where ours is faster. Where others use the same CPU, `--one-core`
spares PyTorch's threads from waiting for each other at every operation, and counts CPU time.

MFU is XLA's count of the operations of the program as written, over the time, over what a large
matrix product reaches in the same process.
"""

import argparse
import gc
import importlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some, too

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peers
from jaxvid.config.values import EXAMPLE_CLASSES
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError, did_you_mean
from jaxvid.train.flops import flops
from jaxvid.train.plan import Plan, rehearse
from jaxvid.train.step import init_state, init_variables

# family -> config, its variant, what else the model's spec has, and the recipe's small sizes
CASES: dict[str, tuple[str, str, dict, dict]] = {
    "swin": ("swin_k400", "tiny", {}, dict(frames=8, size=112)),
    "tsn": ("tsn_k400", "r50_u3", {}, dict(size=112)),
    "tsm": ("tsm_k400", "r50_u8", {}, dict(size=112)),
    "slowonly": ("slowonly_k400", "r50_4x16", {}, dict(size=112)),
    "slowfast": ("slowfast_k400", "r50_4x16", {}, dict(size=112)),
    "stgcn": ("stgcn_ntu60", "2d_j", {}, {}),
    "stgcnpp": ("stgcnpp_ntu60", "2d_j", {}, {}),
    "bmn": ("bmn_anet", "400", {}, {}),
    "fast_rcnn": ("slowonly_ava21", "r50_4x16", {}, dict(size=96)),
    "clip4clip": ("clip4clip_msrvtt", "vitb32", {}, dict(frames=2)),
    "actionclip": (
        "clip4clip_msrvtt",
        "vitb32",
        dict(name="actionclip", frames=12),
        dict(frames=2),
    ),
}
COLUMNS = (
    "model, inputs",
    "dtype",
    "what",
    "ms",
    "clips/s",
    "MFU",
    "GiB",
    "compile s",
    "PyTorch",
    "eager: ms, ratio",
    "channels last",
    "compiled",
)


def configure(name: str, small: bool = False, batch: int = 0) -> Any:
    """The config that FAMILY or FAMILY:VARIANT is measured with."""
    family, _, variant = name.partition(":")
    if family not in CASES:
        raise UserError(f'there is no model "{family}" here.{did_you_mean(family, CASES)}')
    file, default, model, sizes = CASES[family]
    config = importlib.import_module(f"configs.{file}").get_config(variant or default)
    config.model.update(model)
    if small:
        config.data.recipe.update(sizes)
    config.batch = batch or (2 if small else max(8, config.batch // 8))
    return config


def noise(sample: dict[str, Any], batch: int) -> dict[str, np.ndarray]:
    """A batch like this sample, with something to see."""
    rng = np.random.default_rng(0)
    arrays = {k: np.repeat(np.asarray(x)[None], batch, 0) for k, x in sample.items()}
    for key in arrays.keys() & {"video", "feature", "keypoint"}:
        value = rng.standard_normal(arrays[key].shape, np.float32)
        pixels = arrays[key].dtype == np.uint8
        arrays[key] = (128 + 40 * value).clip(0, 255).astype(np.uint8) if pixels else value
    return arrays


@dataclass
class Ours:
    """One function to time, and what its compilation told."""

    run: Callable[[], Any]
    compile_seconds: float
    memory: int
    flops: float


def train_step(planned: Plan, batch: Any, variables: Any) -> Ours:
    config = planned.config
    state = init_state(variables, planned.tx, config.seed, config.ema)
    held = [jax.device_put(jax.tree.map(jnp.copy, state), planned.state_shardings)]
    step = planned.step()
    step.compile(planned.state_shapes, batch)

    def run():
        held[0], logs = step(held[0], batch)
        return logs

    return Ours(run, step.seconds, step.memory, planned.flops(batch))


def forward(planned: Plan, batch: Any, variables: Any) -> Ours:
    task = planned.task

    def function(variables, batch):
        batch = task.prepare(jax.random.key(0), batch, train=False)
        return planned.model.apply(variables, **task.inputs(batch), train=False)

    start = time.monotonic()
    compiled = jax.jit(function).lower(variables, batch).compile()
    seconds = time.monotonic() - start
    memory: Any = compiled.memory_analysis()
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    operations = flops(function, variables, batch) / planned.mesh.size
    return Ours(lambda: compiled(variables, batch), seconds, size, operations)


def weights(planned: Plan, batch: Any) -> Any:
    """Variables of the right size, sooner than the model's own initialisation compiles."""
    shapes = jax.eval_shape(lambda b: init_variables(planned.model, planned.task, b, 0), batch)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        ones = getattr(path[-1], "key", "") in ("scale", "var")
        value = np.ones(leaf.shape) if ones else 0.02 * rng.standard_normal(leaf.shape)
        return jax.device_put(value.astype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(draw, shapes)


@cache
def peak(dtype: str) -> float:
    """FLOP/s of the best of several large matrix products."""
    n, steps = (8192, 20) if jax.default_backend() == "gpu" else (2048, 2)
    x = jnp.ones((n, n), dtype)
    product = jax.jit(lambda x: x @ x)
    return 2 * n**3 / min(in_turns({"": lambda: product(x)}, 5, steps)[""])


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of a step of each way, round by round; the first, which warms up, is left out.

    On one core CPU time counts, which other work on it does not distort.
    """
    clock = time.process_time if len(os.sched_getaffinity(0)) == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in ways}
    for n in range(rounds + 1):
        for name, run in ways.items():
            start = clock()
            for _ in range(steps):
                out = run()
            if name.startswith("PyTorch"):
                peers.finish()
            else:
                jax.block_until_ready(out)
            if n:
                times[name].append((clock() - start) / steps)
    return times


def cell(theirs: list[float] | None, ours: list[float]) -> str:
    """'123.4, 1.30 (1.28-1.35)'"""
    if theirs is None:
        return "-"
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{1e3 * statistics.median(theirs):.1f}, {middle:.2f} ({low:.2f}-{high:.2f})"


def measure(name: str, args: argparse.Namespace):
    """Print the rows of one model."""
    steps = 10 if jax.default_backend() == "gpu" else 1
    mesh, notes = meshes.build(1, 1), []
    for dtype in args.dtypes:  # the smaller first: the peak of memory is that of the process
        config = configure(name, args.small, args.batch)
        config.dtype = dtype
        full = name if ":" in name else f"{name}:{CASES[name][1]}"
        planned, sample, _ = rehearse(config, mesh)
        batch = meshes.put_batch(mesh, noise(sample, config.batch))
        variables = weights(planned, batch)
        count = sum(x.size for x in jax.tree.leaves(variables["params"]))
        ready = planned.task.prepare(jax.random.key(0), batch, train=True)
        arrays = {k: np.asarray(x) for k, x in planned.task.inputs(ready).items()}
        shown = "; ".join(" x ".join(map(str, x.shape)) for x in arrays.values())
        makers, missing = peers.available(full) if args.peers else ({}, [])
        found = {
            p: make(arrays, config.data.num_classes or EXAMPLE_CLASSES)
            for p, make in makers.items()
        }
        notes += missing
        for package, peer in found.items():
            if peer.parameters != count:
                notes.append(f"{full}: {count:,} parameters, {package} {peer.parameters:,}")
        for what, make in (("forward", forward), ("train", train_step)):
            ours = make(planned, batch, variables)
            ways: dict[str, Callable[[], Any]] = {"ours": ours.run}
            for package, peer in found.items():
                made = peers.runs(peer, config, dtype == "bfloat16", args.compile, what == "train")
                ways |= {f"PyTorch {package} {way}": run for way, run in made.items()}
            times = in_turns(ways, args.rounds, steps)
            second = statistics.median(times["ours"])
            memory = f"{ours.memory / 2**30:.2f}"
            if most := (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"):
                memory += f", peak {most / 2**30:.2f}"
            mine = [
                f"{full}, {shown}",
                dtype,
                what,
                f"{1e3 * second:.1f}",
                f"{config.batch / second:.2f}",
                f"{ours.flops / second / peak(dtype):.1%}",
                memory,
                f"{ours.compile_seconds:.1f}",
            ]
            for package in found or ("-",):
                kinds = ("eager", "channels last", "compiled")
                row = [cell(times.get(f"PyTorch {package} {k}"), times["ours"]) for k in kinds]
                print(f"| {' | '.join([*mine, package, *row])} |", flush=True)
            del ours, ways
            gc.collect()
        notes.append(f"a matrix product in {dtype}: {peak(dtype) / 1e12:.3f} TFLOP/s")
    for note in dict.fromkeys(notes):
        print(f"note: {note}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_step")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add, switch = parser.add_argument, argparse.BooleanOptionalAction
    add("--model", action="append", default=[], help="FAMILY or FAMILY:VARIANT, again and again")
    add("--all", action="store_true", help="every family")
    add("--small", action="store_true", help="2 small clips, for a CPU")
    add("--batch", type=int, default=0)
    add("--rounds", type=int, default=9, help="turns, at least 2")
    add("--dtypes", nargs="+", default=["bfloat16", "float32"])
    add("--peers", action=switch, default=True, help="PyTorch's, too")
    add("--compile", action=switch, help="torch.compile; by default on a GPU")
    add("--one-core", action="store_true", help="for a CPU that others use: CPU time of one core")
    add("--rows", action="store_true", help="no header")
    args = parser.parse_args()
    if args.one_core:  # before JAX and PyTorch count the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if args.compile is None:
        args.compile = jax.default_backend() == "gpu"
    if jax.device_count() > 1:
        parser.error("one device is measured: set CUDA_VISIBLE_DEVICES=0")
    names = [*CASES] if args.all else args.model
    if not args.rows:
        device = jax.devices()[0]
        print(f"jax {jax.__version__}, {device.platform} {device.device_kind}\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    if len(names) == 1:
        measure(names[0], args)
        return 0
    # Each in its own process, so that none has the memory or the failure of another.
    given = [x for x in sys.argv[1:] if x != "--all"]
    for name in args.model:
        given = [x for x in given if x not in ("--model", name, f"--model={name}")]
    command = [sys.executable, "-m", "benchmarks.train_step", "--rows", *given, "--model"]
    return max(subprocess.run([*command, name]).returncode for name in names)


if __name__ == "__main__":
    sys.exit(main())
