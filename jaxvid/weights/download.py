"""Download of published weights, with a check of their hashes.

JAXVID_WEIGHTS_DIR                   files of the user, see local.py
$JAXVID_CACHE/weights/FILE           downloads (without JAXVID_CACHE: ~/.cache/jaxvid)
$JAXVID_CACHE/weights/FILE.part      part of a download; FILE.part.json has its source and version
$JAXVID_CACHE/weights/sha256.json    first hash of each file that has no published hash

The library `pooch` is not used, because it restarts an interrupted download from the beginning.
"""

import contextlib
import hashlib
import http.client
import json
import logging
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from jaxvid import files
from jaxvid.errors import UserError
from jaxvid.weights import licences, local
from jaxvid.weights.zoo import Row

logger = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without data
TRIES = 4  # consecutive tries without data
PAUSE = 1.0  # seconds before the second try, doubled for each one after it
CHUNK = 1 << 20  # bytes
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP errors worth another try


class Unavailable(Exception):
    """Raised if the file cannot be downloaded from a link. The message has the reason."""


def fetch(row: Row, folder: str | Path | None = None) -> Path:
    """Return the path of published weights, from JAXVID_WEIGHTS_DIR, the cache or their link.

    An interrupted download continues where it stopped, now or in a later call. If several processes
    fetch the same file, one of them does so and the others wait.

    Args:
      row: row of the zoo.
      folder: folder of downloads, instead of the cache.

    Raises:
      UserError: the link is dead or cannot be reached (the message says which file to put where),
        the file has another hash, or the disk is full.
    """
    folder = Path(folder or files.cache_root() / "weights")
    if found := local.of_row(row):
        return check(found, row, folder)
    target = folder / row.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if target.is_file():
                return check(target, row, folder, record=True)
            download(row, target)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None
    return target


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from None


def is_published(path: Path, row: Row) -> bool:
    """Return whether a file of the user is the published one, by the data in the row."""
    return not row.sha256 or sha256(path).startswith(row.sha256)


def check(path: Path, row: Row, folder: Path | None = None, record: bool = False) -> Path:
    """Check the hash of a file, and return its path.

    Args:
      path: the file.
      row: row of the zoo.
      folder: folder with the recorded hashes of files without a published one; default the cache.
      record: record the hash if there is none for this file.

    Raises:
      UserError: the file has another hash, or cannot be read.
    """
    folder = folder or files.cache_root() / "weights"
    expected = row.sha256 or recorded(folder).get(row.file, "")
    if not expected and not record:
        return path
    found = sha256(path)
    if not found.startswith(expected):
        raise UserError(
            f"{path}: its sha256 begins with {found[:8]}, not with {expected[:8]} as that of"
            f" {row.name}; it is damaged or another file. Remove it, or fetch {row.url} again"
        )
    if not expected:
        write_record(folder, row.file, found)
    return path


def recorded(folder: Path) -> dict[str, str]:
    try:
        return json.loads((folder / "sha256.json").read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'sha256.json'}: {error}; mend or remove it") from None


def write_record(folder: Path, name: str, digest: str):
    path = folder / "sha256.json"
    with locked(path):
        hashes = recorded(folder) | {name: digest}
        files.write_text(path, json.dumps(hashes, indent=1, sort_keys=True) + "\n")


def locked(target: Path) -> AbstractContextManager:
    """Hold the lock of a file, and wait if another process holds it."""
    return files.locked(target.with_name(f".{target.name}.lock"), target)


def download(row: Row, target: Path):
    """Download the file of `row` to `target`, from the first of its links that works."""
    part = Path(f"{target}.part")
    problems = []
    for url in (row.url, *row.mirrors):
        so_far = f" (part is here: {part})" if part.is_file() else ""
        logger.info(f"fetching {row.name} from {url}{so_far}")
        try:
            keep(row, url, part, target)
        except Unavailable as error:
            problems.append(f"{url}: {error}")
            continue
        unverified = "" if row.sha256 else " (unverified: no hash is published)"
        logger.info(f"saved {target}{unverified}")
        if (use := licences.use(row.licence)) != "permissive":
            logger.info(f"the license of {row.name} is {use}: {row.licence}")
        return
    proof = f"its sha256 begins with {row.sha256}" if row.sha256 else "no hash of it is published"
    raise UserError(
        f"cannot fetch {row.name}: {'; '.join(problems)}. Bring the file from elsewhere and put it"
        f" at {target}, or {local.not_here(row)}; {proof}"
    )


