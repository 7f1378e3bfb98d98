"""The kernels of a training step for an NVIDIA H100, and the memory they move, without a GPU.

    pip install jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12
    python -m benchmarks.kernels tsm [--top 30] [--depth 2] [--program FILE]

From a checkout. XLA's compiler for CUDA needs neither a GPU nor a driver: the GPU is described in
benchmarks/h100.txtpb. The model, its inputs and its batch are those of `benchmarks.train_step`.

The bytes of a kernel are those of its operands and results, as if each was read or written once:
a lower limit where a kernel reads an array again, and too much where it reads a part of it. The
first table has the kernels by kind, the second by module, the third those that move most. Kernels
without a module are of the loss, the optimizer and the data.

Without a GPU nothing is timed: matrix products and convolutions are not autotuned, and attention is
never that of cuDNN. So only compare two programs that were compiled in this way.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the plugin finds no GPU

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from benchmarks import train_step
from jaxvid.errors import UserError
from jaxvid.ops.formulation import forced
from jaxvid.train.plan import rehearse

GPU = Path(__file__).with_name("h100.txtpb")
# Without a GPU there is nothing to tune on, and the code of the kernels need not be fast.
OPTIONS = {"xla_gpu_autotune_level": 0, "xla_backend_optimization_level": 0}
BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "s16": 2}
ARRAY = re.compile(r"\b(pred|bf16|[fsu]\d+)\[([\d,]*)\]")
LINE = re.compile(r"\s*(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*?)\)(, .*|)$")
NO_KERNELS = ("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "opt-barrier")


@dataclass(frozen=True)
class Array:
    """An operand or a result of a kernel."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return BYTES.get(self.dtype, 1) * int(np.prod(self.shape))

    def __str__(self):
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Kernel:
    """A kernel of a compiled program.

    Attributes:
      name: Name in the program, such as "loop_add_fusion.3", or what a library call computes.
      source: Name of its last operation in the model, such as "jit(step)/jvp(Net)/conv1/add".
    """

    name: str
    source: str
    operands: tuple[Array, ...]
    results: tuple[Array, ...]

    @property
    def bytes(self) -> int:
        return sum(array.bytes for array in (*self.operands, *self.results))

    @property
    def float32(self) -> int:
        arrays = (*self.operands, *self.results)
        return sum(array.bytes for array in arrays if array.dtype == "f32")

    @property
    def kind(self) -> str:
        return self.name.rstrip(".0123456789")

    def module(self, depth: int) -> str:
        """Return its pass and the last parts of the path of its module: "backward conv#/bn"."""
        path = re.sub(r"\w+\([^/]*\)", "", self.source).split("/")[:-1]
        parts = [re.sub(r"\d+", "#", part) for part in path if part and "." not in part]
        direction = "backward" if "transpose(" in self.source else "forward"
        return f"{direction} {'/'.join(parts[-depth:])}" if parts else "no module"


def kernels(program: str) -> list[Kernel]:
    """Return the kernels of a compiled program, given as HLO text."""
    found, arrays = list[Kernel](), dict[str, tuple[Array, ...]]()
    for line in program[program.index("\nENTRY") :].splitlines():
        if not (parts := LINE.match(re.sub(r"/\*.*?\*/", "", line))):
            continue
        name, results, operation, operands, rest = parts.groups()
        arrays[name] = read_arrays(results)
        if operation in NO_KERNELS:
            continue
        names = (operand.strip().lstrip("%") for operand in operands.split(","))
        read = tuple(array for key in names for array in arrays.get(key, ()))
        call, source = (
            re.search(rf'{key}="([^"]*)"', rest) for key in ("custom_call_target", "op_name")
        )
        where = source[1] if source else ""
        found.append(Kernel(call[1] if call else name, where, read, arrays[name]))
    return found


def read_arrays(text: str) -> tuple[Array, ...]:
    """Return the arrays of a type in HLO, which may be a tuple."""
    return tuple(
        Array(dtype, tuple(int(size) for size in sizes.split(",") if size))
        for dtype, sizes in ARRAY.findall(text)
    )


def compile_step(model: str, dtype: str, batch: int = 0) -> Any:
    """Return the training step of a model of `benchmarks.train_step`, compiled for the GPU.

    Raises:
      UserError: the plugin is missing.
    """
    options = dict(target_config=GPU.read_text(), topology="1x1x1")
    try:
        topology = topologies.get_topology_desc("", "cuda", **options)
    except (RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"no compiler for CUDA ({str(error).splitlines()[0][:80]}); `pip install"
            " jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12` installs one"
        ) from error
    devices = np.array(topology.devices).reshape(1, 1)
    mesh = Mesh(devices, ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    config = train_step.configure(model, batch=batch)
    config.dtype = dtype
    on_gpu = mock.patch.object(jax, "default_backend", lambda: "gpu")
    with on_gpu, forced(attention="plain"):
        planned, _, shapes = rehearse(config, mesh)
        lowered = planned.step().lower(planned.state_shapes, shapes)
    return lowered.compile(compiler_options=OPTIONS)


def totals(found: Iterable[Kernel], key: Callable[[Kernel], str]) -> Iterator[str]:
    """Yield the lines of a table of sums, by the bytes that the kernels of a key move."""
    sums: dict[str, list[int]] = {}
    for kernel in found:
        row = sums.setdefault(key(kernel), [0, 0, 0])
        row[:] = row[0] + 1, row[1] + kernel.bytes, row[2] + kernel.float32
    yield "| | kernels | GB | of it float32 |"
    yield "|---|---|---|---|"
    for name, (count, size, wide) in sorted(sums.items(), key=lambda item: -item[1][1]):
        yield f"| {name} | {count} | {size / 1e9:.3f} | {wide / 1e9:.3f} |"


def largest(found: Iterable[Kernel], top: int) -> Iterator[str]:
    """Yield the lines of a table of the kernels that move most."""
    yield "| kernel | MB | arrays of at least 1 MB | in the model |"
    yield "|---|---|---|---|"
    for kernel in sorted(found, key=lambda kernel: -kernel.bytes)[:top]:
        sides = (kernel.operands, kernel.results)
        arrays = " -> ".join(" ".join(str(a) for a in side if a.bytes >= 1e6) for side in sides)
        yield f"| {kernel.name} | {kernel.bytes / 1e6:.1f} | {arrays} | {kernel.source} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("model", help="FAMILY or FAMILY:VARIANT")
    add("--dtype", default="bfloat16")
    add("--batch", type=int, default=0)
    add("--top", type=int, default=30, help="kernels that are shown")
    add("--depth", type=int, default=2, help="last parts of the path of a module")
    add("--program", type=Path, help="file for the compiled program")
    args = parser.parse_args()
    compiled = compile_step(args.model, args.dtype, args.batch)
    text = compiled.as_text()
    if args.program:
        args.program.write_text(text)
    found = kernels(text)
    temporary = compiled.memory_analysis().temp_size_in_bytes
    moved, wide = (sum(getattr(k, name) for k in found) for name in ("bytes", "float32"))
    print(
        f"jax {jax.__version__}, {args.model}, {args.dtype}: {len(found)} kernels move"
        f" {moved / 1e9:.2f} GB, {wide / 1e9:.2f} GB of it float32, and need"
        f" {temporary / 1e9:.2f} GB besides the state and the batch\n"
    )
    tables = (
        totals(found, lambda kernel: kernel.kind),
        totals(found, lambda kernel: kernel.module(args.depth)),
        largest(found, args.top),
    )
    print("\n\n".join("\n".join(table) for table in tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
