"""Convolutions as `jaxvid.ops.conv` writes them, against the plain `lax.conv` of the same kernel.

    python benchmarks/conv.py [--rounds 9]

Both are timed in turns in one process; each line has the median times and the median of the ratios
of neighbours, forward and with gradients. A ratio above 1 says that ours is faster.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvid.ops.conv import conv, depthwise_conv

# input (b t h w c), kernel, output channels (0: depthwise), strides
SHAPES = [
    ((1, 8, 56, 56, 64), (1, 3, 3), 64, (1, 1, 1)),
    ((1, 8, 28, 28, 512), (1, 1, 1), 128, (1, 1, 1)),
    ((1, 8, 28, 28, 512), (1, 1, 1), 1024, (1, 2, 2)),
    ((1, 8, 56, 56, 64), (3, 1, 1), 64, (1, 1, 1)),
    ((1, 8, 14, 14, 1024), (3, 1, 1), 256, (1, 1, 1)),
    ((1, 32, 56, 56, 8), (5, 1, 1), 16, (8, 1, 1)),
    ((1, 32, 112, 112, 3), (5, 7, 7), 8, (1, 2, 2)),
    ((1, 8, 56, 56, 64), (3, 3, 3), 64, (1, 1, 1)),
    ((1, 8, 14, 14, 256), (3, 3, 3), 256, (1, 1, 1)),
    ((1, 8, 28, 28, 108), (3, 3, 3), 0, (1, 1, 1)),
]


def plain(x, kernel, strides, groups):
    pads = [(k // 2, k // 2) for k in kernel.shape[:3]]
    numbers = ("NTHWC", "THWIO", "NTHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=numbers, feature_group_count=groups
    )


def ours(x, kernel, strides, groups):
    padding = tuple(k // 2 for k in kernel.shape[:3])
    if groups > 1:
        return depthwise_conv(x, kernel, strides, padding)
    return conv(x, kernel, strides, padding)


def gradient(function, strides, groups):
    def loss(x, kernel):
        return jnp.square(function(x, kernel, strides, groups)).sum()

    return jax.jit(jax.grad(loss, (0, 1)))


def forward(function, strides, groups):
    return jax.jit(lambda x, kernel: function(x, kernel, strides, groups))


def seconds(function, *arguments):
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(prog="python benchmarks/conv.py")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    device = jax.devices()[0]
    print(f"jax {jax.__version__}, {device.platform} {device.device_kind}, float32, ms")
    print(
        "| input, kernel -> channels / strides | what | lax | ours | ratio |\n|---|---|---|---|---|"
    )
    rng = np.random.default_rng(0)
    for shape, size, out, strides in SHAPES:
        groups = 1 if out else shape[-1]
        x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
        inner = shape[-1] if out else 1
        kernel = jnp.asarray(rng.standard_normal((*size, inner, out or shape[-1])), jnp.float32)
        for what, make in (("forward", forward), ("gradient", gradient)):
            pair = [make(f, strides, groups) for f in (plain, ours)]
            a, b = (f(x, kernel) for f in pair)  # compiles; both must give the same
            for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
                scale = float(jnp.abs(one).max())
                assert float(jnp.abs(one - other).max()) < 1e-4 * scale
            times = [[seconds(f, x, kernel) for f in pair] for _ in range(rounds)]
            lax_ms, our_ms = (1e3 * statistics.median(t) for t in zip(*times, strict=True))
            ratio = statistics.median(t[0] / t[1] for t in times)
            names = " x ".join(map(str, shape)), " x ".join(map(str, size))
            print(
                f"| {names[0]}, {names[1]} -> {out or 'depthwise'} / {strides} | {what} |"
                f" {lax_ms:.1f} | {our_ms:.1f} | {ratio:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
