"""Config files: shipped ones by name, users' own by path, from any working directory."""

import contextlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxvid.errors import UserError, did_you_mean

# The folder beside jaxvid, in a checkout as well as where a wheel is installed.
SHIPPED = Path(__file__).resolve().parents[2] / "configs"


class Shipped(NamedTuple):
    """A row of configs/README.md: the config's name, what it trains, and its variants."""

    name: str
    about: str
    variants: tuple[str, ...]


def shipped() -> list[Shipped]:
    """Return all configs that come with jaxvid; none if they were not installed."""
    path = SHIPPED / "README.md"
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        row = [cell.strip() for cell in line.split("|")]
        if len(row) > 3 and (file := re.fullmatch(r"`(\w+)\.py`", row[1])):
            each = re.findall(r"`([^`]+)`", row[3])
            found.append(Shipped(file[1], row[2], tuple(dict.fromkeys(each))))
    return found


def overview() -> str:
    """Describe `--config` for --help: what it takes, the shipped configs, and overrides."""
    lines = [
        "--config takes the name of a shipped config, or the path of your own file:",
        "  --config quickstart              a shipped config",
        "  --config swin_k400:base          a variant of it",
        "  --config path/to/mine.py:VARIANT a file with get_config() or get_config(variant)",
        "  --config.batch=32                changes a key; python -m jaxvid.tools.show_config",
        "                                   --config NAME --flat lists the keys, and --explain",
        "                                   says what they mean",
        "",
        "Shipped configs:",
    ]
    for name, about, variants in shipped():
        lines.append(f"  {name:22}{about}")
        also = [v for v in variants if v.startswith(",")]  # an ending, which goes with all others
        each = " ".join(v for v in variants if v not in also)
        if each:
            endings = f"; each also with {' '.join(also)}" if also else ""
            lines.append(f"  {'':22}variants: {each}{endings}")
    return "\n".join(lines)


def find(spec: str) -> tuple[Path, str | None]:
    """Return the file and the variant (None without one) that NAME, NAME:VARIANT or FILE names.

    A spec with a folder or an ending is a path. `configs/NAME.py` also finds a shipped config where
    the working directory has no such file.

    Raises:
      UserError: there is no such file or shipped config; suggests the nearest name.
    """
    name, colon, variant = spec.partition(":")
    path = Path(name).expanduser()
    is_path = path.suffix == ".py" or len(path.parts) > 1
    if not path.is_file() or not is_path:
        folder = "" if path.is_absolute() else "/".join(path.parts[:-1])
        own = SHIPPED / f"{path.stem}.py"
        if folder in ("", "configs") and path.stem in {row.name for row in shipped()}:
            path = own
        else:
            raise UserError(f"--config={name}: {_missing(path, is_path)}")
    return path, variant if colon else None


def _missing(path: Path, is_path: bool) -> str:
    if path.is_dir():
        return "this is a folder; name a file"
    if is_path:
        files = path.parent.glob("*.py") if path.parent.is_dir() else ()
        return f"no such file.{did_you_mean(path.stem, [p.stem for p in files])}"
    if path.with_suffix(".py").is_file():
        return f'no shipped config has this name; for the file, write "./{path.name}.py"'
    near = did_you_mean(path.stem, [row.name for row in shipped()])
    return f"no shipped config has this name, and it is no path of a file.{near}"


def load(spec: str) -> ConfigDict:
    """Return the config that `spec` names (see `find`), locked against new keys.

    Raises:
      UserError: no such file or variant, or an error in the file; names file and line.
    """
    path, variant = find(spec)
    with importable(path):
        try:
            loader = importlib.machinery.SourceFileLoader("jaxvid_config", str(path))
            module_spec = importlib.util.spec_from_loader(loader.name, loader)
            module = importlib.util.module_from_spec(module_spec)  # type: ignore[arg-type]
            loader.exec_module(module)
            config = _call(module, path, variant)
        except UserError as error:
            where = _where(error, path)
            if path.parent == SHIPPED or where == str(path):
                raise
            raise UserError(f"{where}: {error}") from error
        except Exception as error:
            raise UserError(f"{_where(error, path)}: {type(error).__name__}: {error}") from error
    if isinstance(config, dict):
        config = ConfigDict(config)
    if not isinstance(config, ConfigDict):
        raise UserError(f"{path}: get_config() returns {type(config).__name__}, not a ConfigDict")
    return config.lock()


def _call(module: ModuleType, path: Path, variant: str | None) -> Any:
    """Return get_config(variant), or get_config() without a variant."""
    get_config = getattr(module, "get_config", None)
    if get_config is None:
        raise UserError(f"{path}: a config file needs a function get_config()")
    if variant is None:
        return get_config()
    if not inspect.signature(get_config).parameters:
        raise UserError(f'{path} has no variants; leave ":{variant}" out')
    return get_config(variant)


def _where(error: Exception, path: Path) -> str:
    """Return FILE:LINE of the config's own line that led to `error`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


@contextlib.contextmanager
def importable(path: Path) -> Iterator[None]:
    """Let `from configs import NAME` work while the file at `path` is executed.

    NAME is looked for in the folder "configs" that holds the file, then in one that Python already
    finds, such as that of the working directory, then among the shipped ones.
    """
    before = _forget()
    other = importlib.util.find_spec("configs")
    holding = [p for p in path.resolve().parents if p.name == "configs"][:1]
    already = other.submodule_search_locations if other else None
    package = ModuleType("configs")
    package.__path__ = list(dict.fromkeys(map(str, [*holding, *(already or ()), SHIPPED])))
    sys.modules["configs"] = package
    try:
        yield
    finally:
        _forget()
        sys.modules.update(before)


def _forget() -> dict[str, ModuleType]:
    """Remove the package `configs` from the loaded modules, and return what was removed."""
    names = [name for name in sys.modules if name.split(".")[0] == "configs"]
    return {name: sys.modules.pop(name) for name in names}
