"""Attention in every formulation, at the sizes of published models: time and error.

    python -m benchmarks.attention --out attention.jsonl [--seconds 500] [--paths plain,kernel]

"windows" are those of Video Swin, with a learned bias; in "shifted" ones, a token sees its own
region only. Times are medians of three rounds, in ms: of the forward pass, and of the output with
all gradients. Errors are the largest difference from plain attention in float32, of the output and
of the gradients, each as a share of the largest number. A row is printed and saved as soon as it is
measured, and the same command continues from the file. `--small` takes a 32nd of each batch, for
CPUs.
"""

import argparse
import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import rows
from jaxvid.models import swin
from jaxvid.ops import attention, formulation
from jaxvid.ops.window_attention import window_attention

# batch, tokens, heads, width
SEQUENCES = {
    "Swin stage 1 without bias": (1024, 392, 3, 32),
    "VideoMAE-B": (8, 1568, 12, 64),
    "TimeSformer in space": (64, 197, 12, 64),
    "TimeSformer in time": (1568, 8, 12, 64),
    "ViT-L/14 frames": (64, 257, 16, 64),
    "ViT-B/32 frames": (192, 50, 12, 64),
    "CLIP's texts, causal": (64, 77, 8, 64),
}
# clips, grid of tokens, heads: windows of 8 x 7 x 7 tokens, 32 channels a head
WINDOWS = {
    "Swin-T stage 1": (8, (16, 56, 56), 3),
    "Swin-T stage 2": (8, (16, 28, 28), 6),
    "Swin-T stage 3": (8, (16, 14, 14), 12),
    "Swin-T stage 4": (8, (16, 7, 7), 24),
}
WINDOW = (8, 7, 7)
COLUMNS = ("case", "path", "what", "ms", "output error", "gradient error")


def sequence(batch: int, tokens: int, heads: int, width: int, causal: bool):
    """Return a function of arrays, and the shapes of these."""
    return partial(attention.attention, causal=causal), [(batch, tokens, heads, width)] * 3


def windows(clips: int, grid: tuple[int, ...], heads: int, is_shifted: bool):
    """Return the same for windows, whose last array is the table of relative positions."""
    count = math.prod(g // s for g, s in zip(grid, WINDOW, strict=True))
    size, shift = swin.clip_window(grid, WINDOW, is_shifted)
    regions = swin.shift_regions(grid, size, shift) if any(shift) else None
    run = partial(window_attention, codes=swin.position_codes(WINDOW), regions=regions)
    table = math.prod(2 * s - 1 for s in WINDOW), heads
    return run, [(clips, count, math.prod(WINDOW), heads, 32)] * 3 + [table]


def cases(small: bool) -> Iterator[tuple[str, Callable, list[tuple[int, ...]]]]:
    """Yield the name, the function and the shapes of its arrays of each case."""
    share = 32 if small else 1
    for name, (clips, grid, heads) in WINDOWS.items():
        for kind in ("windows", "shifted"):
            yield (
                f"{name}, {kind}",
                *windows(max(1, clips // share), grid, heads, kind == "shifted"),
            )
    for name, (batch, *sizes) in SEQUENCES.items():
        yield name, *sequence(max(1, batch // share), *sizes, causal="causal" in name)


def with_gradients(run: Callable) -> Callable:
    """Return a function of arrays and the gradient of the output: the output, and gradients."""

    def both(arrays, d_out):
        out, pull = jax.vjp(run, *arrays)
        return out, *pull(d_out)

    return both


def draw(shapes: list[tuple[int, ...]], dtype) -> tuple[list[jax.Array], jax.Array]:
    """Return arrays of these shapes, and a gradient of the output. Tables are in float32."""
    rng = np.random.default_rng(0)
    dtypes = [jnp.float32 if len(s) == 2 else dtype for s in shapes]
    arrays = [jnp.asarray(rng.standard_normal(s), d) for s, d in zip(shapes, dtypes, strict=True)]
    return arrays, jnp.asarray(rng.standard_normal(shapes[0]), dtype)


def measure(run: Callable, shapes, path: str, what: str, dtype) -> dict:
    """Return the times and errors of a path, or why it is not there."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("jaxvid.ops")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    formulation.log_once.cache_clear()
    arrays, d_out = draw(shapes, dtype)
    if what == "forward":
        function, arguments = jax.jit(lambda *x: (run(*x),)), arrays
    else:
        function, arguments = jax.jit(with_gradients(run)), (arrays, d_out)
    with formulation.forced(attention=path):
        found = jax.block_until_ready(function(*arguments))
    logger.removeHandler(handler)
    if lines:
        return {name: lines[0] if name == "ms" else "-" for name in COLUMNS[3:]}
    errors = compare(run, shapes, found, dtype)
    repeats = 20 if jax.default_backend() == "gpu" else 1
    ms = statistics.median(seconds(function, arguments, repeats) for _ in range(3)) * 1e3
    shown = [f"{x:.1e}" for x in errors] + ["-"]
    return {"ms": f"{ms:.2f}", "output error": shown[0], "gradient error": shown[1]}


def seconds(function: Callable, arguments, repeats: int) -> float:
    """Return the mean time of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        found = function(*arguments)
    jax.block_until_ready(found)
    return (time.perf_counter() - start) / repeats


def compare(run: Callable, shapes, found, dtype) -> list[float]:
    """Return the error of the output and, where there are gradients, the largest of theirs."""
    arrays, d_out = jax.tree.map(lambda x: x.astype(jnp.float32), draw(shapes, dtype))
    with formulation.forced(attention="plain"), jax.default_matmul_precision("highest"):
        exact = jax.jit(with_gradients(run))(arrays, d_out)
    errors = [
        float(jnp.abs(one.astype(jnp.float32) - other).max() / jnp.abs(other).max())
        for one, other in zip(found, exact, strict=False)
    ]
    return [errors[0], *([max(errors[1:])] if len(errors) > 1 else [])]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention")
    parser.add_argument("--out", type=Path, help="file of JSON lines that the rows are added to")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no row later")
    parser.add_argument("--paths", default=",".join(attention.FORMULATIONS))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--small", action="store_true", help="a 32nd of each batch")
    options = parser.parse_args()
    device = f"{jax.devices()[0].device_kind}{', small' * options.small}, {options.dtype}"
    print(f"{device}, jax {jax.__version__}", flush=True)

    def jobs():
        for name, run, shapes in cases(options.small):
            for path in options.paths.split(","):
                if path == "kernel" and "Swin-T" not in name:
                    continue
                for what in ("forward", "with gradients"):
                    row = dict(device=device, jax=jax.__version__, case=name, path=path, what=what)
                    yield row, partial(measure, run, shapes, path, what, options.dtype)

    rows.measure(jobs(), COLUMNS, options.out, options.seconds)


if __name__ == "__main__":
    main()
