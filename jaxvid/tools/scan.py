"""Inspect every video of a folder, and write a manifest of lengths, sizes, codecs and errors.

    python -m jaxvid.tools.scan DATA/videos [--out DATA/videos/manifest.jsonl] [--decode] [--sha256]

For each file, the command counts the packets and decodes the first frame, or with --decode, all
frames. A file that is not a video, is truncated or crashes the decoder gets the status "bad" and a
reason. An existing manifest is updated: files that have not changed are not opened again, so the
same command continues after an interruption. Training uses the manifest with
--config.data.train.manifest=FILE. Beside the manifest, a hidden folder (.manifest.indexes) has the
indexes of the videos, with which they open faster. Copy it together with them, and keep the times
of the files (cp -a, rsync -a, tar).
"""

import contextlib
import hashlib
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from jaxvid import cli, files, log
from jaxvid.data.annotations import manifests
from jaxvid.data.annotations.manifests import Row
from jaxvid.data.video import index_cache
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.errors import first
from jaxvid.tools import jobs

logger = logging.getLogger("jaxvid.tools.scan")


@dataclass(frozen=True)
class Job:
    """One file, and what to inspect."""

    path: Path
    name: str  # in the manifest
    decode: bool
    sha256: bool
    indexes: Path | None = None  # the folder beside the manifest


def probe(job: Job) -> Row:
    """Inspect one file, and return its row. Raises OSError if the file no longer exists."""
    row = stat(job)
    if job.sha256:
        with job.path.open("rb") as file:
            row = replace(row, sha256=hashlib.file_digest(file, "sha256").hexdigest())
    try:
        with VideoReader(job.path) as video:
            for _ in video.read_on(range(video.frames if job.decode else 1)):
                pass
            return replace(
                row,
                status="ok",
                frames=video.frames,
                fps=round(video.fps, 4),
                duration=round(video.duration, 4),
                decoded=video.frames if job.decode else 1,
                codec=video.codec,
                rotation=video.rotation,
                width=video.width,
                height=video.height,
                index=index(job),
            )
    except VideoError as error:
        return replace(row, reason=error.reason)


def index(job: Job) -> str:
    """Copy the index of an opened video beside the manifest, and return `Row.index`."""
    if job.indexes is None:
        return ""
    try:
        kept = index_cache.copy_beside(str(job.path), str(job.indexes))
    except OSError:  # counted by the summary of the scan, and tried again by the next one
        return ""
    return "kept" if kept else "none"


def stat(job: Job) -> Row:
    """Return a row with the size and time of a file. Its status is "bad" until it is opened."""
    about = job.path.stat()
    return Row(job.name, "bad", size=about.st_size, modified=about.st_mtime)


def scan(
    root: Path,
    out: Path | None = None,
    *,
    decode: bool = False,
    sha256: bool = False,
    workers: int = 0,
    timeout: float = 600.0,
) -> dict[str, Row]:
    """Update the manifest of a folder, as described above.

    Args:
      root: the folder, or one file.
      out: the manifest, .jsonl or .csv. By default, this is manifest.jsonl in the folder.
      decode: whether to decode all frames.
      sha256: whether to hash the files, which reads them to their end.
      workers: number of processes; 0 uses one per core.
      timeout: seconds after which the inspection of a file is aborted.

    Returns:
      {absolute path: row} of the files below `root`.

    Raises:
      UserError: there are no videos, or `out` cannot be written, is not a manifest, or is in use by
        another process.
    """
    out = out or (root if root.is_dir() else root.parent) / "manifest.jsonl"
    files.probe_file(out)
    lock = out.with_name(f".{out.name}.lock")
    with files.locked(lock, out, fix="wait for it, or write another --out"):
        return _update(root, out, decode, sha256, workers, timeout)


