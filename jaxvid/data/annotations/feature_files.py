"""Files of features of a trained backbone, one file per video.

A row is the feature vector of one clip of the video. Rows are evenly spaced in time.

| extension | content                                                                          |
|-----------|----------------------------------------------------------------------------------|
| .csv      | one row per line, after a header, like the published features of ActivityNet     |
| .npy      | an array (t, c)                                                                  |
| .npz      | `feature` (t, c), and `about`, the settings of the extraction (see `Made`)       |

Shape letters: t rows, c channels.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvid.data.annotations.entries import POSITIVE, Entry, entry, is_numeric
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.video_files import numpy_reason
from jaxvid.errors import UserError
from jaxvid.files import replacing

ENDINGS = (".csv", ".npy", ".npz")


@dataclass(frozen=True)
class Made:
    """Settings of the extraction of features.

    A model can only use features with the settings of its training features. A value that is 0 or
    empty is unknown, and does not count as a difference.

    Attributes:
      backbone: the weights, as `jaxvid.load` accepts them.
      frames: number of frames of the clip of a row.
      stride: distance between neighboring frames of a clip.
      every: distance between the centers of neighboring clips, in frames.
      fps: constant frame rate for `stride` and `every`. A row covers every / fps seconds.
      channels: number of channels of a row.
      weights: hash that identifies the weights, see `resolve.identity`. The same weights can have
        several paths, so `backbone` is only compared if this is unknown.
    """

    backbone: str
    frames: int
    stride: int
    every: int
    fps: float
    channels: int
    weights: str = ""

    def seconds(self, rows: int) -> float:
        """Return the seconds that `rows` rows cover."""
        return rows * self.every / self.fps

    def differences(self, other: "Made") -> str:
        """Return the differences as text, such as 'every 8 and 16'; empty if there are none."""
        return ", ".join(f"{k} {a} and {b}" for k, a, b in differing(asdict(self), asdict(other)))


def differing(one: Mapping, other: Mapping) -> list[tuple[str, str, str]]:
    """Return the fields of `Made` that differ, each as its name and both values."""
    keys = [key for key in one if one[key] and other.get(key) and one[key] != other[key]]
    if one.get("weights") and other.get("weights"):
        keys = [key for key in keys if key != "backbone"]

    def value(made: Mapping, key: str) -> str:
        return f"{made[key]} ({made['backbone']})" if key == "weights" else str(made[key])

    return [(key, value(one, key), value(other, key)) for key in keys]


def write(path: Path, feature: np.ndarray, made: Made, **about: Any):
    """Write features to an .npz, atomically.

    Args:
      path: the file.
      feature: (t, c).
      made: settings of the extraction.
      **about: further facts to store, which JSON can represent.
    """
    record = json.dumps({**asdict(made), **about})
    with replacing(path) as part:
        np.savez(part, feature=feature.astype(np.float32), about=record)


def read(path: str | Path) -> tuple[np.ndarray, Made | None]:
    """Read features float32 (t, c), and the settings of their extraction if the file has them.

    Raises:
      VideoError: the file cannot be read, or is not a file of features.
    """
    path, made = Path(path), None
    with readable(path):
        if path.suffix == ".csv":
            text: Any = dict(delimiter=",", encoding="utf-8-sig", ndmin=2)
            feature = np.loadtxt(path, np.float32, skiprows=_first_line(path)[0], **text)
        elif path.suffix in (".npy", ".npz"):
            found = np.load(path, allow_pickle=False)
            feature = found if isinstance(found, np.ndarray) else found["feature"]
            made = None if isinstance(found, np.ndarray) else _made(found)
        else:
            raise VideoError(str(path), "features are in .csv, .npy or .npz files")
        feature = Entry({"feature": feature}, "it").array("feature", "(rows, channels)")
    if feature.ndim != 2 or not feature.size:
        reason = f"features must be (rows, channels), not {feature.dtype} {feature.shape}"
        raise VideoError(str(path), reason)
    with np.errstate(over="ignore"):  # values that are too large for float32 become infinite
        feature = feature.astype(np.float32)
    if len(bad := np.argwhere(~np.isfinite(feature))):
        (row, channel), value = bad[0], feature[tuple(bad[0])]
        reason = f"row {row}, channel {channel} is {value}: features must be finite numbers"
        raise VideoError(str(path), reason)
    if made and made.channels != feature.shape[1]:
        reason = f"it has {feature.shape[1]} channels, but says that it has {made.channels}"
        raise VideoError(str(path), reason)
    return feature, made


class Header(NamedTuple):
    """Facts that a file of features contains besides the features.

    Attributes:
      made: settings of the extraction; None if unknown.
      rows: number of rows; 0 for a csv, which would have to be read.
      channels: number of channels.
      made_from: properties of the video, see `provenance.describe`; None if unknown.
    """

    made: Made | None
    rows: int
    channels: int
    made_from: Mapping | None = None


def read_header(path: str | Path) -> Header:
    """Read everything but the features from a file.

    Raises:
      VideoError: the file cannot be read.
    """
    path, made, made_from = Path(path), None, None
    with readable(path):
        if path.suffix == ".csv":
            return Header(None, 0, _first_line(path)[1])
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as found:
                with found.zip.open("feature.npy") as file:
                    np.lib.format.read_magic(file)
                    shape, _, _ = np.lib.format.read_array_header_1_0(file)
                made = _made(found)
                if made:
                    made_from = json.loads(str(found["about"])).get("made_from")
        else:
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        if len(shape) != 2:
            raise VideoError(str(path), f"features must be (rows, channels), not {shape}")
        rows, channels = shape
        return Header(made, rows, channels, made_from)


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Convert the errors of reading a file of features to a VideoError."""
    try:
        yield
    except VideoError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        UserError,
    ) as error:
        raise VideoError(str(path), f"not a file of features ({numpy_reason(error)})") from None


