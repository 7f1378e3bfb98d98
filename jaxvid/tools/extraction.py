"""Parts of the tools that extract frames or sounds: one output per video, and lists of them."""

import contextlib
import csv
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxvid import files, provenance
from jaxvid.data.annotations import lists
from jaxvid.data.video import containers, video_files
from jaxvid.errors import UserError
from jaxvid.tools import jobs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """The kind of output that is extracted from each video.

    Attributes:
      name: name of the files with the settings, the record and the lock, and ending of lists.
      stream: stream of a video that is needed, "video" or "audio".
      suffix: extension of the outputs; "" if they are folders.
      wrote: what the last line says, with a place for the number of videos.
      settings: settings that all outputs of a folder share, which JSON can represent.
      job: function from a source, its output, and whether the output is up to date, to a job of
        `extract`, or None if nothing is left to do.
      extract: function from a job to the number of frames, and whether the output was written. It
        is at the top level of a module.
    """

    name: str
    stream: str
    suffix: str
    wrote: str
    settings: Mapping[str, Any]
    job: Callable[[Path, Path, bool], Any]
    extract: Callable[[Any], tuple[int, bool]]


def run(
    what: Extraction, source: Path, target: Path, lists: Sequence[Path] = (), workers: int = 0
) -> int:
    """Extract the missing outputs of all videos of a folder, and convert lists of the videos.

    Returns:
      The number of videos that failed.

    Raises:
      UserError: there are no videos, a list is missing, an earlier run had other settings, two
        videos need the same output, or the target cannot be written to, contains the originals, or
        is in use by another run.
    """
    for path in lists:
        if not path.is_file():
            raise UserError(f"{path}: no such list of videos")
    found = jobs.videos_below(source, sounds=what.stream == "audio")

    def rename(path: Path) -> Path:
        return path.with_suffix(what.suffix)

    todo = provenance.outputs(source, target, with_stream(found, what.stream, rename), rename)
    fix = "wait for it, or write to another folder"
    with files.hold(target, fix=fix, name=f".{what.name}.lock"):
        provenance.claim(target / f"{what.name}.json", what.settings)
        counts = _write(what, target, todo, workers)
    for path in lists:
        write_list(path, target / f"{path.stem}_{what.name}{path.suffix}", counts, what.suffix)
    return len(todo) - len(counts)


def with_stream(videos: Sequence[Path], stream: str, rename: Callable[[Path], Path]) -> list[Path]:
    """Return videos, of those with the same output only the ones that have the stream.

    Such a group is a.mp4 without sound and its sound a.wav. If none of them has the stream, the
    first one stays, which will be reported as failed. What is left out is logged.
    """
    same: dict[Path, list[Path]] = {}
    for video in videos:
        same.setdefault(rename(video), []).append(video)
    left_out = set()
    for group in same.values():
        if len(group) > 1:
            lacking = [video for video in group if not containers.has_stream(video, stream)]
            stays = next((video for video in group if video not in lacking), group[0])
            for video in lacking:
                if video != stays:
                    logger.info(f"left out: {video} has no {stream}, {stays.name} is used instead")
                    left_out.add(video)
    return [video for video in videos if video not in left_out]


def _write(
    what: Extraction, target: Path, todo: Mapping[Path, Path], workers: int
) -> dict[str, int]:
    """Write {output: video} where it is missing. Return the number of frames of each output."""
    record = provenance.Record(target / f"{what.name}.jsonl")
    made_from = {to: provenance.describe(path) for to, path in todo.items()}
    items = {to: what.job(path, to, record.is_fresh(to, path)) for to, path in todo.items()}
    counts = {to.relative_to(target).as_posix(): 0 for to, job in items.items() if job is None}
    left = [job for job in items.values() if job is not None]
    failed = written = 0
    with contextlib.closing(
        jobs.run(what.extract, left, what="extracting", workers=workers)
    ) as done:
        for each in done:
            to = each.item.target
            if each.error:
                failed += 1
                logger.info(f"failed: {each.item.source}: {each.error}")
                continue
            count, new = each.result
            if new:
                record.add(to, made_from[to])
            counts[to.relative_to(target).as_posix()] = count
            written += new
    logger.info(
        f"{target}: wrote {what.wrote.format(written)};"
        f" {len(todo) - written - failed:,} were there, {failed:,} failed"
    )
    return counts


def write_list(path: Path, out: Path, counts: Mapping[str, int], suffix: str = "") -> None:
    """Convert a list of videos to a list of what was extracted from them, with numbers of frames.

    Videos without extracted files are logged instead.

    Args:
      path: the list of videos.
      out: the list to write.
      counts: number of frames by the path of the extracted folder or file.
      suffix: extension of extracted files.
    """
    rows = []
    for number, (name, *labels) in lists.rows(path):
        made = Path(video_files.without_ending(name)).as_posix() + suffix
        if made in counts:
            rows.append([made, counts[made], *labels])
        else:
            logger.info(f"{path}:{number}: nothing was extracted from {name}")
    comma = {".csv": ",", ".tsv": "\t"}.get(out.suffix.lower(), " ")
    with (
        files.explained(out),
        files.replacing(out) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, delimiter=comma, lineterminator="\n").writerows(rows)
    logger.info(f"{out}: {len(rows):,} {'files' if suffix else 'folders'}")


if __name__ == "__main__":
    sys.exit("error: this module is not a command; `python -m jaxvid.tools` lists the commands")