def _update(
    root: Path, out: Path, decode: bool, sha256: bool, workers: int, timeout: float
) -> dict[str, Row]:
    """Scan while this process holds the lock of `out`."""
    known = manifests.read(out) if out.exists() else {}
    base = out.parent.absolute()
    found, todo = {}, {}
    for path in jobs.videos_below(root):
        key = os.path.abspath(path)
        name = Path(os.path.relpath(key, base)).as_posix()
        job = Job(path, name, decode, sha256, manifests.indexes(out))
        if key in known and is_fresh(known[key], job):
            found[key] = known[key]
        else:
            todo[key] = job
    # Keep rows of other folders. Rows of files that no longer exist in this folder are dropped.
    inside = os.path.abspath(root)
    others = {k: row for k, row in known.items() if not Path(k).is_relative_to(inside)}
    manifests.write(out, [*others.values(), *found.values()])
    before = len(found)
    done = jobs.run(probe, list(todo.values()), what="scanning", workers=workers, timeout=timeout)
    with out.open("a", encoding="utf-8") as file, contextlib.closing(done):
        for each in done:
            row = each.result or bad(each.item, each.error)
            found[os.path.abspath(each.item.path)] = row
            file.write(manifests.line(out, row))
            file.flush()
            if not row.ok:
                logger.info(f"bad: {each.item.path}: {row.reason}")
    rows = sorted([*others.values(), *found.values()], key=lambda row: row.path)
    manifests.write(out, rows)
    index_cache.prune(manifests.indexes(out), [base / row.path for row in rows if row.ok])
    kept = sum(row.index == "kept" for row in found.values())
    logger.info(
        f"{out}: {len(found):,} files, {before:,} of them as before, {kept:,} with an index"
    )
    return dict(sorted(found.items()))


def is_fresh(row: Row, job: Job) -> bool:
    """Return whether a row is complete and the file has not changed. Bad files are never fresh."""
    about = job.path.stat()
    same = (row.size, row.modified) == (about.st_size, about.st_mtime)
    deep = row.decoded >= row.frames or not job.decode
    indexed = row.index == "none" or index_cache.is_beside(str(job.path), str(job.indexes))
    return row.ok and same and deep and indexed and bool(row.sha256 or not job.sha256)


def bad(job: Job, reason: str) -> Row:
    """Return the row of a file whose inspection failed."""
    try:
        return replace(stat(job), reason=reason)
    except OSError:
        return Row(job.name, "bad", reason)


def summary(rows: Sequence[Row]) -> Table:
    """Return a table with one line for each property of the files."""

    good = [row for row in rows if row.ok]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    reasons = Counter(re.sub(r"\d+", "N", row.reason) for row in rows if not row.ok)
    table.add_row("ok", f"{len(good):,} of {len(rows):,} files")
    for reason, count in reasons.most_common():
        table.add_row("bad", f"{count:,}: {reason}", style="red")
    if not good:
        return table
    total = sum(row.duration for row in good)
    table.add_row("length", f"{log.duration(total)} in all; {spread(good, 'duration', ' s')}")
    table.add_row("frames", f"{sum(r.frames for r in good):,} in all; {spread(good, 'frames', '')}")
    table.add_row("size", log.size(sum(row.size for row in good)))
    table.add_row("codec", common(row.codec for row in good))
    table.add_row("rate", common(f"{row.fps:.5g} fps" for row in good))
    table.add_row("short side", common(f"{min(row.width, row.height)} px" for row in good))
    if any(row.rotation for row in good):
        table.add_row("rotated", common(f"{row.rotation} degrees" for row in good if row.rotation))
    return table


def spread(rows: Sequence[Row], field: str, unit: str) -> str:
    """Return a range such as '1.2 s to 10 s, median 9.8 s'."""
    values = [getattr(row, field) for row in rows]
    low, high, middle = (f"{v:.4g}{unit}" for v in (min(values), max(values), median(values)))
    return f"{low} each" if low == high else f"{low} to {high}, median {middle}"


def common(values: Iterable[str], shown: int = 4) -> str:
    """Return the most common values with their counts, such as 'h264 (1,200), vp9 (30)'."""
    counts = [f"{value} ({count:,})" for value, count in Counter(values).most_common()]
    return ", ".join(first(counts, shown))


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.scan", __doc__)
    parser.add_argument(
        "root", metavar="FOLDER", type=Path, help="folder of the videos, at any depth"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="the manifest, .jsonl or .csv")
    parser.add_argument("--decode", action="store_true", help="decode all frames (slow)")
    parser.add_argument("--sha256", action="store_true", help="hash the files, to find duplicates")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core)")
    parser.add_argument(
        "--timeout", type=float, default=600, help="maximum seconds per file (%(default)s)"
    )
    args = parser.parse_args(argv)
    options = {k: v for k, v in vars(args).items() if k not in ("root", "out")}

    def show():
        rows = scan(args.root, args.out, **options)
        Console(highlight=False).print(summary(list(rows.values())))

    return cli.guard(show)


if __name__ == "__main__":
    sys.exit(main())
