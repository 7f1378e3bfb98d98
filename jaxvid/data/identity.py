"""The identity of a split: a hash of its videos and labels that does not depend on their folder."""

import hashlib
import os
from typing import Any

import numpy as np

from jaxvid.data.annotations.labels import MultiLabels
from jaxvid.data.sample import Source


def identity(source: Source, root: str = "") -> dict[str, Any]:
    """Return the identity of a split, which checkpoints store.

    Args:
      root: folder of the data; paths below it are made relative to it.

    Returns:
      {"videos": number of videos, "order": hash of the ids and labels in order, "set": hash of the
      ids and labels in any order}. Hashes have 12 hex digits.
    """
    base = os.path.join(os.path.abspath(os.path.expanduser(root)), "") if root else ""
    rows = [
        f"{_below(source.id(i), base)}\n".encode() + label
        for i, label in enumerate(_label_bytes(source.labels))
    ]
    return {"videos": len(rows), "order": _digest(rows), "set": _digest(sorted(rows))}


def _below(name: str, base: str) -> str:
    path = os.path.abspath(name) if base else name
    return path.removeprefix(base) if base and path.startswith(base) else name


def _label_bytes(labels: Any) -> list[bytes]:
    """Return the label of each row as bytes."""
    if isinstance(labels, MultiLabels):
        starts = [0, *labels.ends[:-1]]
        spans = zip(starts, labels.ends, strict=True)
        return [np.asarray(labels.values[a:b], np.int64).tobytes() for a, b in spans]
    return [np.ascontiguousarray(label).astype(np.int64).tobytes() for label in labels]


def _digest(rows: list[bytes]) -> str:
    content = hashlib.sha256()
    for row in rows:
        content.update(len(row).to_bytes(4, "little") + row)
    return content.hexdigest()[:12]
