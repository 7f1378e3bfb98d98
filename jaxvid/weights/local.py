"""Files of weights on this machine: by path, in a folder, or by name in JAXVID_WEIGHTS_DIR."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxvid.errors import UserError, did_you_mean, first
from jaxvid.weights import zoo
from jaxvid.weights.zoo import SHARED_NAMES, Row

ENDINGS = (".safetensors", ".npz", ".pth", ".pt", ".bin", ".ckpt")
VARIABLE = "JAXVID_WEIGHTS_DIR"


def folder() -> Path | None:
    """Return the folder that JAXVID_WEIGHTS_DIR names, or None if it is not set.

    Raises:
      UserError: it is no folder.
    """
    if not (given := os.environ.get(VARIABLE)):
        return None
    path = Path(given).expanduser()
    if not path.is_dir():
        problem = "this is a file; name its folder" if path.exists() else "no such folder"
        raise UserError(f"{VARIABLE}={given}: {problem}")
    return path


def of_row(row: Row) -> Path | None:
    """Return the file of a row in JAXVID_WEIGHTS_DIR, or None if there is none.

    It has its published name, or the name of the row and any suffix. It can also be the only file
    of weights in a folder of such a name, as a copy of a repository of Hugging Face.

    Raises:
      UserError: JAXVID_WEIGHTS_DIR is no folder, or such a folder has several files of weights.
    """
    if (where := folder()) is None:
        return None
    published = [zoo.file_name(url) for url in (row.url, *row.mirrors)]
    own = [name for name in (row.name, row.default_for) if name]
    paths = [where / name for name in published]
    paths += [path for name in own for path in sorted(where.glob(f"{name}.*"))]
    inside = [where / name for name in (*(Path(name).stem for name in published), *own)]
    paths += [path for path in map(in_folder, inside) if path]
    return next((path for path in paths if path.is_file() and path.suffix != ".part"), None)


def in_folder(path: Path) -> Path | None:
    """Return the file of weights in a folder, or None if there is none.

    Raises:
      UserError: there are several, and none of them has one of `SHARED_NAMES`.
    """
    shared = [path / name for name in SHARED_NAMES if (path / name).is_file()]
    found = shared[:1] or list(_files(path))
    if len(found) > 1:
        names = ", ".join(first([file.name for file in found]))
        raise UserError(f"{path}: several files of weights ({names}); name one of them")
    return found[0] if found else None


def row_of(path: Path) -> Row | None:
    """Return the row that a file is named after, or that its folder is named after if it is alone.

    The folder is that of a copy of a repository.
    """
    if row := zoo.of_file(path):
        return row
    parent = path.absolute().parent
    alone = len(list(_files(parent))) == 1
    return zoo.of_file(parent.with_name(f"{parent.name}{path.suffix}")) if alone else None


def missing(spec: str, path: Path, runs: Iterable[str]) -> UserError:
    """Return the error for a path that does not exist.

    Args:
      spec: the path as the user wrote it.
      path: the same.
      runs: names of the workdirs in its folder.
    """
    if "://" in spec:
        known = [row.name for row in zoo.rows() if spec in (row.url, *row.mirrors)]
        repository = spec.partition("huggingface.co/")[2].strip("/")
        if "/" in repository:
            known += [row.name for row in zoo.rows() if f"huggingface.co/{repository}/" in row.url]
    else:
        known = [row.name for row in zoo.rows() if f"huggingface.co/{spec}/" in row.url]
    if known:
        return UserError(f"{spec}: give the name of these weights, {known[0]}")
    if "://" in spec:
        return UserError(f"{spec}: links are not read; download the file, and give its path")
    beside = [file.name for file in _files(path.parent)][:10] if path.suffix else list(runs)
    beside += [path.stem] if path.stem in zoo.by_name() else []
    hint = did_you_mean(path.name, beside)
    return UserError(f"{spec}: no such workdir, checkpoint or file{hint and '.'}{hint}")


def not_here(row: Row) -> str:
    """Return the names that JAXVID_WEIGHTS_DIR does not have; "" if it is not set."""
    if (where := folder()) is None:
        return f"into a folder that {VARIABLE} names"
    there = first([file.name for file in _files(where)])
    listed = f"; it has {', '.join(there)}" if there else "; it has no files of weights"
    return (
        f"into {VARIABLE}={where} under this name or as {row.name}{Path(row.file).suffix}{listed}"
    )


def _files(path: Path) -> Iterator[Path]:
    """Yield the files of weights in a folder by name; none if it cannot be read."""
    try:
        yield from sorted(file for file in path.iterdir() if file.suffix in ENDINGS)
    except OSError:
        return
