"""What commands share: flags, and errors that are one line instead of a traceback."""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxvid.config import plain
from jaxvid.errors import UserError, did_you_mean


def run(main: Callable[[], object]) -> int:
    """Parse `sys.argv` as absl flags and call `main()`; --help says what there is.

    Returns:
      The exit code: 0; 1 after a UserError; 2 for flags that do not parse; 130 after Ctrl-C.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(sys.modules["__main__"].__doc__, flags.FLAGS.main_module_help(), sep="")
        return 0
    try:
        rest = flags.FLAGS(sys.argv)[1:]
        if rest:
            raise UserError(f'unexpected argument "{rest[0]}"; flags look like --name=value')
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        return complain(explain(error), 2)
    return guard(main)


def guard(main: Callable[[], object]) -> int:
    """Call `main()`; what the user can mend is printed as one line."""
    show = sys.excepthook

    def quiet(kind, error, trace):
        # TensorStore prints one for each write that a failed save abandons; the save raises why.
        if str(error) != "Event loop is closed":
            show(kind, error, trace)

    sys.excepthook = quiet
    try:
        main()
    except UserError as error:
        return complain(str(error), 1)
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return 130
    return 0


def complain(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def define_config() -> flags.FlagHolder:
    return config_flags.DEFINE_config_file("config", None, "Config file, FILE or FILE:VARIANT.")


def config_file() -> str | None:
    """What --config names, FILE or FILE:VARIANT.

    Raises:
      UserError: there is no such file.
    """
    if flags.FLAGS["config"].present == 0:
        return None
    name = config_flags.get_config_filename(flags.FLAGS["config"])
    path = Path(name.split(":")[0])
    if not path.is_file():
        known = [p.stem for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UserError(f"--config={path}: no such file.{did_you_mean(path.stem, known)}")
    return name


def config(holder: flags.FlagHolder) -> ConfigDict:
    """The config with its overrides.

    Raises:
      UserError: --config is missing or names no file.
    """
    if config_file() is None:
        raise UserError("--config=FILE is needed; configs/README.md lists those there are")
    return holder.value


def explain(error: Exception) -> str:
    """Why flags did not parse, with the nearest name of a key that the config does not have."""
    overrides = [a.removeprefix("--config.") for a in sys.argv if a.startswith("--config.")]
    if isinstance(error, KeyError | AttributeError | TypeError) and overrides:
        config = load_config()
        for override in overrides:
            tree, key = config, override.split("=")[0]
            for part in key.split("."):
                if not isinstance(tree, dict):
                    return f'config key "{key}": "{part}" goes deeper than the config does'
                if part not in tree:
                    return f'no config key "{key}".{did_you_mean(part, tree)}'
                tree = tree[part]
    return " ".join(str(error).split())


def load_config() -> dict:
    """The config that `sys.argv` names, without the overrides."""
    joined = " ".join(sys.argv)
    path, _, variant = re.search(r"--config[= ](\S+)", joined)[1].partition(":")  # type: ignore[index]
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return plain(module.get_config(variant) if variant else module.get_config())
