"""Write the sound of videos as log-mel spectrograms, one file per video, for models of sounds.

    python -m jaxvid.tools.extract_audio DATA/videos DATA/audio [--list train.txt]

The sound of DATA/videos/a/b.mp4 is written to DATA/audio/a/b.npy, as MMAction2 stores it: float32
(rows, frequencies) from 0 to 1. Files of sound are read, too. With --kind wav, the sound itself is
written as a mono file instead. Lists of videos that are given with --list are converted to lists
`path frames label`, which the source audio_list reads. Sound without a video counts 30 frames per
second.

Existing files are not written again, so the same command continues after an interruption. Files
whose video has changed are written again. NEW_FOLDER/audio.jsonl lists the video of each file.
Videos without sound, and those that cannot be read, are reported, and the exit code is 1.

Training on sounds and videos does not need extracted files. They make it faster.
"""

import contextlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from jaxvid import cli, files, provenance
from jaxvid.data.audio import extracted, waveform
from jaxvid.data.audio.log_mel import LogMel
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.video_files import VIDEOS, has_ending
from jaxvid.errors import UserError
from jaxvid.tools import jobs
from jaxvid.tools.extract_frames import write_list

logger = logging.getLogger("jaxvid.tools.extract_audio")

SUFFIXES = {"mel": ".npy", "wav": ".wav"}
FPS = 30.0  # frames per second that a sound without a video counts


@dataclass(frozen=True)
class Job:
    """One video and the file of its sound.

    Attributes:
      kind: "mel" or "wav".
      renew: write the file, because it does not exist or the video has changed.
      count: return the number of frames of the video.
    """

    source: Path
    target: Path
    kind: str
    features: LogMel
    renew: bool
    count: bool


def extract(job: Job) -> int:
    """Write the sound of one video. The file appears atomically and complete.

    Returns:
      The number of frames of the video, if it is wanted, and 0 otherwise.

    Raises:
      VideoError: the file cannot be read, or has no sound.
    """
    is_video = has_ending(job.source.name, VIDEOS)
    sound = None
    if job.renew or (job.count and not is_video):
        sound = waveform.read(job.source, job.features.rate)
    if job.renew and sound is not None:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(job.target) as part:
            if job.kind == "wav":
                waveform.write_wav(part, sound, job.features.rate)
            else:
                with part.open("wb") as file:
                    np.save(file, job.features(sound), allow_pickle=False)
    if job.count and is_video:
        with VideoReader(job.source) as video:
            return video.frames
    return max(round(len(sound) / job.features.rate * FPS), 1) if sound is not None else 0


def run(
    source: Path,
    target: Path,
    features: LogMel,
    *,
    kind: str = "mel",
    lists: Sequence[Path] = (),
    workers: int = 0,
) -> int:
    """Write the missing files, as described above.

    Returns:
      The number of videos that failed.

    Raises:
      UserError: there are no videos, a list is missing, an earlier run had other settings, two
        videos need the same file, or the target cannot be written to, contains the originals, or is
        in use by another run.
    """
    for path in lists:
        if not path.is_file():
            raise UserError(f"{path}: no such list of videos")
    suffix, found = SUFFIXES[kind], jobs.videos_below(source, sounds=True)
    todo = provenance.outputs(source, target, found, lambda path: path.with_suffix(suffix))
    with files.hold(target, fix="wait for it, or write to another folder"):
        about = asdict(features) if kind == "mel" else {"rate": features.rate}
        provenance.claim(target / extracted.SETTINGS, {"kind": kind, **about})
        counts = _write(target, todo, features, kind, bool(lists), workers)
    for path in lists:
        write_list(path, target / f"{path.stem}_audio{path.suffix}", counts, suffix)
    return len(todo) - len(counts)


def _write(
    target: Path,
    todo: Mapping[Path, Path],
    features: LogMel,
    kind: str,
    count: bool,
    workers: int,
) -> dict[str, int]:
    """Write {output: source} where it is missing. Return the number of frames of each output."""
    record = provenance.Record(target / "audio.jsonl")
    made_from = {to: provenance.describe(path) for to, path in todo.items()}
    fresh = {to for to, path in todo.items() if record.is_fresh(to, path)}
    counts = {to.relative_to(target).as_posix(): 0 for to in fresh}
    items = [
        Job(path, to, kind, features, to not in fresh, count)
        for to, path in todo.items()
        if count or to not in fresh
    ]
    failed = written = 0
    done = jobs.run(extract, items, what="extracting", workers=workers)
    with contextlib.closing(done):
        for each in done:
            to = each.item.target
            if each.error:
                failed += 1
                counts.pop(to.relative_to(target).as_posix(), None)
                logger.info(f"failed: {each.item.source}: {each.error}")
                continue
            if each.item.renew:
                record.add(to, made_from[to])
                written += 1
            counts[to.relative_to(target).as_posix()] = each.result
    logger.info(
        f"{target}: wrote the sound of {written:,} files;"
        f" {len(todo) - written - failed:,} were there, {failed:,} failed"
    )
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.extract_audio", __doc__)
    add = parser.add_argument
    add("source", metavar="FOLDER", type=Path, help="folder of videos or sounds, or one file")
    add("target", metavar="NEW_FOLDER", type=Path, help="folder to write")
    add("--kind", choices=SUFFIXES, default="mel", help="what to write (%(default)s)")
    default = LogMel()
    add("--rate", type=int, default=default.rate, help="samples per second (%(default)s)")
    add("--window", type=int, default=default.window, help="samples of a row (%(default)s)")
    add("--hop", type=int, default=default.hop, help="samples between rows (%(default)s)")
    add("--bins", type=int, default=default.bins, help="mel frequencies (%(default)s)")
    add("--fmin", type=float, default=default.fmin, help="lowest frequency in Hz (%(default)s)")
    add("--fmax", type=float, default=default.fmax, help="highest frequency in Hz (%(default)s)")
    add("--list", dest="lists", nargs="+", type=Path, default=(), help="lists of the videos")
    add("--workers", type=int, default=0, help="processes (default: one per core)")
    args = vars(parser.parse_args(argv))
    settings = {key: args.pop(key) for key in asdict(default)}
    return jobs.exit_code(lambda: run(**args, features=LogMel(**settings)))


if __name__ == "__main__":
    sys.exit(main())
