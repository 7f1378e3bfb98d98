"""From a video file to training clips: jaxvid's pipeline against decord and OpenCV.

    pip install decord; python benchmarks/loader.py [--workers 2] [--rounds 7]

Every worker decodes the same frames of the same files both ways, in turns, and ends with the same
crop of 224 pixels; decord is given the better of its two ways to the short side of 256 (its own
scaling, or OpenCV's afterwards, as MMAction2 does it). Times are CPU time, all threads of a worker:
what bounds the clips/s of a machine whose every core has a worker, and what other work on it does
not distort. A ratio above 1 says that ours takes less.

Below the table, what it gains to transcode the files first, and to crop a decoded clip four times.
"""

import argparse
import itertools
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from jaxvid.data.transforms import sampling, spatial
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.tools.jobs import SPAWN
from jaxvid.tools.transcode import Job, Settings, transcode

GOPS, B_FRAMES = (12, 250), (0, 3)
SIZES = {"256-short": (256, 340), "720p": (720, 1280)}
SAMPLERS = {
    "32x2 dense": sampling.SampleClips(32, 2, train=True),
    "8 sparse": sampling.SampleClips(1, 1, clips=8, train=True),
}
CROP = spatial.RandomResizedCrop(224)
SHORT = 256
FRAMES = 300


def draw(height: int, width: int, frames: int = FRAMES):
    """Something to encode: a picture that pans under moving discs, with a little noise."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (height // 8, width // 4, 3), np.uint8)
    wide = cv2.resize(wide, (2 * (width + frames), height), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(0, 12, (8, height, width, 3), np.uint8)
    for t in range(frames):
        frame = wide[:, 2 * t : 2 * t + width] // 2 + 60 + noise[t % 8]
        for k in range(6):
            x = int(width * (0.5 + 0.4 * np.sin(0.05 * t + k)))
            cv2.circle(frame, (x, height * (k + 1) // 7), height // 12, (40 * k, 200, 90), -1)
        yield frame


def ours(path: Path, frames: np.ndarray, rng) -> np.ndarray:
    with VideoReader(path, short_side=SHORT) as reader:
        video = reader.read(frames)
    return CROP({"video": video[None]}, rng)["video"]


def decord_opencv(path: Path, frames: np.ndarray, rng) -> np.ndarray:
    import decord

    video = decord.VideoReader(str(path), num_threads=1).get_batch(frames).asnumpy()
    return CROP(spatial.ResizeShort(SHORT)({"video": video[None]}, rng), rng)["video"]


def decord_scaled(path: Path, frames: np.ndarray, rng) -> np.ndarray:
    import decord

    first = decord.VideoReader(str(path), num_threads=1)[0].shape  # it must be told both sides
    height, width = spatial.ResizeShort(SHORT).shape(*first[:2])
    reader = decord.VideoReader(str(path), num_threads=1, width=width, height=height)
    return CROP({"video": reader.get_batch(frames).asnumpy()[None]}, rng)["video"]


def measure(job) -> list[tuple[float, ...]]:
    """Seconds of each way in each round; which way comes first goes round."""
    path, sampler, rounds, seed = job
    cv2.setNumThreads(1)
    ways = (ours, decord_opencv, decord_scaled)
    times = []
    for n in range(-1, rounds):  # the first warms up
        rng = np.random.default_rng((seed, n + 1))
        frames = sampler.indices(FRAMES, 30.0, rng).ravel()
        spent = dict.fromkeys(ways, 0.0)
        for way in itertools.islice(itertools.cycle(ways), n % 3, n % 3 + 3):
            start = time.process_time()
            clip = way(path, frames, np.random.default_rng(n + 1))
            spent[way] = time.process_time() - start
            assert clip.shape == (1, len(frames), 224, 224, 3)
        if n >= 0:
            times.append(tuple(spent[way] for way in ways))
    return times


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/loader.py")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cells = itertools.product(SIZES, GOPS, B_FRAMES, SAMPLERS)
    print("| size | GOP | B | frames | decord, CPU ms | ours, CPU ms | ratio (quartiles) |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, SPAWN.Pool(args.workers) as pool:
        gains = []
        for size, gop, b, name in cells:
            path = Path(folder, f"{size}_{gop}_{b}.mp4")
            if not path.exists():
                options = dict(g=gop, bf=b, crf=23, preset="fast")
                write_video(path, draw(*SIZES[size]), 30.0, **options)
            jobs = [(path, SAMPLERS[name], args.rounds, seed) for seed in range(args.workers)]
            times = list(itertools.chain(*pool.map(measure, jobs)))
            peer = [min(row[1:]) for row in times]
            ratios = [p / row[0] for p, row in zip(peer, times, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            mine, theirs = (1e3 * statistics.median(t) for t in ([r[0] for r in times], peer))
            print(
                f"| {size} | {gop} | {b} | {name} | {theirs:.0f} | {mine:.0f} |"
                f" {middle:.2f} ({low:.2f}-{high:.2f}) |",
                flush=True,
            )
            if (gop, b) == (250, 3):
                made = path.with_suffix(".short.mp4")
                if not made.exists():
                    transcode(Job(path, made, Settings()))
                again = pool.map(measure, [(made, *job[1:]) for job in jobs])
                after = 1e3 * statistics.median(row[0] for row in itertools.chain(*again))
                gains.append(f"{size}, {name}: {mine:.0f} -> {after:.0f} ms, {mine / after:.1f}x")
            if (gop, b, size) == (250, 3, "256-short"):
                crop = cropping(path, SAMPLERS[name])
                gain = 4 * mine / (mine + 3 * crop)
                gains.append(f"{size}, {name}, four crops of a clip: {gain:.1f}x the clips/s")
        print("\nGOP 250 with B-frames, transcoded to 256 pixels, GOP 12, none:")
        for gain in gains:
            print(f"- {gain}")
    return 0


def cropping(path: Path, sampler) -> float:
    """Milliseconds of one more crop of a clip that is decoded."""
    rng = np.random.default_rng(0)
    with VideoReader(path, short_side=SHORT) as reader:
        video = reader.read(sampler.indices(FRAMES, 30.0, rng).ravel())[None]
    times = []
    for _ in range(9):
        start = time.process_time()
        CROP({"video": video}, rng)
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
