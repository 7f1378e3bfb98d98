"""Folders that are made once and shared by all processes and runs."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from jaxvid import files
from jaxvid.errors import UserError

VERSION = "version.json"  # in a folder that `make_version` made: what it holds


def make_once(
    folder: Path, make: Callable[[Path], object], ready: Callable[[], bool] | None = None
) -> Path:
    """`folder`, which `make` fills unless it is there.

    It appears at once and complete, so a killed run leaves none and several processes may ask for
    it together.

    Args:
      folder: must not exist or be empty, unless it is ready.
      make: gets the path of a new folder, and fills it.
      ready: whether `folder` is complete; by default, when it exists.
    """
    ready = ready or folder.exists
    if ready():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(folder.with_name(f".{folder.name}.lock"), folder) as locked:
        if ready():
            return folder
        if locked:
            for leftover in folder.parent.glob(f".{folder.name}.*.part"):
                shutil.rmtree(leftover, ignore_errors=True)
        spare = tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent)
        inner = Path(spare, folder.name)  # mkdtemp's own is closed to other users
        try:
            inner.mkdir()
            make(inner)
            inner.rename(folder)
        except OSError:
            # Without locks another process may have been quicker.
            if not ready():
                raise
        finally:
            shutil.rmtree(spare, ignore_errors=True)
    return folder


def make_version(folder: Path, make: Callable[[Path], object], version: Mapping) -> Path:
    """`make_once` for a folder that a user named: it also notes and compares what it holds.

    Args:
      version: all that decides the content.

    Raises:
      UserError: the folder holds something else, or cannot be made.
    """

    def fill(new: Path):
        make(new)
        files.claim(new / VERSION, version)

    def ready() -> bool:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return False
        if not (folder / VERSION).exists():
            raise UserError(f"{folder} holds other files; name another folder")
        files.claim(folder / VERSION, version, "name another folder")
        return True

    with files.explained(folder):
        return make_once(folder, fill, ready)
