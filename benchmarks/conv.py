"""Every distinct convolution of the published recipes, beside `lax.conv` and PyTorch.

    python -m benchmarks.conv [--out FILE] [--seconds 500] [--only TEXT] [--formulations NAME,NAME]

`convolutions.csv` lists the convolutions: of equal ones in several models, one has the input size
that occurs most often. Each is timed forward, for the gradient of the input, and for that of the
kernel: in the formulation that `jaxvid.ops.conv` chooses, as a plain `lax.conv`, and by PyTorch
where it is installed. They run in turns; times are medians, and ratios are plain or PyTorch over
ours, so that a ratio above 1 says that ours is faster.

With `--out`, every line is saved when it is measured, and lines that the file already has are
skipped, so that the same command continues after `--seconds` or an interruption. Where other work
shares the CPU, `--cpu-time` counts CPU time instead of time.
"""

import argparse
import csv
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import rows
from jaxvid.ops.conv import choose
from jaxvid.ops.conv_formulations import FORMULATIONS, Convolution, Ints

PARTS = "forward", "input gradient", "kernel gradient"
SHORTEST = 0.02  # seconds of calls that are timed together


@dataclass(frozen=True)
class Row:
    """A convolution of a published recipe.

    Attributes:
      model: One of the models that have it.
      batch: Frames, people or clips of one sample.
      space: Lengths of the input.
    """

    model: str
    batch: int
    space: Ints
    conv: Convolution

    @property
    def title(self) -> str:
        """The convolution in a line; no two rows have the same."""
        conv = self.conv
        size, strides, dilation, padding, space = (
            "x".join(map(str, numbers))
            for numbers in (conv.size, conv.strides, conv.dilation, conv.padding, self.space)
        )
        channels = conv.channels * conv.groups
        more = f" s{strides}" if max(conv.strides) > 1 else ""
        more += f" d{dilation}" if max(conv.dilation) > 1 else ""
        more += f" g{conv.groups}" if conv.groups > 1 else ""
        return f"{self.batch}x{space}x{channels}, {size} p{padding}{more} -> {conv.features}"


def _numbers(text: str) -> Ints:
    return tuple(int(number) for number in text.split("x"))


def _row(line: dict[str, str]) -> Row:
    groups = int(line["groups"])
    conv = Convolution(
        size=_numbers(line["kernel"]),
        channels=int(line["channels"]) // groups,
        features=int(line["features"]),
        strides=_numbers(line["strides"]),
        padding=_numbers(line["padding"]),
        dilation=_numbers(line["dilation"]),
        groups=groups,
    )
    return Row(line["model"], int(line["batch"]), _numbers(line["space"]), conv)


with (Path(__file__).parent / "convolutions.csv").open() as file:
    ROWS = [_row(line) for line in csv.DictReader(file)]


def arrays(row: Row, batch: int, dtype: str) -> list[np.ndarray]:
    """Return input, kernel and the gradient of the result."""
    rng, conv = np.random.default_rng(0), row.conv
    shapes = (
        (batch * row.batch, *row.space, conv.channels * conv.groups),
        (*conv.size, conv.channels, conv.features),
        (batch * row.batch, *conv.lengths(row.space), conv.features),
    )
    return [rng.standard_normal(s, np.float32).astype(jnp.dtype(dtype)) for s in shapes]


def ours(name: str, conv: Convolution, values: list[np.ndarray]) -> dict[str, Callable]:
    """Return the three parts as functions without arguments, compiled."""
    compute = FORMULATIONS[name].compute

    def gradient(i: int):
        def run(*pair_and_gradient):
            *pair, gradient = pair_and_gradient

            def function(value):
                return compute(*[value if j == i else other for j, other in enumerate(pair)], conv)

            return jax.vjp(function, pair[i])[1](gradient)

        return run

    functions = (lambda x, kernel, _: compute(x, kernel, conv)), gradient(0), gradient(1)
    inputs = [jnp.asarray(value) for value in values]
    programs = [jax.jit(function).lower(*inputs).compile() for function in functions]
    return {
        part: lambda program=program: program(*inputs)
        for part, program in zip(PARTS, programs, strict=True)
    }


def pytorch(torch: Any, conv: Convolution, values: list[np.ndarray]) -> dict[str, Callable]:
    """Return the three parts by PyTorch, with the channels last in memory."""
    many, device = len(conv.size), "cuda" if jax.default_backend() == "gpu" else "cpu"
    dtype = getattr(torch, jnp.dtype(values[0].dtype).name)

    def tensor(value, axes):
        whole = torch.as_tensor(value.astype(np.float32)).to(device, dtype)
        return whole.permute(axes).detach()

    channels_first = (0, many + 1, *range(1, many + 1))
    x, gradient = (tensor(values[i], channels_first) for i in (0, 2))
    kernel = tensor(values[1], (many + 1, many, *range(many)))
    if many > 1:
        layout = torch.channels_last if many == 2 else torch.channels_last_3d
        kernel = kernel.contiguous(memory_format=layout)
    apply = getattr(torch.nn.functional, f"conv{many}d")
    settings = conv.strides, conv.padding, conv.dilation, conv.groups

    def of(i: int):
        pair = [x.clone().requires_grad_(i == 0), kernel.clone().requires_grad_(i == 1)]
        y = apply(*pair, None, *settings)
        return lambda: torch.autograd.grad(y, pair[i], gradient, retain_graph=True)

    torch.backends.cudnn.benchmark = True
    functions = (lambda: apply(x, kernel, None, *settings)), of(0), of(1)
    return dict(zip(PARTS, functions, strict=True))


