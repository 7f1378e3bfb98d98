"""What a training step sends between devices, and how well it should scale to nodes of 8 GPUs.

    python -m benchmarks.scaling --model swin --model tsn [--layout fsdp] [--devices 1 2 4 8]

From a checkout. Steps are compiled for up to 8 fake devices of the CPU, not run, and never timed:
the first table counts the collectives in the compiled program, the second predicts from them, with
formulas and assumptions printed above it.

Counts are those of XLA for CPUs: on GPUs, XLA joins small collectives into larger ones, which
lowers the counts but not the bytes, and may make a reduce-scatter, of half the bytes, of an
all-reduce. A collective in a loop counts once, so gradients are not accumulated here.
"""

import argparse
import math
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import jax
from jax.sharding import AxisType

from benchmarks import train_step
from jaxvid.train.plan import Plan, rehearse

SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "s64": 8, "u64": 8}
SIZES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "c64": 8, "c128": 16}
KIND = "all-reduce|all-gather|reduce-scatter|ragged-all-to-all|all-to-all|collective-permute"
OPERATION = re.compile(rf"= (.*?) ({KIND}|collective-broadcast)(-start)?\(")
NODE = 8  # GPUs of a node


@dataclass(frozen=True)
class Collective:
    """One operation of a compiled program.

    Attributes:
      size: bytes: of the whole, gathered or yet to be scattered; else what a device holds.
      group: how many devices take part with each other.
    """

    kind: str
    size: int
    group: int

    @property
    def sent(self) -> float:
        """Bytes that each device sends, by the ring algorithm."""
        n = self.group
        if self.kind == "all-reduce":
            return 2 * (n - 1) / n * self.size
        if self.kind in ("collective-permute", "collective-broadcast"):
            return self.size
        return (n - 1) / n * self.size


def collectives(text: str) -> list[Collective]:
    """Those in compiled HLO between two devices or more; asynchronous ones once."""
    header = text.partition("\n")[0]
    counts = (re.search(rf"{key}=(\d+)", header) for key in ("num_partitions", "replica_count"))
    devices = math.prod(int(found[1]) for found in counts if found)
    return [
        c
        for line in text.splitlines()
        if (found := OPERATION.search(line)) and (c := collective(line, found, devices)).group > 1
    ]


