"""The files of a data set: which clips go into which, and how one is written.

Shards are written one by one, each under another name until it is whole. So a build that was killed
goes on with the shards it lacks, and several processes or machines can share the work.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter

from data_prep.clips import Clip, Content
from jaxvid.errors import UserError

BYTES = 1 << 29  # of a shard, about


@dataclass(frozen=True)
class Shard:
    """One file: where it goes, its clips, and about how many bytes they have."""

    path: str
    clips: tuple[Clip, ...]
    size: int


@dataclass(frozen=True)
class Split:
    """The clips of a split that are there, in the order they are stored in.

    Attributes:
      clips, sizes: sizes in bytes.
      missing: paths that were listed but are not there, or empty.
      twice: paths that were listed more than once; the first one counts.
    """

    clips: tuple[Clip, ...]
    sizes: tuple[int, ...]
    missing: tuple[str, ...]
    twice: tuple[str, ...]

    def cuts(self, limit: int) -> list[tuple[int, int]]:
        """(start, end) of each shard: as many clips as fit in `limit` bytes, at least one."""
        starts, total = [0], 0
        for row, size in enumerate(self.sizes):
            if row > starts[-1] and total + size > limit:
                starts.append(row)
                total = 0
            total += size
        return list(zip(starts, [*starts[1:], len(self.sizes)], strict=True))


def existing(clips: Iterable[Clip], content: Content) -> Split:
    """What is there of the listed clips.

    They are ordered by a hash of their names: random, but the same everywhere, so that reading a
    part of the files is reading a fair sample.
    """
    known: dict[str, Clip] = {}
    twice = [clip.path for clip in clips if known.setdefault(clip.path, clip) is not clip]
    listed = sorted(known.values(), key=lambda c: hashlib.sha1(c.path.encode()).digest())
    runs = [listed[start : start + 256] for start in range(0, len(listed), 256)]
    with ThreadPoolExecutor(16) as pool:  # network file systems answer slowly, but many at once
        found = pool.map(lambda run: [content.size(clip) for clip in run], runs)
        sizes = [size for run in found for size in run]
    there = [(clip, size) for clip, size in zip(listed, sizes, strict=True) if size]
    missing = [clip.path for clip, size in zip(listed, sizes, strict=True) if not size]
    kept, sizes = zip(*there, strict=True) if there else ((), ())
    return Split(kept, sizes, tuple(sorted(missing)), tuple(twice))


def digest(splits: dict[str, Split]) -> str:
    """Twelve letters that change when any clip, label or size does."""
    return hashlib.sha256(repr(splits).encode()).hexdigest()[:12]


def contents(splits: dict[str, Split]) -> dict[str, dict]:
    """What a data set is built from, wherever it lies: of each split its clips and their hash."""

    def describe(split: Split) -> dict:
        rows = [(c.path, c.labels, n) for c, n in zip(split.clips, split.sizes, strict=True)]
        digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        return {"clips": len(rows), "sha256": digest[:12]}

    return {name: describe(split) for name, split in splits.items()}


def write(shard: Shard, content: Content, features: Any, multi_label: bool) -> None:
    """Writes a shard unless it is there.

    Raises:
      UserError: a file cannot be read, or the disk is full; names it.
    """
    if os.path.exists(shard.path):
        return
    part = f"{shard.path}.{secrets.token_hex(4)}.part"
    try:
        writer = ArrayRecordWriter(part, content.options)
        for clip in shard.clips:
            label = list(clip.labels) if multi_label else clip.labels[0]
            values = {"id": clip.path, "label": label, **_read(clip, content)}
            writer.write(features.serialize_example(values))
        writer.close()
        os.replace(part, shard.path)
    except RuntimeError as error:  # of the writer
        raise UserError(f"{error}; mend that and run the build again to go on") from error
    finally:
        if os.path.exists(part):
            os.remove(part)


def _read(clip: Clip, content: Content) -> dict[str, Any]:
    try:
        return content.read(clip)
    except OSError as error:
        raise UserError(
            f"{clip.file}: {error.strerror}; mend that and run the build again to go on"
        ) from error
