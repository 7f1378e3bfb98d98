"""The training step of every family of models, beside PyTorch's of the same architecture.

    python -m benchmarks.train_step --all --seconds 500 --out rows.jsonl
    python -m benchmarks.train_step --model swin --model slowfast:r50_8x8 --peers eager,compiled

From a checkout, on one device. A model is a family, or FAMILY:VARIANT of its config. Clips have
the published size, and the batch is the share of one of eight devices, at least 8; `--small` is for
CPUs. Each row is printed, and added to the file `--out`, as soon as it is measured. The command
ends after `--seconds`. Started again with the same file, it measures only what that does not have.

What is timed is the step of `jaxvid.train`: from uint8 to the updated state, with the config's
augmentation and optimizer. Forward is a forward pass alone, normalization included. Both sides of a
row run in turns in one process: times are medians, ratios the median of the ratios of neighbors
with quartiles, above 1 where ours is faster. Where others use the same CPU, `--one-core` spares
PyTorch's threads from waiting for each other at every operation, and counts CPU time.

Before they are timed, both sides compute the loss of the same inputs with the same weights. A row
says what it differs by; "-" where a peer is put together from other parts than the published model.

MFU is the model's operations (`jaxvid/train/flops.py`) over the time, over what a large matrix
product reaches in the same process. Compilation is the time of the first call.
"""

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some, too

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peer_steps, peers, rows
from benchmarks.peer import Peer
from jaxvid import plug
from jaxvid.config.values import EXAMPLE_CLASSES
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError, did_you_mean
from jaxvid.train.flops import flops
from jaxvid.train.plan import Plan, rehearse
from jaxvid.train.step import init_state, init_variables

# family -> config, its variant, what else the model's spec has, and the recipe's small sizes, with
# those of a model that is for clips of one size, and the classes where each has a text
CASES: dict[str, tuple[str, str, dict, dict]] = {
    "swin": ("swin_k400", "tiny", {}, dict(frames=8, size=112)),
    "hiera": ("hiera_k400", "base_16x4", {}, {}),
    "mvit": ("mvit_k400", "small_16x4", dict(resize=True), dict(frames=8, size=112)),
    "tsn": ("tsn_k400", "r50_u3", {}, dict(size=112)),
    "tsm": ("tsm_k400", "r50_u8", {}, dict(size=112)),
    "tanet": ("tanet_k400", "", {}, dict(size=112)),
    "tin": ("tin_k400", "", {}, dict(size=112)),
    "timesformer": ("timesformer_k400", "divst", {}, {}),
    "trn": ("trn_ssv2", "", {}, dict(size=112)),
    "tpn": ("tpn_k400", "slowonly_r50_8x8", {}, dict(size=112)),
    "uniformer": ("uniformer_k400", "small_16x4", {}, dict(frames=8, size=96)),
    "uniformerv2": ("uniformerv2_k400", "base_u8", {}, dict(frames=2)),
    "vivit": (
        "vivit_k400",
        "",
        {},
        dict(frames=8, size=112, model=dict(frames=8, size=112)),
    ),
    "umt": ("umt_k400", "base", {}, dict(frames=4, size=112, model=dict(frames=4, size=112))),
    "videomae": (
        "videomae_k400",
        "base",
        {},
        dict(frames=8, size=112, model=dict(frames=8, size=112)),
    ),
    "videomaev2": (
        "videomaev2_k400",
        "base",
        {},
        dict(frames=8, size=112, model=dict(frames=8, size=112)),
    ),
    "vjepa2": ("vjepa2_ssv2", "vitl", {}, dict(frames=4, size=64)),
    "videoprism": (
        "videoprism_k400",
        "base",
        {},
        dict(frames=4, size=72, short_side=72, model=dict(frames=4, size=72)),
    ),
    "x3d": ("x3d_k400", "s_13x6", {}, dict(size=112)),
    "c2d": ("c2d_k400", "r50_8x8", {}, dict(size=112)),
    "c3d": ("c3d_ucf101", "", {}, {}),
    "i3d": ("i3d_k400", "r50_32x2", {}, dict(size=112)),
    "r2plus1d": ("r2plus1d_k400", "r34_8x8", {}, dict(size=112)),
    "csn": ("csn_k400", "ir50_ig65m", {}, dict(size=112)),
    "slowonly": ("slowonly_k400", "r50_4x16", {}, dict(size=112)),
    "slowfast": ("slowfast_k400", "r50_4x16", {}, dict(size=112)),
    "stgcn": ("stgcn_ntu60", "2d_j", {}, {}),
    "stgcnpp": ("stgcnpp_ntu60", "2d_j", {}, {}),
    "agcn2s": ("agcn2s_ntu60", "2d_j", {}, {}),
    "posec3d": ("posec3d_ntu60", "keypoint", {}, dict(frames=8, drawn=True)),
    "tsn_audio": ("tsn_k400_audio", "", {}, {}),
    "audioonly": ("audioonly_k400", "", {}, {}),
    "bsn": ("bsn_anet", "400_tem", dict(stage="tem"), {}),
    "bmn": ("bmn_anet", "400", {}, {}),
    "acrn": ("acrn_ava21", "", {}, dict(size=64)),
    "lfb": ("lfb_ava21", "non_local", {}, dict(size=96)),
    "fast_rcnn": ("slowonly_ava21", "r50_4x16", {}, dict(size=96)),
    "clip": ("clip4clip_msrvtt", "vitb32", dict(name="clip"), dict(frames=2)),
    "clip4clip": ("clip4clip_msrvtt", "vitb32", {}, dict(frames=2)),
    "actionclip": (
        "clip4clip_msrvtt",
        "vitb32",
        dict(name="actionclip", frames=12),
        dict(frames=2),
    ),
    "xclip": ("xclip_own", "vitb32", {}, dict(frames=2, classes=8, model=dict(frames=2))),
    "siglip": (
        "clip4clip_msrvtt",
        "vitb32",
        dict(name="siglip", variant="b16", text=dict(vocabulary=49408, length=77)),
        dict(frames=2),
    ),
    "pecore": (
        "clip4clip_msrvtt",
        "vitb32",
        dict(name="pecore", variant="b16", text=dict(length=77)),
        dict(frames=2),
    ),
}
KEY = ("model", "dtype", "what", "batch", "peer")  # of a row
COLUMNS = (
    *KEY,
    "ms",
    "clips/s",
    "MFU",
    "GiB",
    "compile s",
    "peer ms",
    "peer GiB",
    "peer compile s",
    "ratio (quartiles)",
    "loss differs by",
)


