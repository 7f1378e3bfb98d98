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

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from jaxvid import cli, files
from jaxvid.data.audio import extracted, waveform
from jaxvid.data.audio.log_mel import LogMel
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.video_files import VIDEOS, has_ending
from jaxvid.tools import extraction, jobs
from jaxvid.tools.extraction import Extraction

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


def extract(job: Job) -> tuple[int, bool]:
    """Write the sound of one video. The file appears atomically and complete.

    Returns:
      The number of frames of the video, if it is wanted, and 0 otherwise; and whether the file was
      written.

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
            return video.frames, job.renew
    count = max(round(len(sound) / job.features.rate * FPS), 1) if sound is not None else 0
    return count, job.renew


def run(
    source: Path,
    target: Path,
    features: LogMel,
    *,
    kind: str = "mel",
    lists: Sequence[Path] = (),
    workers: int = 0,
) -> int:
    """Write the missing files, as described above; see `extraction.run`."""

    def job(path: Path, to: Path, fresh: bool) -> Job | None:
        return Job(path, to, kind, features, not fresh, bool(lists)) if lists or not fresh else None

    about = asdict(features) if kind == "mel" else {"rate": features.rate}
    what = Extraction(
        name=Path(extracted.SETTINGS).stem,
        stream="audio",
        suffix=SUFFIXES[kind],
        wrote="the sound of {:,} files",
        settings={"kind": kind, **about},
        job=job,
        extract=extract,
    )
    return extraction.run(what, source, target, lists, workers)


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
