"""Files of features, one a video: a row of channels every so often, made by a trained backbone.

| ending | what                                                                              |
|--------|-----------------------------------------------------------------------------------|
| .csv   | a line of names, then one a row, as ActivityNet's published features come         |
| .npy   | an array (t, c)                                                                   |
| .npz   | `feature` (t, c), and `about`: how it was made, which training checks (`Made`)    |

Shapes: t rows, c channels.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.decode import VideoError
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
      weights: what tells the weights from others, see `weights.identity`. The same weights may lie
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
    told = json.dumps({**asdict(made), **about})
    with replacing(path) as part:
        np.savez(part, feature=feature.astype(np.float32), about=told)


def read(path: str | Path) -> tuple[np.ndarray, Made | None]:
    """`feature` float32 (t, c), and how it was made, where the file knows.

    Raises:
      VideoError: the file cannot be read, or holds something else.
    """
    path, made = Path(path), None
    try:
        if path.suffix == ".csv":
            feature = np.loadtxt(path, np.float32, delimiter=",", skiprows=1, ndmin=2)
        elif path.suffix in (".npy", ".npz"):
            found = np.load(path, allow_pickle=False)
            feature = found if isinstance(found, np.ndarray) else found["feature"]
            made = None if isinstance(found, np.ndarray) else _made(found)
        else:
            raise VideoError(str(path), "features are in .csv, .npy or .npz files")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise VideoError(str(path), f"not a file of features ({_line(error)})") from None
    if feature.ndim != 2 or not feature.size or not np.isfinite(feature).all():
        reason = f"features are finite and (rows, channels), not {feature.dtype} {feature.shape}"
        raise VideoError(str(path), reason)
    return feature.astype(np.float32), made


def read_made(path: str | Path) -> tuple[Made | None, int]:
    """How the features of an .npz were made, and how many rows there are; they are not read.

    Raises:
      VideoError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as found, found.zip.open("feature.npy") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            return _made(found), shape[0]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise VideoError(str(path), f"not a file of features ({_line(error)})") from None


def read_about(path: str | Path) -> dict:
    """All that an .npz says of how it was made; empty where it says nothing.

    Raises:
      VideoError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            return json.loads(str(found["about"])) if "about" in found else {}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise VideoError(str(path), f"not a file of features ({_line(error)})") from None


def check(path: str | Path, made: Made):
    """A UserError where a file knows that its features were made in another way than `made`."""
    own = read_made(path)[0] if Path(path).suffix == ".npz" else None
    if own and (differences := own.differences(made)):
        raise UserError(f"{path}: made in another way than in training: {differences}")


def _made(found) -> Made | None:
    if "about" not in found:
        return None
    told = json.loads(str(found["about"]))
    return Made(**{field.name: told[field.name] for field in fields(Made) if field.name in told})


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