def keep(row: Row, url: str, part: Path, target: Path):
    """Fetch `url` into `part`, and rename it to `target` if it has the right hash."""
    expected = row.sha256 or recorded(target.parent).get(row.file, "")
    resumed = resume_point(url, part)[0] > 0
    found = stream(url, part, row.name)
    if resumed and not found.startswith(expected):
        # The part on disk may be wrong.
        forget(part)
        found = stream(url, part, row.name)
    if not found.startswith(expected):
        forget(part)
        why = (
            "it was damaged on the way or replaced there"
            if row.sha256
            else "it is not what was first fetched; if you trust the new one, remove its line from"
            f" {target.parent / 'sha256.json'}"
        )
        raise UserError(
            f"{url}: its sha256 begins with {found[:8]}, not with {expected[:8]}; {why}."
            " Nothing of it was kept"
        )
    if not expected:
        write_record(target.parent, row.file, found)
    part.replace(target)
    forget(part)


def stream(url: str, part: Path, name: str) -> str:
    """Fetch `url` into `part`, with a new try if the connection ends, and return its SHA-256."""
    failures = 0
    while True:
        before = size(part)
        try:
            return attempt(url, part, name)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # the part is longer than the file
                forget(part)
            elif error.code not in PASSING:
                raise Unavailable(reason) from None
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 1 if size(part) > before else failures + 1
        if failures >= TRIES:
            kept = f", {megabytes(size(part))} are kept in {part}" if size(part) else ""
            raise Unavailable(f"{reason}{kept}")
        time.sleep(PAUSE * 2 ** (failures - 1))


def attempt(url: str, part: Path, name: str) -> str:
    """Request the bytes that are missing in `part`. Raises ConnectionError if it ends early."""
    start, version = resume_point(url, part)
    headers = {"User-Agent": "jaxvid"}
    if start:
        # Without If-Range, the end of a new version could be appended to the start of an old one.
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
        if not (reply.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            start = 0
        length = reply.headers.get("Content-Length")
        total = start + int(length) if length else 0
        etag = reply.headers.get("ETag", "")  # a weak one, W/"...", does not work for ranges
        version = etag if etag.startswith('"') else reply.headers.get("Last-Modified", "")
        check_room(part.parent, total - start)
        with on_disk(part):
            note(part).write_text(json.dumps({"url": url, "version": version}))
            file = open(part, "r+b" if start else "w+b")  # noqa: SIM115
        with file, Progress(name, start, total) as progress:
            digest, done = read_start(file, start, part), start
            while chunk := reply.read(CHUNK):
                with on_disk(part):
                    file.write(chunk)
                    file.flush()
                digest.update(chunk)
                done += len(chunk)
                progress(done)
    if done < total:
        raise ConnectionError(f"the connection ended at {done:,} of {total:,} bytes")
    return digest.hexdigest()


def read_start(file: BinaryIO, start: int, part: Path):
    """Return the hash of the first `start` bytes, and leave the position of the file after them."""
    digest = hashlib.sha256()
    with on_disk(part):
        while block := file.read(min(CHUNK, start - file.tell())):
            digest.update(block)
    return digest


def resume_point(url: str, part: Path) -> tuple[int, str]:
    """Return how many bytes of `url` are in `part`, and their version; 0 if this is unknown."""
    try:
        known = json.loads(note(part).read_text())
    except (OSError, ValueError):
        return 0, ""
    usable = known.get("url") == url and known.get("version")
    return (size(part), known["version"]) if usable else (0, "")


def note(part: Path) -> Path:
    return Path(f"{part}.json")


def forget(part: Path):
    part.unlink(missing_ok=True)
    note(part).unlink(missing_ok=True)


def size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def check_room(folder: Path, need: int):
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{folder}: {megabytes(need)} are needed, {megabytes(free)} are free on that disk; make"
            " room or set JAXVID_CACHE to a folder elsewhere"
        )


@contextlib.contextmanager
def on_disk(part: Path) -> Iterator[None]:
    """Turn errors of the disk into a UserError. Errors of the connection are tried again."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{part}: {error.strerror or error}; what has arrived is kept, run again to go on, or"
            " set JAXVID_CACHE to a folder elsewhere"
        ) from None


class Progress:
    """Shows progress as one line on stderr, if it is a terminal."""

    def __init__(self, name: str, start: int, total: int):
        self.name, self.start, self.total = name, start, total
        self.began = self.last = time.monotonic()
        self.shown = sys.stderr.isatty()

    def __call__(self, done: int):
        now = time.monotonic()
        if self.shown and (now - self.last > 0.2 or done == self.total):
            self.last = now
            rate = megabytes((done - self.start) / max(now - self.began, 1e-3))
            of = f" of {megabytes(self.total)} {done / self.total:4.0%}" if self.total else ""
            line = f"\r{self.name}  {megabytes(done)}{of}  {rate}/s\x1b[K"
            print(line, end="", file=sys.stderr, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.shown:
            print(file=sys.stderr)


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"
