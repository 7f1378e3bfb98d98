"""Writers of the numbers and pictures of a run: a module for each kind (`config.writers`)."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxvid import plug
from jaxvid.errors import UserError

DEFAULT = ("jsonl", "tensorboard")


class Writer(Protocol):
    """Interface of a writer, which `build(workdir, step)` of each module returns.

    `step` is the step that the run continues from. Entries of later steps belong to lost work and
    are removed. With None, entries are only added.
    """

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write values by name, such as "train/loss". Names without a slash describe the entry."""
        ...

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (h, w, 3)."""
        ...

    def close(self) -> None: ...


def check(names: Sequence[str]):
    """Raise a UserError if a name is not a writer, or its package is not installed."""
    for name in names:
        module = plug.module("writers", name)
        if hasattr(module, "PACKAGE"):
            package(module.PACKAGE)


def build(names: Sequence[str], workdir: Path, step: int | None) -> list[Writer]:
    """Return the writers with these names."""
    check(names)
    return [plug.module("writers", name).build(workdir, step) for name in names]


def package(name: str) -> Any:
    """Return the module of an optional package.

    Raises:
      UserError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'config.writers has "{name}", which cannot be imported ({error}):'
            f" pip install 'jaxvid[{name}]'"
        ) from None
