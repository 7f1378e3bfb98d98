"""Folders that are made once and shared by all processes and runs."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def default_root() -> Path:
    """Where such folders are kept: $JAXVID_CACHE, else ~/.cache/jaxvid."""
    return Path(os.environ.get("JAXVID_CACHE") or Path.home() / ".cache" / "jaxvid")


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
    with _alone(folder) as locked:
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


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """One process at a time; yields False where the file system has no locks."""
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # the system drops it when the process dies
            locked = True
        except OSError:
            locked = False
        yield locked
