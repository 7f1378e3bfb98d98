"""An index of the features of videos: a folder that grows while it is made, and stays on the disk.

`features.f32` has a row for each video, float32 (n, f). `videos.jsonl` has a line for each row: the
path of the video, its size, and the time of its last change. A line is written after its row, so an
interrupted run loses one video at most. If a video has changed, a new row replaces its old one,
which stays in the file. `index.json` names the weights that made the features.

Shapes: n videos, f channels.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvid import files, provenance
from jaxvid.errors import UserError

ABOUT, FEATURES, VIDEOS = "index.json", "features.f32", "videos.jsonl"
BLOCK = 65536  # rows that are compared at once


class Video(NamedTuple):
    """A video to add: `about` is the result of `provenance.describe`, `feature` float32 (f,)."""

    path: Path
    about: dict
    feature: np.ndarray


class VideoIndex:
    """The features of videos by one model.

    Args:
      folder: the folder of the index, which need not exist.
      weights: identity of the weights of the model.
      source: name of these weights in messages.

    Raises:
      UserError: `folder` is no index, or an index of other weights.
    """

    def __init__(self, folder: Path, weights: str, source: str):
        self.folder = folder
        if folder.is_file():
            raise UserError(f"{folder}: an index of videos is a folder; delete this file")
        known = provenance.read_settings(folder / ABOUT) or {}
        if known and known.get("weights") != weights:
            raise UserError(
                f"{folder}: an index of other weights ({known.get('weights')} of"
                f" {known.get('source')}), not of {weights} of {source}; delete it, or name another"
                " --index"
            )
        self._about = {"weights": weights, "source": source, "channels": known.get("channels", 0)}
        self._read()

    def _read(self) -> None:
        """Read which rows there are, {path: (row, size and time)}, and their number."""
        path, self._rows, self._count = self.folder / VIDEOS, {}, 0
        if not path.exists() or not self._about["channels"]:
            return
        written = (self.folder / FEATURES).stat().st_size // (4 * self._about["channels"])
        for row, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1][:written]):
            try:
                known = json.loads(line)
                self._rows[known["source"]] = row, (known["size"], known["modified"])
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{path}:{row + 1}: not a line of an index; delete {self.folder}"
                ) from None
            self._count += 1

    def missing(self, videos: Sequence[Path]) -> list[Path]:
        """Return the videos that are not in the index, or have changed since."""
        found = []
        for path in videos:
            about = provenance.describe(path)
            _, stamp = self._rows.get(about["source"], (0, None))
            if stamp != (about["size"], about["modified"]):
                found.append(path)
        return found

    def extend(self, videos: Iterable[Video]) -> None:
        """Add videos, each as soon as it comes.

        Raises:
          UserError: another run extends this index, or the folder cannot be written to.
        """
        with files.hold(self.folder, fix="wait for it, or name another --index", name=".lock"):
            self._read()
            self._trim()
            with (
                files.explained(self.folder),
                (self.folder / FEATURES).open("ab") as rows,
                (self.folder / VIDEOS).open("a", encoding="utf-8") as lines,
            ):
                for video in videos:
                    self._claim(len(video.feature))
                    rows.write(np.ascontiguousarray(video.feature, "<f4").tobytes())
                    rows.flush()
                    lines.write(json.dumps(video.about) + "\n")
                    lines.flush()
                    stamp = video.about["size"], video.about["modified"]
                    self._rows[video.about["source"]] = self._count, stamp
                    self._count += 1

    def _claim(self, channels: int) -> None:
        """Write which weights the features are of, with the first of them."""
        if not self._about["channels"]:
            self._about["channels"] = channels
            files.write_text(self.folder / ABOUT, json.dumps(self._about, indent=2) + "\n")

    def _trim(self) -> None:
        """Remove what an interrupted run has left after the last complete row and line."""
        size = 4 * self._count * self._about["channels"]
        with files.explained(self.folder):
            with (self.folder / FEATURES).open("ab") as rows:
                rows.truncate(size)
            path = self.folder / VIDEOS
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            whole = "".join(line + "\n" for line in text.split("\n")[: self._count])
            if text != whole:
                files.write_text(path, whole)

    def search(self, query: np.ndarray, videos: Sequence[Path]) -> tuple[list[Path], np.ndarray]:
        """Return those of `videos` that the index has, and their products (n,) with a query (f,).

        The features are read in blocks, so that an index can be larger than the memory.
        """
        own = [(path, self._rows.get(os.path.abspath(path))) for path in videos]
        found = [(path, known[0]) for path, known in own if known]
        if not found:
            return [], np.zeros(0, np.float32)
        shape = self._count, self._about["channels"]
        features = np.memmap(self.folder / FEATURES, "<f4", "r", shape=shape)
        blocks = range(0, self._count, BLOCK)
        score = np.concatenate([features[i : i + BLOCK] @ query for i in blocks])
        return [path for path, _ in found], score[[row for _, row in found]]
