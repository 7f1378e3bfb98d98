"""Cache folders: they are filled once and then shared by all processes and runs."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from jaxvid import files, provenance
from jaxvid.errors import UserError

VERSION = "version.json"  # in a folder that `make_version` filled: the settings of its content


def make_once(
    folder: Path, make: Callable[[Path], object], ready: Callable[[], bool] | None = None
) -> Path:
    """Fill `folder` with `make` unless it is ready, and return it.

    The folder appears atomically and complete. So a killed run leaves nothing behind, and several
    processes can call this function at the same time.

    Args:
      folder: path of the folder. It must not exist or be empty, unless it is ready.
      make: function that fills a new folder, whose path is its argument.
      ready: function that returns whether `folder` is complete. By default, it is if it exists.
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
        inner = Path(spare, folder.name)  # other users cannot read a folder of mkdtemp itself
        try:
            inner.mkdir()
            make(inner)
            inner.rename(folder)
        except OSError:
            # Without locks, another process may have made the folder in the meantime.
            if not ready():
                raise
        finally:
            shutil.rmtree(spare, ignore_errors=True)
    return folder


def make_version(folder: Path, make: Callable[[Path], object], version: Mapping) -> Path:
    """Fill a folder that the user chose, like `make_once`, and store and compare its settings.

    Args:
      version: all settings that determine the content.

    Raises:
      UserError: the folder has another content, or cannot be created.
    """

    def fill(new: Path):
        make(new)
        provenance.claim(new / VERSION, version)

    def ready() -> bool:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return False
        if not (folder / VERSION).exists():
            raise UserError(f"{folder} contains other files; choose another folder")
        provenance.claim(folder / VERSION, version, "choose another folder")
        return True

    with files.explained(folder):
        return make_once(folder, fill, ready)
