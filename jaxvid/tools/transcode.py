"""Rewrite the videos of a folder as small files in which seeking is fast.

    python -m jaxvid.tools.transcode DATA/videos DATA/videos_256 [--short-side 256] [--gop 12]

Every video is written as H.264 with the same relative path, with its frames upright and at the same
numbers and times, so that annotation lists remain valid. The content is always MP4. Decoders accept
this with any file extension; --suffix .mp4 changes the extension, too. Existing videos are not
written again, so the same command continues after an interruption. Videos whose original has
changed are written again. NEW_FOLDER/transcode.jsonl lists the original of each video. Videos that
cannot be read to their end are reported and left out.
"""

import contextlib
import heapq
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from jaxvid import cli, files, provenance
from jaxvid.data.video.containers import open_media, plain_words
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.tools import jobs

logger = logging.getLogger("jaxvid.tools.transcode")


@dataclass(frozen=True)
class Settings:
    """Settings of the videos to write.

    Attributes:
      short_side: short side in pixels. Smaller videos keep their size; 0 keeps all sizes.
      gop: frames from one keyframe to the next. This is the maximum number of frames that a seek
        decodes without using them.
      fps: constant frame rate; 0 keeps every frame at its time.
      crf: quality of x264, from 0 (lossless) to 51. With 18, differences are hardly visible.
      preset: preset of x264; slower ones make smaller files.
      audio: "drop" or "keep" the sound.
    """

    short_side: int = 256
    gop: int = 12
    fps: float = 0.0
    crf: int = 18
    preset: str = "fast"
    audio: str = "drop"


@dataclass(frozen=True)
class Job:
    """One video to transcode."""

    source: Path
    target: Path
    settings: Settings


def transcode(job: Job) -> tuple[int, int]:
    """Write one video. The file appears atomically and complete.

    Returns:
      Size of the file before and after, in bytes.

    Raises:
      VideoError: the source cannot be decoded to its end, or MP4 does not support its sound.
    """
    part = job.target.with_name(f".{job.target.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    part.mkdir(parents=True)
    try:
        made = part / "video.mp4"
        start = write_frames(job.source, made, job.settings)
        if job.settings.audio == "keep":
            made = add_sound(made, job.source, start, part / "both.mp4")
        made.replace(job.target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return job.source.stat().st_size, job.target.stat().st_size


def write_frames(source: Path, target: Path, settings: Settings) -> Fraction:
    """Write the frames of `source` to `target` as H.264.

    Returns:
      The timestamp in `source` of the first frame, in seconds.
    """
    with VideoReader(source) as video:
        small = min(video.height, video.width, settings.short_side or video.height)
    with VideoReader(source, short_side=small) as video:
        wanted, fps, times = range(video.frames), video.fps, video.edges
        if settings.fps:
            wanted, fps, times = video.at_rate(settings.fps), settings.fps, None
        write_video(
            target,
            video.read_on(wanted),
            fps,
            times=times,
            g=settings.gop,
            bf=0,
            crf=settings.crf,
            preset=settings.preset,
            threads=1,
            tune="fastdecode",  # decoding takes little more than half the time; files grow by 13 %
        )
        return video.start


def add_sound(silent: Path, source: Path, start: Fraction, target: Path) -> Path:
    """Write the video of `silent` and the sound of `source` from `start` on to `target`.

    The sound is copied without encoding.

    Returns:
      `target`, or `silent` if `source` has no sound.
    """
    with (
        plain_words(str(source)),
        av.open(str(silent)) as video,
        open_media(f"file:{source}") as both,
        av.open(str(target), "w") as out,
    ):
        if not both.streams.audio:
            return silent
        sound = both.streams.audio[0]
        to_video = out.add_stream_from_template(video.streams.video[0])
        to_sound = out.add_stream_from_template(sound)
        packets = heapq.merge(
            _packets(video, video.streams.video[0], to_video, Fraction(0)),
            _packets(both, sound, to_sound, start),
            key=lambda item: item[0],
        )
        for seconds, packet in packets:
            if seconds >= 0:
                out.mux(packet)
    return target


def _packets(container: Any, stream: Any, to: Any, start: Fraction) -> Iterator[tuple]:
    """Yield (seconds after `start`, packet for the stream `to`)."""
    late = round(start / stream.time_base)
    for packet in container.demux(stream):
        if packet.dts is not None:  # None flushes a decoder
            packet.stream, packet.dts, packet.pts = to, packet.dts - late, packet.pts - late
            yield packet.dts * stream.time_base, packet


def run(
    source: Path, target: Path, settings: Settings, *, suffix: str = "", workers: int = 0
) -> int:
    """Transcode the videos of a folder that do not exist yet, as described above.

    Returns:
      The number of files that failed.

    Raises:
      UserError: there are no videos, an earlier run had other settings, two videos need the same
        file, or the target cannot be written to, contains the originals, or is in use by another
        run.
    """

    def rename(path: Path) -> Path:
        return path.with_suffix(suffix) if suffix else path

    todo = provenance.outputs(source, target, jobs.videos_below(source), rename, apart=True)
    with files.hold(target, fix="wait for it, or write to another folder"):
        provenance.claim(target / "transcode.json", asdict(settings))
        return _write(target, todo, settings, workers)


def _write(target: Path, todo: Mapping[Path, Path], settings: Settings, workers: int) -> int:
    """Transcode {output: source} if the output does not exist or its source has changed."""
    record = provenance.Record(target / "transcode.jsonl")
    made_from = {to: provenance.describe(path) for to, path in todo.items()}
    left = [Job(path, to, settings) for to, path in todo.items() if not record.is_fresh(to, path)]
    failed, before, after = 0, 0, 0
    done = jobs.run(transcode, left, what="writing", workers=workers)
    with contextlib.closing(done):
        for each in done:
            if each.error:
                failed += 1
                logger.info(f"failed: {each.item.source}: {each.error}")
            else:
                record.add(each.item.target, made_from[each.item.target])
                before, after = before + each.result[0], after + each.result[1]
    ratio = f", {after / before:.0%} of their size" if before else ""
    logger.info(
        f"{target}: wrote {len(left) - failed:,} videos{ratio}; {len(todo) - len(left):,} were"
        f" there, {failed:,} failed"
    )
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.transcode", __doc__)
    parser.add_argument("source", metavar="FOLDER", type=Path, help="folder of the originals")
    parser.add_argument("target", metavar="NEW_FOLDER", type=Path, help="folder to write")
    default = Settings()
    add = parser.add_argument
    add("--short-side", type=int, default=default.short_side, help="pixels; 0 keeps (%(default)s)")
    add("--gop", type=int, default=default.gop, help="frames between keyframes (%(default)s)")
    add("--fps", type=float, default=default.fps, help="constant frame rate; 0 keeps the times")
    add("--crf", type=int, default=default.crf, help="quality, 0 to 51, 0 is best (%(default)s)")
    add("--preset", default=default.preset, help="preset of x264; slower is smaller (%(default)s)")
    add("--audio", choices=("drop", "keep"), default=default.audio, help="sound (%(default)s)")
    add("--suffix", default="", help="extension of the new files, such as .mp4")
    add("--workers", type=int, default=0, help="processes (default: one per core)")
    args = vars(parser.parse_args(argv))
    settings = Settings(**{key: args.pop(key) for key in asdict(default)})
    return jobs.exit_code(lambda: run(**args, settings=settings))


if __name__ == "__main__":
    sys.exit(main())
