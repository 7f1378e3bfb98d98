"""Where the numbers and pictures of a run go: a file for each kind, chosen by `config.writers`."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxvid import plug
from jaxvid.errors import UserError

DEFAULT = ("jsonl", "tensorboard")


class Writer(Protocol):
    """What `build(workdir, step)` of each module returns.

    `step` is where the run starts: what an earlier start wrote beyond it belongs to lost work. None
    only adds to what is there.
    """

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values by name, such as "train/loss"; names without a slash describe the line."""
        ...

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """A picture, uint8 (h, w, 3)."""
        ...

    def close(self) -> None: ...


def check(names: Sequence[str]):
    """Raises UserError for a name that is no writer, and where a package is missing."""
    for name in names:
        module = plug.module("writers", name)
        if hasattr(module, "PACKAGE"):
            package(module.PACKAGE)


def build(names: Sequence[str], workdir: Path, step: int | None) -> list[Writer]:
    """The writers of these names."""
    check(names)
    return [plug.module("writers", name).build(workdir, step) for name in names]


def package(name: str) -> Any:
    """The module of an optional package.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'config.writers has "{name}", which cannot be imported ({error}):'
            f" pip install 'jaxvid[{name}]'"
        ) from None
