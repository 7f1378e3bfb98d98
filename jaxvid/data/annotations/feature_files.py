"""Files of features, one a video: a row of channels every so often, made by a trained backbone.

| ending | what                                                                              |
|--------|-----------------------------------------------------------------------------------|
| .csv   | a line a row, after one of names, as ActivityNet's published features have        |
| .npy   | an array (t, c)                                                                   |
| .npz   | `feature` (t, c), and `about`: how it was made, which training checks (`Made`)    |

Shapes: t rows, c channels.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.annotations.entries import POSITIVE, Entry, entry, is_numeric
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.video_files import numpy_reason
from jaxvid.errors import UserError
from jaxvid.files import replacing

ENDINGS = (".csv", ".npy", ".npz")


@dataclass(frozen=True)
class Made:
    """How features were made; features made in another way tell a model nothing.

    Attributes:
      backbone: the weights, as `jaxvid.load` takes them.
      frames, stride: of the clip behind a row; the frames of a clip lie `stride` apart.
      every: frames from the middle of a clip to that of the next.
      fps: the constant rate at which `stride` and `every` count: a row is every / fps seconds.
      channels: of a row.
      weights: what tells the weights from others, see `resolve.identity`. The same weights may lie
        at another place, so `backbone` counts where this is not known.

    A value that is 0 or empty is not known, and differs from none.
    """

    backbone: str
    frames: int
    stride: int
    every: int
    fps: float
    channels: int
    weights: str = ""

    def seconds(self, rows: int) -> float:
        """What so many rows cover."""
        return rows * self.every / self.fps

    def differences(self, other: "Made") -> str:
        """'every 8 and 16'; empty where both are the same."""
        return ", ".join(f"{k} {a} and {b}" for k, a, b in differing(asdict(self), asdict(other)))


def differing(one: Mapping, other: Mapping) -> list[tuple[str, str, str]]:
    """Each field of `Made` by which two differ, as its name and both values."""
    keys = [key for key in one if one[key] and other.get(key) and one[key] != other[key]]
    if one.get("weights") and other.get("weights"):
        keys = [key for key in keys if key != "backbone"]

    def value(made: Mapping, key: str) -> str:
        return f"{made[key]} ({made['backbone']})" if key == "weights" else str(made[key])

    return [(key, value(one, key), value(other, key)) for key in keys]


def write(path: Path, feature: np.ndarray, made: Made, **about: Any):
    """Write an .npz; it appears when complete.

    Args:
      about: what else to store of how it was made, as JSON can hold it.
    """
    record = json.dumps({**asdict(made), **about})
    with replacing(path) as part:
        np.savez(part, feature=feature.astype(np.float32), about=record)


def read(path: str | Path) -> tuple[np.ndarray, Made | None]:
    """`feature` float32 (t, c), and how it was made, where the file knows.

    Raises:
      VideoError: the file cannot be read, or holds something else.
    """
    path, made = Path(path), None
    with readable(path):
        if path.suffix == ".csv":
            text: Any = dict(delimiter=",", encoding="utf-8-sig", ndmin=2)
            feature = np.loadtxt(path, np.float32, skiprows=_header(path), **text)
        elif path.suffix in (".npy", ".npz"):
            found = np.load(path, allow_pickle=False)
            feature = found if isinstance(found, np.ndarray) else found["feature"]
            made = None if isinstance(found, np.ndarray) else _made(found)
        else:
            raise VideoError(str(path), "features are in .csv, .npy or .npz files")
        feature = Entry({"feature": feature}, "it").array("feature", "(rows, channels)")
    if feature.ndim != 2 or not feature.size:
        reason = f"features are (rows, channels), not {feature.dtype} {feature.shape}"
        raise VideoError(str(path), reason)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        feature = feature.astype(np.float32)
    if len(bad := np.argwhere(~np.isfinite(feature))):
        (row, channel), value = bad[0], feature[tuple(bad[0])]
        reason = f"row {row}, channel {channel} is {value}: features are finite numbers"
        raise VideoError(str(path), reason)
    if made and made.channels != feature.shape[1]:
        reason = f"it has {feature.shape[1]} channels, but says that it has {made.channels}"
        raise VideoError(str(path), reason)
    return feature, made


def read_made(path: str | Path) -> tuple[Made | None, int]:
    """How the features of an .npz were made, and how many rows there are; they are not read.

    Raises:
      VideoError: the file cannot be read.
    """
    with readable(path), np.load(path, allow_pickle=False) as found:
        with found.zip.open("feature.npy") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
        if len(shape) != 2:
            raise VideoError(str(path), f"features are (rows, channels), not {shape}")
        return _made(found), shape[0]


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Turns what goes wrong when a file of features is read into a VideoError."""
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
    """All that an .npz says of how it was made; empty where it says nothing.

    Raises:
      VideoError: the file cannot be read.
    """
    with readable(path), np.load(path, allow_pickle=False) as found:
        return json.loads(str(found["about"])) if "about" in found else {}


def check(path: str | Path, made: Made):
    """A UserError where a file knows that its features were made in another way than `made`."""
    own = read_made(path)[0] if Path(path).suffix == ".npz" else None
    if own and (differences := own.differences(made)):
        raise UserError(f"{path}: made in another way than in training: {differences}")


def _made(found: Any) -> Made | None:
    if "about" not in found:
        return None
    about = entry(json.loads(str(found["about"])), '"about"')
    for key in ("backbone", "weights"):  # empty where it is not known
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


def _header(path: Path) -> int:
    """How many lines of a csv come before its rows: 1 where the first one holds names.

    Names are also numbers that count the channels from 0, as data frames have them. An index
    column, which data frames write before the channels, has no name.
    """
    with path.open(encoding="utf-8-sig") as file:
        cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    if len(cells) > 1 and not cells[0] and all(cells[1:]):
        raise ValueError("the first column has no name: is it an index? Write the file without it")
    counted = len(cells) > 1 and cells == [str(channel) for channel in range(len(cells))]
    numeric = [*map(is_numeric, cells)]
    if any(numeric) and not all(numeric):
        raise ValueError(f'the first line has "{cells[numeric.index(False)]}" beside numbers')
    return int(counted or not any(numeric))