def read_about(path: str | Path) -> dict:
    """Read all facts about the extraction that an .npz contains; empty if it has none.

    Raises:
      VideoError: the file cannot be read.
    """
    with readable(path), np.load(path, allow_pickle=False) as found:
        return json.loads(str(found["about"])) if "about" in found else {}


def check(path: str | Path, made: Made):
    """Raise a UserError if the settings or the width of the features in a file are not `made`."""
    header = read_header(path)
    if header.made and (differences := header.made.differences(made)):
        raise UserError(f"{path}: extracted in another way than in training: {differences}")
    check_width(path, header.channels, made.channels)


def check_width(path: str | Path, channels: int, expected: int):
    """Raise a UserError if features have another number of channels than those of training."""
    if expected and channels != expected:
        raise UserError(
            f"{path}: {channels} channels, but the features of training had {expected}: are they of"
            " another model?"
        )


def _made(found: Any) -> Made | None:
    if "about" not in found:
        return None
    about = entry(json.loads(str(found["about"])), '"about"')
    for key in ("backbone", "weights"):  # empty if unknown
        if not isinstance(about.values.get(key, ""), str):
            raise about.wrong(key, "text")
    return Made(
        backbone=about.get("backbone"),
        frames=about.whole("frames", low=0),
        stride=about.whole("stride", low=0),
        every=about.whole("every", "a number of frames above 0", low=1),
        fps=about.number("fps", "frames a second", low=POSITIVE),
        channels=about.whole("channels", "a number of channels above 0", low=1),
        weights=about.values.get("weights", ""),
    )


def _first_line(path: Path) -> tuple[int, int]:
    """Return the number of header lines of a csv, 1 if the first line has names, and of columns.

    Numbers that count the channels from 0 are names, too, because data frames write such headers.
    Data frames can also write an index column before the channels, whose name is empty.
    """
    with path.open(encoding="utf-8-sig") as file:
        cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    if not any(cells):
        raise ValueError("the first line is empty")
    if len(cells) > 1 and not cells[0] and all(cells[1:]):
        raise ValueError(
            "the first column has no name: it looks like an index; write the file without it"
        )
    counted = len(cells) > 1 and cells == [str(channel) for channel in range(len(cells))]
    numeric = [*map(is_numeric, cells)]
    if any(numeric) and not all(numeric):
        raise ValueError(f'the first line has "{cells[numeric.index(False)]}" beside numbers')
    return int(counted or not any(numeric)), len(cells)