def measure(
    candidates: dict[str, dict[str, Callable]], wait: Callable, clock: Callable, rounds: int
) -> dict[str, dict[str, float]]:
    """Return the median of each candidate's parts in ms; candidates run in turns."""
    times: dict[str, dict[str, list[float]]] = {n: {p: [] for p in PARTS} for n in candidates}
    calls: dict[tuple[str, str], int] = {}
    for part in PARTS:
        for name, parts in candidates.items():  # warm up, and choose the number of calls
            wait(parts[part]())
            start = time.perf_counter()
            wait(parts[part]())
            once = time.perf_counter() - start
            calls[name, part] = max(1, min(100, round(SHORTEST / max(once, 1e-6))))
        for _ in range(rounds):
            for name, parts in candidates.items():
                many = calls[name, part]
                start = clock()
                for _ in range(many):
                    result = parts[part]()
                wait(result)
                times[name][part].append(1e3 * (clock() - start) / many)
    return {n: {p: statistics.median(t) for p, t in parts.items()} for n, parts in times.items()}


def lines(found: dict) -> Iterator[str]:
    """Yield the lines of the table for one measured convolution."""
    chosen = found["ms"][found["chosen"]]
    for name, parts in found["ms"].items():
        mark = "**" if name == found["chosen"] else ""
        numbers = " / ".join(f"{parts[p]:.3g}" for p in PARTS)
        ratios = " / ".join(f"{parts[p] / max(chosen[p], 1e-9):.2f}" for p in PARTS)
        yield f"| {found['title']} | {mark}{name}{mark} | {numbers} | {ratios} |"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conv",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="JSON lines; what it has is not measured again")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no row after these")
    parser.add_argument("--only", action="append", help="text in a line or its model's name")
    parser.add_argument("--batch", type=int, help="samples; default 8, on a CPU 1")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="default of the device")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--formulations", default="plain", help='beside the chosen one: names, "all" or "none"'
    )
    parser.add_argument("--cpu-time", action="store_true")
    args = parser.parse_args()
    unknown = {*args.formulations.split(",")} - {*FORMULATIONS, "all", "none"}
    if unknown:
        parser.error(
            f"no formulation is called {min(unknown)}; there are: {', '.join(FORMULATIONS)}"
        )
    start, on_cpu = time.perf_counter(), jax.default_backend() == "cpu"
    batch, dtype = (
        args.batch or (1 if on_cpu else 8),
        args.dtype or ("float32" if on_cpu else "bfloat16"),
    )
    try:
        import torch
    except ImportError:
        torch = None
    device = jax.devices()[0]
    setting = dict(
        device=f"{device.platform} {device.device_kind}",
        jax=jax.__version__,
        torch=torch and torch.__version__,
        dtype=dtype,
        batch=batch,
        clock="CPU time" if args.cpu_time else "time",
    )
    print(", ".join(f"{key} {value}" for key, value in setting.items()))
    print("| input, kernel -> channels | formulation | ms: forward / input / kernel | ratio |")
    print("|---|---|---|---|", flush=True)
    saved = rows.read(args.out) if args.out else []
    done = {(f["title"], json.dumps(f["setting"])) for f in saved}
    for row in ROWS:
        wanted = not args.only or any(text in f"{row.model} {row.title}" for text in args.only)
        if not wanted or (row.title, json.dumps(setting)) in done:
            continue
        if time.perf_counter() - start > args.seconds:
            print("Time is over; the same command with --out continues.")
            break
        found = one(row, batch, dtype, args, torch) | dict(setting=setting)
        print(*lines(found), sep="\n", flush=True)
        if args.out:
            rows.add(args.out, found)


def one(row: Row, batch: int, dtype: str, args: argparse.Namespace, torch: Any) -> dict:
    """Measure one convolution."""
    values = arrays(row, batch, dtype)
    chosen = choose(values[0].shape, row.conv)
    accepted = [name for name, f in FORMULATIONS.items() if f.accepts(row.conv)]
    wanted = args.formulations.split(",")
    names = [name for name in accepted if name == chosen or {name, "all"} & {*wanted}]
    candidates = {name: ours(name, row.conv, values) for name in names}
    if torch:
        candidates["PyTorch"] = pytorch(torch, row.conv, values)

    def wait(result):
        if torch and torch.cuda.is_available():
            torch.cuda.synchronize()
        jax.block_until_ready([v for v in jax.tree.leaves(result) if isinstance(v, jax.Array)])

    clock = time.process_time if args.cpu_time else time.perf_counter
    ms = measure(candidates, wait, clock, args.rounds)
    return dict(title=row.title, model=row.model, chosen=chosen, ms=ms)


if __name__ == "__main__":
    main()
