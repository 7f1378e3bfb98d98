"""Files and the machine: files that appear whole, locks that end with their process, the cache
folder, cores, and records of the settings and the input files that something was made from.

Locks are `flock` on a file that stays open. The system drops such a lock when its process dies,
however it dies, and NFS clients on Linux pass it on to the server, so it holds between hosts, too.
(The library `filelock` does the same, but does not say who holds a lock.)
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from jaxvid.errors import UserError, problems

logger = logging.getLogger(__name__)

FIXES = {
    errno.ENOSPC: "make room there, or name a place on another disk",
    errno.EDQUOT: "make room there, or name a place on another disk",
    errno.EEXIST: "a file is in the way of this folder; name another place",
    errno.ENOTDIR: "a file is in the way of this folder; name another place",
    errno.EISDIR: "this is a folder; name a file",
}
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # never a mistake of the program
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def cache_root() -> Path:
    """Where jaxvid keeps what it can make or fetch again: $JAXVID_CACHE, else ~/.cache/jaxvid."""
    return Path(os.environ.get("JAXVID_CACHE") or Path.home() / ".cache" / "jaxvid")


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def is_bound() -> bool:
    """Return whether this process may use only some of the cores of the machine."""
    return cores() < (os.cpu_count() or 1)


# Writing


@contextlib.contextmanager
def explained(path: str | os.PathLike) -> Iterator[None]:
    """Turn an OSError of writing to `path` into a UserError that names the path and the fix."""
    try:
        yield
    except BrokenPipeError:  # of the terminal
        raise
    except OSError as error:
        raise UserError(explain(error, path)) from error


def explain(error: OSError, path: str | os.PathLike) -> str:
    """A line on what kept `path` from being written, and the fix."""
    denied = "name a place where you may write" if error.errno in DENIED else ""
    fix = FIXES.get(error.errno or 0, denied)
    reason = f"{path}: cannot write there ({error.strerror or error})"
    return f"{reason}; {fix}" if fix else reason


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` when the block ends without an error.

    It lies in the same folder, is hidden and has the same ending. After an error nothing is left.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str):
    """Write a whole text file at once, in place of what is there."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def probe(folder: Path) -> bool:
    """Check before long work that `folder` can be written to, or made. Nothing of it stays.

    Returns:
      Whether the file system takes names for the same that differ in capitals only.

    Raises:
      UserError: it is a file, or lies where nothing can be written, or on a full disk.
    """
    with explained(folder):
        there = folder.absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with tempfile.NamedTemporaryFile(prefix=".jaxvid-", dir=there) as file:
            file.write(b"\0")
            file.flush()
            name = Path(file.name)
            return name.with_name(name.name.upper()).exists()


def probe_file(path: str | os.PathLike | None, inputs: Iterable[str | os.PathLike] = ()):
    """Check before long work that the file `path` can be written; None is of no file.

    Args:
      inputs: files that the work reads, and that it must not replace.

    Raises:
      UserError: it is a folder or an input, lies in no folder, or where nothing can be written.
    """
    if path is None:
        return
    path = Path(path)
    if any(os.path.exists(file) and path.exists() and path.samefile(file) for file in inputs):
        raise UserError(f"{path}: this is an input; write to another file")
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    probe(path.parent)


# Locks


@contextlib.contextmanager
def locked(path: Path, what: Path, *, fix: str = "") -> Iterator[bool]:
    """Hold the lock file `path`, in a folder that exists, for this process alone.

    Args:
      what: the file or folder that it protects.
      fix: what to do where another process holds it, which then is an error; without it this
        process waits.

    Yields:
      Whether there is a lock: some network file systems have none.

    Raises:
      UserError: another process holds it; names host, process and when it began.
    """
    with explained(path):
        file = path.open("a+", encoding="utf-8")
    with file:
        held = _lock(file, fcntl.LOCK_NB)
        if held is False:
            owner = f"{what} is in use by {_owner(path)}"
            if fix:
                raise UserError(f"{owner}; {fix}")
            logger.info(f"waiting: {owner}")
            held = _lock(file, 0)
        if held:
            began = time.strftime("%Y-%m-%d %H:%M:%S")
            with explained(path):
                file.truncate(0)
                json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": began}, file)
                file.flush()
        try:
            yield bool(held)
        finally:
            if held:  # also for a process that was just started and still shares the file
                fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def hold(folder: Path, *, fix: str, name: str = ".lock") -> Iterator[None]:
    """Keep other processes from working in a folder, which is made, while the block runs.

    Args:
      fix: what else to do where another process works there.
      name: of the lock file in the folder.

    Raises:
      UserError: another process works there, named by host and number, or nothing can be written.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    probe(folder)
    with locked(folder / name, folder, fix=fix) as held:
        if not held:
            logger.warning(f"{folder}: no locks on this file system; let nothing else write there")
        yield


def _lock(file: IO, flags: int) -> bool | None:
    """Whether the lock was free; None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except (BlockingIOError, PermissionError):  # which of them depends on the file system
        return False
    except OSError:
        return None
    return True


