"""Two hosts on this machine, namespaces of network and host name with one wire between them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# $0 is the name, $1 the file of names; the rest is the command, which keeps this process's number.
ENTER = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"'


@dataclass(frozen=True)
class Host:
    """A place for processes.

    Attributes:
      enter: words before a command that run it there.
    """

    name: str
    space: str
    enter: Sequence[str]

    def wire(self, state: str):
        """Its end of the wire is "up" or "down"."""
        ip("-n", self.space, "link", "set", "wire", state)


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    """ "hosta" and "hostb", gone afterwards; their file of names is in `folder`."""
    names = folder / "hosts"
    names.write_text("127.0.0.1 localhost\n10.77.0.1 hosta\n10.77.0.2 hostb\n")
    spaces = [f"jaxvid-{end}-{os.getpid()}" for end in "ab"]
    try:
        for space in spaces:
            ip("netns", "add", space)
        ends = ("name", "wire", "netns")
        ip("link", "add", *ends, spaces[0], "type", "veth", "peer", *ends, spaces[1])
        hosts = []
        for i, space in enumerate(spaces):
            ip("-n", space, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "wire")
            ip("-n", space, "link", "set", "lo", "up")
            name = f"host{'ab'[i]}"
            inside = ("ip", "netns", "exec", space, "unshare", "--uts", "--mount")
            hosts.append(Host(name, space, (*inside, "sh", "-c", ENTER, name, str(names))))
            hosts[i].wire("up")
        yield hosts[0], hosts[1]
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


def missing() -> str:
    """Why there can be no such hosts here; empty when there can."""
    if os.geteuid():
        return "only root makes network namespaces"
    if tools := [tool for tool in ("ip", "unshare") if not shutil.which(tool)]:
        return f"{tools[0]} is not installed"
    space = f"jaxvid-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", space], capture_output=True, text=True)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    ip("netns", "del", space)
    return ""


def ip(*words: str):
    subprocess.run(["ip", *words], check=True)
