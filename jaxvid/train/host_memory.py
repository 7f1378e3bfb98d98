"""Memory of the machine that is available to this process."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def available() -> int:
    """Return the bytes that are free or can be freed, within the limits of all control groups.

    Containers and batch systems such as Slurm set such limits. The kernel kills a process that
    exceeds one.
    """
    bounds = [size for size in (_meminfo(), *_groups()) if size is not None]
    return max(min(bounds, default=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")), 0)


def _meminfo() -> int | None:
    row = _table(PROC / "meminfo").get("MemAvailable:")
    return None if row is None else row * 1024


def _groups() -> Iterator[int]:
    """Yield the bytes that each control group of this process has left, of versions 2 and 1."""
    lines = (_read(PROC / "self/cgroup") or "").splitlines()
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "":
            root, limit, usage = CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root = CGROUPS / "memory"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # In a container, the path may be one of the host. The root is then the group itself.
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(root):
                break
            most, used = _read(folder / limit), _read(folder / usage)
            if most and used and most.strip().isdigit():  # "max" is no limit
                stat = _table(folder / "memory.stat")
                cache = stat.get("total_inactive_file", stat.get("inactive_file", 0))
                yield int(most) - int(used) + cache


def _table(path: Path) -> dict[str, int]:
    """Return {name: number} for the lines `name number` of a file."""
    rows = [line.split() for line in (_read(path) or "").splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
