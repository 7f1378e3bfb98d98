"""Checks of the feature files of a split before a run: settings, width, length and age."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from glob import escape
from pathlib import Path

import numpy as np

from jaxvid import errors
from jaxvid.data.annotations.feature_files import ENDINGS, Header, Made, read_header
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.log import warn_once
from jaxvid.provenance import describe

logger = logging.getLogger(__name__)


def inspect_features(
    paths: tuple[str, ...], durations: np.ndarray, origin: Path
) -> tuple[dict, np.ndarray]:
    """Read the settings of the features of a split, and the seconds that they cover.

    Missing files are ignored here, because `source_checks.check_missing` reports them. A warning
    counts the files whose video has changed since the extraction.

    Args:
      paths: the file of each video.
      durations: float64 (n,), seconds of each video according to the annotations.
      origin: file of the annotations, for messages.

    Returns:
      {"features": settings of the feature extraction}, empty if unknown, and the durations, which
      are those of the features if these are known.

    Raises:
      UserError: settings or widths differ between files, a file cannot be read, or the length of
        features does not fit the video.
    """
    with ThreadPoolExecutor(16) as pool:  # hides the latency of network file systems
        headers = list(pool.map(_header, paths))
    found = {p: h for p, h in zip(paths, headers, strict=True) if isinstance(h, Header)}
    if paths and not any(headers) and (hint := _other_name(paths[0])):
        raise UserError(f"{origin}: no video has features, such as {paths[0]}; {hint}")
    problems = [str(header) for header in headers if isinstance(header, VideoError)]
    problems += _differences(found)
    durations = durations.copy()
    for row, (path, header) in enumerate(zip(paths, headers, strict=True)):
        if not isinstance(header, Header) or not header.made:
            continue
        seconds, step = header.made.seconds(header.rows), header.made.every / header.made.fps
        if abs(seconds - durations[row]) > max(1, 0.05 * durations[row], step):
            problems.append(
                f"{path}: features of {seconds:.1f} s, but {origin} says that the video has"
                f" {durations[row]:.1f} s"
            )
        durations[row] = seconds
    if problems:
        raise errors.problems("the features have problems:", problems)
    _warn_of_old(found)
    made = next((header.made for header in found.values() if header.made), None)
    return {"features": asdict(made)} if made else {}, durations


def width(paths: Sequence[str]) -> int:
    """Return the number of channels of the first file that exists; 0 if none does."""
    headers = (_header(path) for path in paths)
    return next((header.channels for header in headers if isinstance(header, Header)), 0)


def _header(path: str) -> Header | VideoError | None:
    """Return the header of a file, the reason why it has none, or None if it is not there.

    Files with other endings than those of features, such as videos, have none.
    """
    known = os.path.splitext(path)[1] in ENDINGS and os.path.exists(path)
    try:
        return read_header(path) if known else None
    except VideoError as error:
        return error


def _other_name(path: str) -> str:
    """Return how a file with a longer name, or with another ending, can be used instead."""
    file = Path(path)
    for other in sorted(file.parent.glob(f"*{escape(file.stem)}.*")):
        if other.suffix in ENDINGS:
            options = {"prefix": other.stem.removesuffix(file.stem), "suffix": other.suffix}
            shown = " and ".join(f'{key}="{value}"' for key, value in options.items() if value)
            return f"there is {other}: set {shown} in config.data"
    return ""


def _differences(found: Mapping[str, Header]) -> Iterator[str]:
    """Yield a line for each file whose settings or width differ from those of the first."""
    first: tuple[str, Made] | None = None
    widths = {path: header.channels for path, header in found.items()}
    for path, header in found.items():
        if header.made:
            first = first or (path, header.made)
            if differences := header.made.differences(first[1]):
                yield f"{path}: extracted in another way than {first[0]}: {differences}"
                continue
        one, channels = next(iter(widths.items()))
        if header.channels != channels:
            yield (
                f"{path}: {header.channels} channels, but {one} has {channels}: features of"
                " another model?"
            )


def _warn_of_old(found: Mapping[str, Header]) -> None:
    """Warn about files whose video has changed since the features were extracted."""
    old = []
    for path, header in found.items():
        source = str((header.made_from or {}).get("source", ""))
        if header.made_from and os.path.exists(source):
            now = describe(Path(source))
            if any(header.made_from.get(key) != now[key] for key in ("size", "modified")):
                old.append((path, source))
    if old:
        path, source = old[0]
        warn_once(
            logger,
            f"{len(old):,} files of features are from videos that have changed since, such as"
            f" {path} from {source}; run extract_features again",
        )
