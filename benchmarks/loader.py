"""From a video file to training clips: jaxvid's pipeline beside torchcodec's.

    pip install torch torchcodec; python -m benchmarks.loader [--workers 2] [--videos A.mp4 B.mp4]

Every worker reads the same frames of the same files in all ways, in turns, and ends with the same
crop of 224 pixels, bit for bit. Each clip opens its file again. torchcodec is used in six ways:
exact, approximate or with frame mappings that were made before, which is what jaxvid's kept indexes
are; and all frames at once or one by one, so that only one is there at full size. The table shows
the fastest of the six, and the fastest that seeks exactly without mappings. Frames are resized by
OpenCV, as the published recipes do. Both libraries use the FFmpeg that PyAV brings.

Times are CPU time, all threads of a worker: what bounds the clips/s of a machine whose every core
has a worker, and what other work on it does not distort. A ratio above 1 says that ours takes less.
"First" is ours where no index is kept yet: the first epoch.

Below the table, what it gains to transcode the files first, and to crop a decoded clip four times.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from jaxvid.data.transforms import sampling, spatial
from jaxvid.data.video.decode import VideoReader, resize
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
MODES = ("exact", "approximate", "mappings")


def use_ffmpeg_of_pyav(folder: Path) -> None:
    """Let processes that are started from now on find PyAV's FFmpeg under its usual names."""
    libraries = Path(av.__file__).parent.with_name("av.libs")
    for library in libraries.glob("lib[as][vw]*-*.so.*"):
        name, version = library.name.split("-")[0], library.name.split(".so.")[1]
        (folder / f"{name}.so.{version.split('.')[0]}").symlink_to(library)
    paths = (str(folder), str(libraries), os.environ.get("LD_LIBRARY_PATH", ""))
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))


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


def scaled(path: Path, height: int, width: int) -> Iterator[np.ndarray]:
    """FRAMES frames of a real video at another size; a shorter one is repeated."""
    with VideoReader(path) as reader:
        order = np.arange(FRAMES) % reader.frames
        for frame in reader.read_on(order):
            yield cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def ours(path: Path, frames: np.ndarray) -> np.ndarray:
    with VideoReader(path, short_side=SHORT) as reader:
        return reader.read(frames)


def torchcodec(path: Path, frames: np.ndarray, mode: str, at_once: bool) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

    how: Any = {"seek_mode": mode} if mode != "mappings" else {"custom_frame_mappings": maps(path)}
    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC", **how)
    if at_once:
        images: Iterable = decoder.get_frames_at(frames.tolist()).data.numpy()
    else:
        images = (decoder.get_frame_at(index).data.numpy() for index in frames.tolist())
    metadata = decoder.metadata
    height, width = spatial.ResizeShort(SHORT).shape(metadata.height, metadata.width)
    video = np.empty((len(frames), height, width, 3), np.uint8)
    for row, image in zip(video, images, strict=True):
        if image.shape == row.shape:
            row[:] = image
        else:
            resize(image, height, width, row)
    return video


@cache
def maps(path: Path) -> str:
    """Return the frames of a video as `ffprobe -show_frames` lists them, for torchcodec."""
    with av.open(str(path)) as container:
        packets: Any = [p for p in container.demux(video=0) if p.size]
    packets.sort(key=lambda packet: packet.pts)
    keys = ("pts", "duration", "key_frame")
    rows = ((packet.pts, packet.duration, int(packet.is_keyframe)) for packet in packets)
    return json.dumps({"frames": [dict(zip(keys, row, strict=True)) for row in rows]})


PEERS = {(mode, at_once): None for mode in MODES for at_once in (True, False)}
WAYS = ("ours", "first", *PEERS)


def measure(job) -> list[dict]:
    """Seconds of each way in each round; which way comes first goes round."""
    path, sampler, rounds, seed = job
    import torch  # type: ignore[import-not-found]

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    maps(path)
    home, times = os.environ.get("JAXVID_CACHE", ""), []
    for n in range(-1, rounds):  # the first warms up
        frames = sampler.indices(FRAMES, 30.0, np.random.default_rng((seed, n + 1))).ravel()
        spent, clips = {}, []
        turn = n % len(WAYS)
        for way in (*WAYS[turn:], *WAYS[:turn]):
            with tempfile.TemporaryDirectory() as empty:
                os.environ["JAXVID_CACHE"] = empty if way == "first" else home
                start = time.process_time()
                mine = way in ("ours", "first")
                video = ours(path, frames) if mine else torchcodec(path, frames, *way)
                clip = CROP({"video": video[None]}, np.random.default_rng(n + 1))["video"]
                spent[way] = time.process_time() - start
            clips.append(clip)
        assert all(np.array_equal(clip, clips[0]) for clip in clips), "the pixels differ"
        if n >= 0:
            times.append(spent)
    return times