def configure(name: str, small: bool = False, batch: int = 0) -> Any:
    """The config that FAMILY or FAMILY:VARIANT is measured with."""
    family, _, variant = name.partition(":")
    if family not in CASES:
        raise UserError(f'there is no model "{family}" here.{did_you_mean(family, CASES)}')
    file, default, model, sizes = CASES[family]
    config = importlib.import_module(f"configs.{file}").get_config(
        *filter(None, [variant or default])
    )
    config.model.update(model)
    if small:
        config.model.update(sizes.get("model", {}))
        config.data.num_classes = sizes.get("classes", config.data.num_classes)
        recipe = {key: x for key, x in sizes.items() if key not in ("model", "classes")}
        config.data.recipe.update(recipe)
    config.batch = batch or (2 if small else max(8, config.batch // 8))
    return config


def noise(sample: dict[str, Any], batch: int) -> dict[str, np.ndarray]:
    """A batch like this sample, with something to see."""
    rng = np.random.default_rng(0)
    arrays = {k: np.repeat(np.asarray(x)[None], batch, 0) for k, x in sample.items()}
    for key in arrays.keys() & {"video", "audio", "feature", "keypoint", "heatmap"}:
        value = rng.standard_normal(arrays[key].shape, np.float32)
        pixels = arrays[key].dtype == np.uint8
        arrays[key] = (128 + 40 * value).clip(0, 255).astype(np.uint8) if pixels else value
    return arrays


@dataclass
class Ours:
    """One function to time, and what is known of its program."""

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
    """Variables of the right size, sooner than the model's own initialization compiles."""
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
            if name == "PyTorch":
                peer_steps.finish()
            else:
                jax.block_until_ready(out)
            if n:
                times[name].append((clock() - start) / steps)
    return times


def ratio(theirs: list[float], ours: list[float]) -> str:
    """Return the median ratio of neighbors and its quartiles: '1.30 (1.28-1.35)'."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def gib(size: int | None) -> str:
    return f"{size / 2**30:.2f}" if size else ""


def missing(name: str, dtype: str, what: str, args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the rows that the file does not have: the ways of each package of PyTorch's.

    Without a package there is one row, {"": [""]}.
    """
    batch = str(configure(name, args.small, args.batch).batch)
    packages, notes = peers.available(full(name)) if args.peers else ({}, [])
    if not args.here:
        for note in notes:
            print(f"note: {note}", file=sys.stderr, flush=True)
    chosen = list(packages) if args.all_packages else list(packages)[:1]
    done, left = finished(args.out), {}
    for package, ways in dict.fromkeys(chosen, args.peers).items() or [("", [""])]:
        keys = {way: (full(name), dtype, what, batch, f"{package} {way}".strip()) for way in ways}
        if wanted := [way for way, key in keys.items() if key not in done]:
            left[package] = wanted
    return left


def full(name: str) -> str:
    """Return FAMILY:VARIANT, or FAMILY if its config has no variants."""
    return name if ":" in name else ":".join(filter(None, [name, CASES[name][1]]))


def measure(name: str, dtype: str, what: str, args: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Yield the rows of a model that are missing: one for each peer, or one without."""
    steps = 10 if jax.default_backend() == "gpu" else 1
    mesh = meshes.build(1, 1)
    config = configure(name, args.small, args.batch)
    config.dtype = dtype
    planned, sample, _ = rehearse(config, mesh)
    batch = meshes.put_batch(mesh, noise(sample, config.batch))
    variables = weights(planned, batch)
    ready = planned.task.prepare(jax.random.key(0), batch, train=what == "train")
    inputs = {k: np.asarray(x) for k, x in planned.task.inputs(ready).items()}
    ours = (train_step if what == "train" else forward)(planned, batch, variables)

    def row(peer: str, times: list[float]) -> dict[str, str]:
        second = statistics.median(times)
        most = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        values = (full(name), dtype, what, str(config.batch), peer)
        return dict(zip(KEY, values, strict=True)) | {
            "ms": f"{1e3 * second:.2f}",
            "clips/s": f"{config.batch / second:.2f}",
            "MFU": f"{ours.flops / second / peak(dtype):.1%}",
            "GiB": gib(most or ours.memory),
            "compile s": f"{ours.compile_seconds:.1f}",
        }

    makers, _ = peers.available(full(name))
    for package, left in missing(name, dtype, what, args).items():
        if not package:
            yield row("", in_turns({"ours": ours.run}, args.rounds, steps)["ours"])
            continue
        peer = makers[package](inputs, config.data.num_classes or EXAMPLE_CLASSES)
        differs = difference(planned, variables, inputs, peer)
        for way in left:
            run = peer_steps.run(peer, config, dtype == "bfloat16", way, what == "train")
            began = time.perf_counter()
            run()
            peer_steps.finish()
            compiled = time.perf_counter() - began
            times = in_turns({"ours": ours.run, "PyTorch": run}, args.rounds, steps)
            yield row(f"{package} {way}", times["ours"]) | {
                "peer ms": f"{1e3 * statistics.median(times['PyTorch']):.2f}",
                "peer GiB": gib(peer_steps.peak_memory()),
                "peer compile s": f"{compiled:.1f}",
                "ratio (quartiles)": ratio(times["PyTorch"], times["ours"]),
                "loss differs by": differs,
            }


def difference(planned: Plan, variables: Any, inputs: dict, peer: Peer) -> str:
    """Return by what part the losses differ in float32, "2e-06"; "-" if the weights do not fit."""
    config = planned.config
    if not peer_steps.load(peer, config.model.to_dict(), jax.device_get(variables), planned.model):
        return "-"
    classes = config.data.num_classes or EXAMPLE_CLASSES
    model = plug.load("models", config.model, num_classes=classes, dtype=jnp.float32)
    out = jax.jit(lambda variables, inputs: model.apply(variables, **inputs, train=False))
    ours, theirs = peer.our_loss(jax.device_get(out(variables, inputs))), peer_steps.evaluate(peer)
    return f"{abs(ours - theirs) / abs(theirs):.0e}"


def finished(file: str | None) -> set[tuple[str, ...]]:
    """Return the keys of the rows that a file has."""
    return {tuple(row[key] for key in KEY) for row in rows.read(Path(file))} if file else set()


def show(row: Mapping[str, str], file: str | None):
    """Print a row of the table, and add it to the file."""
    print(f"| {' | '.join(row.get(column, '') for column in COLUMNS)} |", flush=True)
    if file:
        rows.add(Path(file), dict(row))


def ways(text: str) -> list[str]:
    """Return the ways of `--peers`, none for "none"."""
    chosen = [] if text == "none" else text.split(",")
    if unknown := [way for way in chosen if way not in peer_steps.WAYS]:
        known = ", ".join(peer_steps.WAYS)
        raise argparse.ArgumentTypeError(f'"{unknown[0]}" is none of {known}; "none" is no peer')
    return chosen


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_step")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--model", action="append", default=[], help="FAMILY or FAMILY:VARIANT, again and again")
    add("--all", action="store_true", help="every family")
    add("--seconds", type=float, default=500.0, help="end after this time")
    add("--out", help="file of rows, to which rows are added; what it has is not measured again")
    add("--small", action="store_true", help="2 small clips, for a CPU")
    add("--batch", type=int, default=0)
    add("--rounds", type=int, default=9, help="turns, at least 2")
    add("--dtypes", nargs="+", default=["bfloat16"], help="such as bfloat16 float32")
    add("--what", nargs="+", default=["train", "forward"], choices=["train", "forward"])
    add("--peers", type=ways, help="of eager,channels-last,compiled; or none. By default eager")
    add("--all-packages", action="store_true", help="not only the first package of a family")
    add("--one-core", action="store_true", help="for a CPU that others use: CPU time of one core")
    add("--here", action="store_true", help=argparse.SUPPRESS)  # one model, in this process
    args = parser.parse_args()
    if args.peers is None:
        args.peers = ["eager", "compiled"] if jax.default_backend() == "gpu" else ["eager"]
    if not (args.all or args.model):
        parser.error("name a model with --model, or --all")
    if jax.device_count() > 1:
        parser.error("one device is measured: set CUDA_VISIBLE_DEVICES=0")
    return args


def main() -> int:
    if "--one-core" in sys.argv:  # before JAX and PyTorch count the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    args = parse()
    names = [*CASES] if args.all else args.model
    if args.here:
        for row in measure(names[0], args.dtypes[0], args.what[0], args):
            show(row, args.out)
        return 0
    deadline = time.monotonic() + args.seconds
    device = jax.devices()[0]
    print(f"jax {jax.__version__}, {device.platform} {device.device_kind}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for name in names:
        configure(name)  # an unknown model is an error before anything is measured
    command = [sys.executable, "-m", "benchmarks.train_step", "--here"]
    command += [f"--rounds={args.rounds}", f"--batch={args.batch}"]
    command += [f"--peers={','.join(args.peers) or 'none'}"]
    command += [f"--out={args.out}"] * bool(args.out)
    command += ["--small"] * args.small + ["--one-core"] * args.one_core
    command += ["--all-packages"] * args.all_packages
    code = 0
    # Each in a process of its own, so that none has the memory or the failure of another.
    for name in names:
        for dtype in args.dtypes:
            for what in args.what:
                if not missing(name, dtype, what, args):
                    continue
                left = deadline - time.monotonic()
                unit = [*command, "--model", name, "--dtypes", dtype, "--what", what]
                try:
                    if left <= 0:
                        raise subprocess.TimeoutExpired(unit, args.seconds)
                    code = max(code, subprocess.run(unit, timeout=left).returncode)
                except subprocess.TimeoutExpired:
                    print(f"note: time is up at {name} {dtype} {what}", file=sys.stderr)
                    return code
    return code


if __name__ == "__main__":
    sys.exit(main())
