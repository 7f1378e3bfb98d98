"""Checksums of the files of a checkpoint, which show whether it was damaged after it was saved.

Orbax notices a truncated file, but not a flipped bit in the weights. The checksums are written to a
file, the seal, as soon as a checkpoint is complete. A checkpoint without a seal is accepted,
because the run may have been killed before it was written.
"""

import hashlib
import itertools
import json
import logging
import zlib
from pathlib import Path

from jaxvid.files import write_text

logger = logging.getLogger(__name__)

SEAL = "crc32.json"
BLOCK = 1 << 22


def seal(folder: Path):
    """Write the checksums of a complete checkpoint to its seal."""
    write_text(folder / SEAL, json.dumps(sums(folder)))


def sums(folder: Path) -> dict[str, int]:
    """Return {file name: checksum} of the files of a checkpoint."""
    return {str(path.relative_to(folder)): checksum(path) for path in files(folder)}


def identity(folder: Path) -> str:
    """Return 12 characters that change if any file of a checkpoint changes."""
    try:
        known = json.loads((folder / SEAL).read_text())
    except (FileNotFoundError, ValueError):
        known = sums(folder)
    return hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:12]


def damage(folder: Path) -> str:
    """Return a description of the damage to a checkpoint; "" if it is as it was saved."""
    try:
        sums = json.loads((folder / SEAL).read_text())
    except FileNotFoundError:
        return ""
    except ValueError:
        return f"{SEAL} is damaged"
    for name, want in sums.items():
        try:
            if checksum(folder / name) != want:
                return f"{name} is not as it was written"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return ""


def set_aside(folder: Path):
    """Rename damaged checkpoints, newest first, until one is intact, from which a run continues.

    Args:
      folder: WORKDIR/checkpoints.
    """
    steps = sorted((d for d in folder.glob("*") if d.name.isdigit()), reverse=True)
    for step, older in itertools.zip_longest(steps, steps[1:]):
        why = damage(step)
        if not why:
            return
        aside = step.with_name(f"{step.name}.damaged")
        for i in range(1, 100):
            if not aside.exists():
                break
            aside = step.with_name(f"{step.name}.damaged{i}")
        step.rename(aside)
        then = f"going back to step {int(older.name)}" if older else "there is none before"
        logger.info(f"{step} is damaged: {why}; it is {aside.name} now, {then}")


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(SEAL))


def checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total = zlib.crc32(block, total)
    return total