def best(times: list[dict], ways: Iterable) -> Any:
    """The way with the smallest median."""
    return min(ways, key=lambda way: statistics.median(spent[way] for spent in times))


def ratio(times: list[dict], peer: Any, way: str = "ours") -> str:
    """'1.21 (1.18-1.25)': the peer's time over ours, median and quartiles."""
    values = [spent[peer] / spent[way] for spent in times]
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def milliseconds(times: list[dict], way: Any) -> str:
    return f"{1e3 * statistics.median(spent[way] for spent in times):.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--rounds", type=int, default=12, help="of each worker, video and cell")
    parser.add_argument("--videos", type=Path, nargs="+", help="to encode, not a drawn one")
    args = parser.parse_args()
    cells = itertools.product(SIZES, GOPS, B_FRAMES, SAMPLERS)
    print(
        "| size | GOP | B | frames | torchcodec, CPU ms | ours | ratio to the fastest"
        " | ratio to exact | first | ratio of it |\n" + "|---" * 10 + "|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["JAXVID_CACHE"] = str(folder / "cache")
        (folder / "ffmpeg").mkdir()
        use_ffmpeg_of_pyav(folder / "ffmpeg")
        with SPAWN.Pool(args.workers) as pool:
            gains = []
            for size, gop, b, sampler in cells:
                paths = encoded(folder, args.videos, size, gop, b)
                jobs = [
                    (path, SAMPLERS[sampler], args.rounds, seed)
                    for path in paths
                    for seed in range(args.workers)
                ]
                times = list(itertools.chain(*pool.map(measure, jobs)))
                fastest, exact = (
                    best(times, PEERS),
                    best(times, [w for w in PEERS if w[0] == "exact"]),
                )
                how = f"{fastest[0]}, {'at once' if fastest[1] else 'one by one'}"
                print(
                    f"| {size} | {gop} | {b} | {sampler} | {milliseconds(times, fastest)} ({how}) |"
                    f" {milliseconds(times, 'ours')} | {ratio(times, fastest)} |"
                    f" {ratio(times, exact)} | {milliseconds(times, 'first')} |"
                    f" {ratio(times, exact, 'first')} |",
                    flush=True,
                )
                if (gop, b) == (250, 3) and not args.videos:
                    gains += transcoded(pool, jobs, times, f"{size}, {sampler}")
        for gain in gains:
            print(f"- {gain}")
    return 0


def encoded(folder: Path, videos: list[Path] | None, size: str, gop: int, b: int) -> list[Path]:
    """The videos of a cell, made once."""
    paths = []
    for source in videos or [None]:
        path = folder / f"{source.stem if source else 'drawn'}_{size}_{gop}_{b}.mp4"
        if not path.exists():
            frames = scaled(source, *SIZES[size]) if source else draw(*SIZES[size])
            write_video(path, frames, 30.0, g=gop, bf=b, crf=23, preset="fast")
        paths.append(path)
    return paths


def transcoded(pool, jobs: list, times: list[dict], name: str) -> list[str]:
    """Measure the gain of transcoding the file first, and of four crops of a decoded clip."""
    made = jobs[0][0].with_suffix(".short.mp4")
    if not made.exists():
        transcode(Job(jobs[0][0], made, Settings()))
    again = list(itertools.chain(*pool.map(measure, [(made, *job[1:]) for job in jobs])))
    mine, after = (1e3 * statistics.median(s["ours"] for s in t) for t in (times, again))
    gain = 4 * mine / (mine + 3 * cropping(*jobs[0][:2]))
    return [
        f"{name}, transcoded to 256 pixels and GOP 12: {mine:.0f} -> {after:.0f} ms",
        f"{name}, four crops of a clip: {gain:.1f}x the clips/s",
    ]


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
