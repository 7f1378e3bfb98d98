"""Opening files for hours: memory does not grow, nor do the files that are open."""

import gc
import os
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data import open_video
from jaxvid.data.recipes import clip
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.encode import write_video

MEGABYTE = 2**20
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts as Linux tells")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One of each kind, small, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("soak")
    frames = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    write_video(folder / "h264.mp4", frames, 10)
    write_video(folder / "mpeg4.avi", frames, 10, "mpeg4")
    write_video(folder / "vp8.webm", frames, 10, "libvpx")
    np.save(folder / "array.npy", frames)
    (folder / "text.mp4").write_text("no video\n" * 9)
    return [str(folder / name) for name in sorted(os.listdir(folder))]


def resources() -> tuple[int, int]:
    """Bytes of resident memory, and open file descriptors."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))


def soak(files, opens: int) -> tuple[int, int]:
    """Bytes and descriptors more than after the first tenth, at the end of so many opens."""
    recipe = clip.build("train", frames=4, stride=2, size=32, short_side=40)
    rng, read, before = np.random.default_rng(0), 0, (0, 0)
    for n, path in enumerate(islice(cycle(files), opens)):
        if n == opens // 10:
            before = resources()
        try:
            if n % 2:
                with open_video(path, short_side=40) as video:
                    video.read([3, 0])
            else:
                sample = {"path": path}
                for transform in recipe:
                    sample = transform(sample, rng)
            read += 1
        except VideoError:
            assert path.endswith("text.mp4")
    assert read >= opens * 0.75
    memory, descriptors = (b - a for a, b in zip(before, resources(), strict=True))
    return memory, descriptors


def test_a_few_hundred_opens_leave_nothing_behind(files):
    memory, descriptors = soak(files, 300)
    assert memory < 5 * MEGABYTE and descriptors == 0


@pytest.mark.slow
def test_five_thousand_opens_leave_nothing_behind(files):
    memory, descriptors = soak(files, 5000)
    print(f"5,000 opens: {memory / MEGABYTE:+.1f} MB, {descriptors:+d} file descriptors")
    assert memory < 50 * MEGABYTE and descriptors == 0