def collective(line: str, found: re.Match, devices: int) -> Collective:
    result, kind, start = found.groups()
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", result)
    if start and kind != "all-reduce":  # a tuple of operands, results and, of some, contexts
        arrays = [a for a in arrays if a != ("u32", "")]
        arrays = arrays[len(arrays) // 2 :]
    size = sum(SIZES[t] * math.prod(map(int, filter(None, s.split(",")))) for t, s in arrays)
    group = devices if kind == "collective-permute" else group_size(line, devices)
    return Collective(kind, size * group if kind == "reduce-scatter" else size, group)


def group_size(line: str, devices: int) -> int:
    """Of `replica_groups`, in each of the ways in which XLA writes them."""
    found = re.search(r"replica_groups=(\{\{[\d,]*|\[\d+,\d+\]|mesh\[[^\]]*\] ?\{[^}]*\})", line)
    if not found:
        return devices  # {}: all
    text = found[1]
    if text.startswith("mesh"):  # mesh['data'=4,'model'=2] {'data'}
        axes, _, used = text.partition("]")
        lengths = dict(re.findall(r"'(\w+)'=(\d+)", axes))
        parts = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", used)  # 'data':(2)2 is a part of an axis
        return math.prod(int(part or lengths[axis]) for axis, part in parts)
    if text.startswith("["):  # [groups,size]<=[...]
        return int(text.strip("[]").split(",")[1])
    return len(text.strip("{").split(","))


def summary(found: Iterable[Collective]) -> str:
    """'all-reduce 12: 4.0 MB; ...'"""
    found = list(found)
    rows = []
    for kind in sorted({c.kind for c in found}):
        sizes = [c.size for c in found if c.kind == kind]
        rows.append(f"{kind} {len(sizes)}: {sum(sizes) / 1e6:.1f} MB")
    return "; ".join(rows) or "none"


@dataclass(frozen=True)
class Links:
    """What connects GPUs; bandwidths in bytes/s that a GPU sends, of what data sheets promise.

    Attributes:
      nvlink: within a node: NVLink 4 of H100 and H200, 900 GB/s in both directions together.
      network: adapters of a node, all GPUs together: 8 of 400 Gb/s (NDR InfiniBand).
      reached: share of these that collectives reach.
      latency: seconds of a collective beside its bytes, within a node and across.
    """

    nvlink: float = 450e9
    network: float = 400e9
    reached: float = 0.8
    latency: tuple[float, float] = (15e-6, 30e-6)

    def seconds(self, found: Iterable[Collective], nodes: int) -> float:
        """Of all collectives one after the other; those of `NODE` devices or half span all nodes.

        A ring through all nodes enters and leaves each of them by all of its adapters, so that a
        GPU sends at the rate of the slower of NVLink and the adapters of a node together.
        """
        total = 0.0
        for c in found:
            across = c.group > 2 and nodes > 1  # groups of two are the model axis, in one node
            group = c.group * nodes if c.group > 2 else c.group
            rate = min(self.nvlink, self.network) if across else self.nvlink
            sent = Collective(c.kind, c.size, group).sent
            total += sent / (self.reached * rate) + self.latency[across]
        return total


def efficiency(compute: float, communication: float) -> tuple[float, float]:
    """Of a step: when nothing is sent while computing, and when all of it is."""
    return compute / (compute + communication), compute / max(compute, communication)


def compiled(
    name: str, layout: str, devices: int, args: argparse.Namespace
) -> tuple[str, Plan, dict]:
    """The text of the training step for so many fake devices, its plan, and the batch."""
    model = 2 if layout == "tensor" and devices > 1 else 1
    shape, kinds = (devices // model, model), (AxisType.Auto,) * 2
    chosen = jax.devices()[:devices]
    mesh = jax.make_mesh(shape, ("data", "model"), axis_types=kinds, devices=chosen)
    config = train_step.configure(name, args.small, args.batch)
    config.batch *= devices
    config.sharding, config.dtype = layout, args.dtype
    planned, _, batch = rehearse(config, mesh)
    step = planned.step().compile(planned.state_shapes, batch)
    return step.as_text() or "", planned, batch


def assumptions(args: argparse.Namespace, links: Links, slow: Links) -> str:
    near, far = (1e6 * seconds for seconds in links.latency)
    return f"""
One step takes flops / (mfu * peak) = computing, with the model's operations on a device, mfu
{args.mfu:.0%} and peak {args.peak / 1e12:.0f} TFLOP/s (bfloat16, dense, of an H100 or H200 SXM).
Each collective takes sent / ({links.reached:.0%} of the rate) + latency, where n devices send
  all-reduce 2 (n - 1) / n * bytes;  all-gather, reduce-scatter, all-to-all (n - 1) / n * bytes
each (ring), at {links.nvlink / 1e9:.0f} GB/s within a node (NVLink 4); across nodes at that or what
the adapters of a node have together, if less: {links.network / 1e9:.0f} GB/s (8 x 400 Gb/s), or
{slow.network / 1e9:.0f} GB/s (1 x 400 Gb/s). Latency: {near:.0f} us within a node, {far:.0f} us\
 across. Bytes do not depend on n.
Efficiency is computing / (computing + communication) if nothing overlaps, and
computing / max(computing, communication) if everything does; a real run lies between. Not counted:
waiting for data and for slower hosts. None of this has been measured."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--model", action="append", required=True, help="FAMILY or FAMILY:VARIANT")
    add("--layout", nargs="+", default=["replicated", "fsdp", "tensor"])
    add("--devices", nargs="+", type=int, default=[1, 2, 4, 8])
    add("--nodes", nargs="+", type=int, default=[1, 2, 8, 32])
    add("--batch", type=int, default=0, help="of a device; by default as in train_step")
    add("--small", action="store_true", help="small clips")
    add("--dtype", default="bfloat16")
    add("--mfu", type=float, default=0.4, help="of one device alone")
    add("--peak", type=float, default=989e12)
    args = parser.parse_args()
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # only LLVM's, and sooner
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", NODE)
    print("| model | layout | devices | collectives of a step | MB sent by a device |")
    print("|---|---|---|---|---|")
    whole = {}
    for name in args.model:
        for layout in args.layout:
            for devices in args.devices:
                text, planned, batch = compiled(name, layout, devices, args)
                found = collectives(text)
                sent = sum(c.sent for c in found) / 1e6
                print(
                    f"| {name} | {layout} | {devices} | {summary(found)} | {sent:.1f} |", flush=True
                )
                if devices == NODE:
                    whole[name, layout] = found, planned.flops(batch)
    links, slow = Links(), Links(network=50e9)
    print(assumptions(args, links, slow))
    columns = [f"{n * NODE} GPUs" for n in args.nodes]
    print(f"\n| model | layout | adapters | computing, ms | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 4) + "|")
    for (name, layout), (found, flops) in whole.items():
        for adapters, kind in (("8", links), ("1", slow)):
            compute = flops / (args.mfu * args.peak)
            cells = []
            for nodes in args.nodes:
                none, full = efficiency(compute, kind.seconds(found, nodes))
                cells.append(f"{none:.1%}-{full:.1%}")
            row = (name, layout, adapters, f"{1e3 * compute:.1f}", *cells)
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
