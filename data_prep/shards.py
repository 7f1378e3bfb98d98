"""The shards of a data set: which clips a shard contains, and how it is written.

A shard has a temporary name until it is complete. So a build that was killed can continue with the
missing shards, and several processes or machines can share the work.
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
from jaxvid.data.video.containers import VideoError
from jaxvid.errors import UserError

BYTES = 1 << 29  # approximate size of a shard


@dataclass(frozen=True)
class Shard:
    """One file to write: its path, its clips, and their approximate size in bytes."""

    path: str
    clips: tuple[Clip, ...]
    size: int


@dataclass(frozen=True)
class Split:
    """The clips of a split whose files exist, in the order in which they are stored.

    Attributes:
      clips: the clips.
      sizes: approximate size of each clip in bytes.
      missing: listed paths that do not exist or are empty.
      twice: paths that are listed more than once. Only the first of them is stored.
    """

    clips: tuple[Clip, ...]
    sizes: tuple[int, ...]
    missing: tuple[str, ...]
    twice: tuple[str, ...]

    def cuts(self, limit: int) -> list[tuple[int, int]]:
        """Return (start, end) of each shard: as many clips as fit in `limit` bytes, at least 1."""
        starts, total = [0], 0
        for row, size in enumerate(self.sizes):
            if row > starts[-1] and total + size > limit:
                starts.append(row)
                total = 0
            total += size
        return list(zip(starts, [*starts[1:], len(self.sizes)], strict=True))


def existing(clips: Iterable[Clip], content: Content) -> Split:
    """Return the listed clips whose files exist.

    They are ordered by a hash of their names. The order is random but the same on every machine, so
    that some of the shards are a random sample of the data set.
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
    """Return twelve hexadecimal digits that depend on every clip, label and size."""
    return hashlib.sha256(repr(splits).encode()).hexdigest()[:12]


def contents(splits: dict[str, Split]) -> dict[str, dict]:
    """Return the number and a hash of the clips of each split, independent of their folder."""

    def describe(split: Split) -> dict:
        rows = [
            (c.path, c.labels, n, *([c.annotation] if c.annotation else []))
            for c, n in zip(split.clips, split.sizes, strict=True)
        ]
        digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        return {"clips": len(rows), "sha256": digest[:12]}

    return {name: describe(split) for name, split in splits.items()}


def write(shard: Shard, content: Content, features: Any, multi_label: bool) -> None:
    """Write a shard, unless it exists.

    Raises:
      UserError: a file cannot be read, or the shard cannot be written. The message names the file.
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
        raise UserError(f"{error}; fix this and run the same command again") from error
    finally:
        if os.path.exists(part):
            os.remove(part)


def _read(clip: Clip, content: Content) -> dict[str, Any]:
    try:
        return content.read(clip)
    except OSError as error:
        raise UserError(
            f"{clip.file}: {error.strerror}; fix this and run the same command again"
        ) from error
    except VideoError as error:  # of a file of features
        raise UserError(str(error)) from None