def _owner(path: Path) -> str:
    """Who holds a lock, as far as its file says."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not written that yet
        return "another process"


# Records


def differences(there: Mapping, now: Mapping) -> list[str]:
    """Return a line for each setting that differs; one that is missing counts as None."""
    pairs = ((key, there.get(key), now.get(key)) for key in {**now, **there})
    return [f"{key}: {old} there, {new} now" for key, old, new in pairs if old != new]


def claim(
    path: Path,
    settings: Mapping,
    fix: str = "write to another folder",
    compare: Callable[[Mapping, Mapping], Sequence[str]] = differences,
):
    """Write the settings of a folder to `path`, or check that those there are the same.

    Args:
      fix: what to do where they are not.
      compare: returns a line for each difference between the settings there and `settings`.

    Raises:
      UserError: the folder holds the work of other settings; lists the differences.
    """
    known = read_settings(path)
    if known is not None and (lines := compare(known, settings)):
        raise problems(f"{path}: other settings; {fix}:", lines)
    if known == settings:
        return
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(settings, indent=2) + "\n")


def read_settings(path: Path) -> dict | None:
    """What `claim` wrote; None where there is no such file.

    Raises:
      UserError: it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read these settings ({error}); remove it") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: these are no settings; remove it")
    return found


def describe(source: Path) -> dict:
    """What tells an input file from another, or from its own later content."""
    about = source.stat()
    size, modified = about.st_size, about.st_mtime_ns
    return {"source": os.path.abspath(source), "size": size, "modified": modified}


def is_fresh(output: Path, source: Path, known: Mapping | None) -> bool:
    """Whether `output` is there and was made from `source` as it is now.

    Args:
      known: what `describe` said of its source; None where nobody noted it. Then an output counts
        that is younger than the source.

    Raises:
      UserError: it was made from another file; names both.
    """
    if not output.exists():
        return False
    now = describe(source)
    if not known:
        return output.stat().st_mtime_ns >= now["modified"]
    if any(known.get(key) != now[key] for key in ("size", "modified")):
        if known.get("source") != now["source"] and os.path.exists(str(known.get("source"))):
            raise UserError(
                f"{output}: made from {known.get('source')}, not from {source}; write to another"
                " folder"
            )
        return False
    return True


class Record:
    """What each output of a folder was made from: a file of lines beside the outputs.

    Args:
      path: the file. A last line that a killed process left unfinished does not count.
    """

    def __init__(self, path: Path):
        self._path, self._known = path, {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for number, line in enumerate(text.split("\n")[:-1], 1):
            try:
                known = json.loads(line)
                self._known[known["output"]] = known
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{path}:{number}: not a line of this record; remove it") from None
        if text and not text.endswith("\n"):
            write_text(path, text[: text.rfind("\n") + 1])

    def is_fresh(self, output: Path, source: Path) -> bool:
        """Whether `output` is there and was made from `source` as it is now, see above."""
        return is_fresh(output, source, self._known.get(self._name(output)))

    def add(self, output: Path, known: Mapping):
        """Note what an output was made from, as `describe` said before it was made."""
        line = {"output": self._name(output), **known}
        self._known[line["output"]] = line
        with explained(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _name(self, output: Path) -> str:
        return output.relative_to(self._path.parent).as_posix()


def outputs(
    root: Path,
    target: Path,
    sources: Iterable[Path],
    rename: Callable[[Path], Path] = lambda path: path,
) -> dict[Path, Path]:
    """Return {output: source}: the output of `root/a/b` is `target/a/b`.

    Args:
      root: the folder of the sources, or the only source.
      target: the folder of the outputs, which need not exist.
      rename: maps the path of an output below `target` to the one to use instead.

    Raises:
      UserError: `target` is the folder of the sources, lies in it, or cannot be written to. Or an
        output would replace a source or lie among sources, or two sources would share an output.
    """
    base = root if root.is_dir() else root.parent
    real, inputs = base.resolve(), set()
    folder = target.resolve()
    if folder == real or (root.is_dir() and folder.is_relative_to(real)):
        raise UserError(f"{target}: write to another folder than that of the originals")
    ignore_case = probe(target)
    found: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for source in sources:
        below = source.relative_to(base)
        path = target / rename(below)
        other = taken.setdefault(str(path).casefold() if ignore_case else str(path), source)
        if other != source:
            raise UserError(f"{other} and {source} would both be written to {path}; rename one")
        found[path] = source
        inputs |= {real / below, *(real / below).parents}
    for path in found:
        if folder / path.relative_to(target) in inputs:
            raise UserError(
                f"{path}: this would be written among the originals; write to another folder"
            )
    return found
