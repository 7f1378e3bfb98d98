"""Check the installation: versions, devices, video decoder and codecs, shared memory.

python -m jaxvid.tools.doctor
"""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import jax
import numpy as np

import jaxvid
from jaxvid import cli, files, log, versions
from jaxvid.data.video import index_cache
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError

CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "gif")
MIN_SHARED = 1 << 30


def main(argv: list[str] | None = None) -> int:
    """Print one line for each check. The exit code is 1 if there are problems."""
    parser = cli.parser("jaxvid.tools.doctor", __doc__)
    parser.parse_args(argv)
    problems = 0
    for subject, ok, fact in facts():
        problems += not ok
        print(f"{'ok ' if ok else 'BAD'} {subject:<22} {fact}")
    print("all well" if not problems else f"{problems} problem(s), see BAD above")
    return min(problems, 1)


def facts() -> Iterator[tuple[str, bool, str]]:
    """Yield (subject, whether it is ok, description) of each check."""
    yield "jaxvid", True, jaxvid.__version__
    yield "system", True, platform.platform()
    for package in versions.NEWEST:
        yield package, *versions.judge(package)
    if cudnn := versions.cudnn():
        faults = versions.faults()
        yield "cuDNN", not faults, faults[0] if faults else str(cudnn)
    try:
        meshes.find_devices()
    except UserError as error:
        yield "devices", False, str(error)
    else:
        yield "devices", True, meshes.describe_devices()
        yield "matrix product", *matrix_product()
    cores = files.cores()
    yield "cores", True, f"{cores}"
    libraries = ", ".join(f"{k} {'.'.join(map(str, v))}" for k, v in av.library_versions.items())
    yield "FFmpeg", True, libraries
    missing = [codec for codec in CODECS if codec not in av.codecs_available]
    yield "codecs", not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(CODECS)
    yield "decoding", *round_trip()
    yield "shared memory", *shared_memory()
    yield "cache", *cache()


def cache() -> tuple[bool, str]:
    """Check that the cache folder of generated clips, weights and compiled programs is writable."""
    try:
        files.probe(files.cache_root())
    except UserError as error:
        return False, f"{error}: set JAXVID_CACHE to another folder"
    try:
        limit = index_cache.limit()
    except UserError as error:
        return False, str(error)
    size = log.size(index_cache.bytes_on_disk())
    return True, f"{files.cache_root()}; {size} of {log.size(limit)} for indexes of videos"


def matrix_product() -> tuple[bool, str]:
    """Check the error of a float32 matrix product on the default device, at two precisions."""
    x = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    exact = x.astype(np.float64) @ x

    def error(precision: str) -> float:
        product = jax.numpy.matmul(x, x, precision=precision)
        return float(np.abs(np.asarray(product) - exact).max() / np.abs(exact).max())

    highest, default = error("highest"), error("default")
    rounded = ", as the device rounds float32 factors (TF32 or bfloat16)"
    note = rounded if default > 10 * highest else ""
    ok = highest < 1e-5 and default < 1e-2
    return ok, f"relative error {highest:.0e} at highest precision, {default:.0e} by default{note}"


def round_trip() -> tuple[bool, str]:
    """Encode and decode a short H.264 clip, and compare the frames."""
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    clip = np.broadcast_to(ramp[None, None, :, None], (32, 64, 64, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        write_video(path, clip, fps=25)
        start = time.perf_counter()
        with VideoReader(path) as reader:
            frames = reader.read(range(reader.frames))
        seconds = time.perf_counter() - start
    error = np.abs(frames.astype(int) - clip).mean() if frames.shape == clip.shape else np.inf
    return bool(error < 8), f"{len(frames)} frames of H.264 in {seconds * 1e3:.0f} ms"


def shared_memory() -> tuple[bool, str]:
    """Check the size of /dev/shm, through which workers send batches. It is small in containers."""
    if not os.path.isdir("/dev/shm"):
        return True, "no /dev/shm on this system"
    free = shutil.disk_usage("/dev/shm").free
    hint = "" if free >= MIN_SHARED else "; give the container more (docker run --shm-size=8g)"
    return free >= MIN_SHARED, f"{log.size(free)} free in /dev/shm{hint}"


if __name__ == "__main__":
    sys.exit(main())
