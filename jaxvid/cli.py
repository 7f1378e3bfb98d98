"""What commands share: flags, and errors that are one line instead of a traceback."""

import functools
import itertools
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from types import NoneType
from typing import Any, get_args

from absl import flags
from ml_collections import ConfigDict, FieldReference, config_flags

from jaxvid import console, signals
from jaxvid.config import flat, loading, options, plain, schema, unknown_key
from jaxvid.errors import UserError

CONFIG_HELP = "NAME of a shipped config or your FILE, with :VARIANT; --config.KEY=VALUE changes it"


def run(main: Callable[[], object], default_config: Callable[[], str | None] = lambda: None) -> int:
    """Parse `sys.argv` as absl flags and call `main()`; --help says what there is.

    Args:
      default_config: what --config is where it is not given, FILE or FILE:VARIANT.

    Returns:
      The exit code: 0; 1 after a UserError; 2 for flags that do not parse; 128 + N after
      signal N, such as 130 after Ctrl-C.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        return guard(show_help)
    wrong = ""

    def parse():
        nonlocal wrong
        try:
            if argument("config") is None and (name := default_config()):
                sys.argv.insert(1, f"--config={name}")
            rest = flags.FLAGS(sys.argv)[1:]
            if rest:
                raise UserError(f'unexpected argument "{rest[0]}"; flags look like --name=value')
        except (flags.Error, AttributeError, KeyError, TypeError, ValueError, UserError) as error:
            wrong = explain(error)

    if code := guard(parse):  # stopped by a signal: a config imports for seconds
        return code
    if wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
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
        with signals.raising():
            main()
            sys.stdout.flush()
    except BrokenPipeError:
        if not reader_left():
            raise
        return 141  # as a shell reports SIGPIPE
    except BaseException as error:
        if (known := console.ending(error)) is None:
            raise
        line, code = known
        with suppress(OSError):  # the terminal is gone
            print(line, file=sys.stderr)
        return code
    return 0


def show_help() -> None:
    print(sys.modules["__main__"].__doc__, flags.FLAGS.main_module_help(), sep="")
    if "config" in flags.FLAGS:
        print("\n" + loading.overview())


def reader_left() -> bool:
    """Whether nobody reads stdout any more, as after `| head`; if so, drop what is left of it."""
    try:
        print(flush=True)  # fails again, if it was stdout that broke
    except BrokenPipeError:
        # So that the flush at exit does not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def define_config(values: flags.FlagValues = flags.FLAGS) -> flags.FlagHolder:
    """Define --config, which names a config, and --config.KEY, which change it."""
    holder = config_flags.DEFINE_config_file("config", None, CONFIG_HELP, flag_values=values)
    values["config"].parser.parse = load  # type: ignore[assignment]
    return holder


def load(spec: str) -> ConfigDict:
    """The config that `spec` names, with what --config.KEY=VALUE can set besides.

    These are keys that may be None, and options of the model that the file does not spell.

    Raises:
      UserError: see `loading.load`.
    """
    config = loading.load(spec)
    options.admit(config, values())
    given = plain(config)
    try:
        known = schema.keys(given)
    except (UserError, KeyError):  # a part is missing or unknown, which the check will say
        return config
    with config.ignore_type():
        for name in flat(given):
            if name in known and NoneType in get_args(known[name].kind):
                *folders, last = name.split(".")
                part: Any = functools.reduce(getattr, folders, config)
                part[last] = FieldReference(part[last], field_type=object)
    return config


def config_file() -> str | None:
    """What --config names: NAME or FILE, with :VARIANT or without; None without --config."""
    if flags.FLAGS["config"].present == 0:
        return None
    return config_flags.get_config_filename(flags.FLAGS["config"])


def config(holder: flags.FlagHolder, of_checkpoint: bool = False) -> ConfigDict:
    """The config with its overrides, checked.

    Args:
      of_checkpoint: it came with a checkpoint, so that only overrides are checked.

    Raises:
      UserError: --config is missing, or a key of it is wrong.
    """
    if config_file() is None:
        raise UserError(
            "--config is needed: the name of a shipped config, such as quickstart, or a file;"
            " --help lists them"
        )
    schema.check(holder.value, only=changed() if of_checkpoint else None)
    options.complete(holder.value)
    return holder.value


def argument(name: str) -> str | None:
    """The value of a flag in `sys.argv`, before flags are parsed; None where it is not given."""
    return given().get(name)


def given() -> dict[str, str | None]:
    """The flags in `sys.argv` and their values, which for --noFLAG are words that follow."""
    found = {}
    for arg, following in itertools.pairwise([*sys.argv[1:], None]):
        if match := re.match(r"--?([^=]+)(=.*)?", arg or "", re.DOTALL):
            found.setdefault(match[1], match[2][1:] if match[2] else following)
    return found


def values() -> dict[str, str | None]:
    """The values of the keys of the config that flags in `sys.argv` change."""
    known = given()
    return {key: known.get(f"config.{key}") for key in changed()}


def overrides() -> list[str]:
    """KEY=VALUE of each --config.KEY=VALUE in `sys.argv`."""
    return [a.removeprefix("--config.") for a in sys.argv if a.startswith("--config.")]


def changed() -> list[str]:
    """The keys of all --config.KEY=VALUE, --config.KEY VALUE and --noconfig.KEY in `sys.argv`."""
    found = (re.match(r"--?(?:no)?config\.([^=]+)", arg) for arg in sys.argv)
    return [match[1] for match in found if match]


def explain(error: Exception) -> str:
    """Why flags did not parse: for keys of the config, what is allowed or the nearest name."""
    text, named = " ".join(str(error).split()), argument("config")
    if isinstance(error, UserError) or not named:
        return str(error) if isinstance(error, UserError) else text
    config = options.completed(plain(loading.load(named)))
    known = flat(config)
    if isinstance(error, flags.UnrecognizedFlagError) and not unknown_key(error.flagname, known):
        return f"{text.split('. Did')[0]}. Did you mean --config.{error.flagname}?"
    if bad := re.match(r"flag --config\.([\w.]+)=(.*?): ", text):
        key = schema.keys(config).get(bad[1])
        return key.refuse(bad[1], bad[2]) if key else text
    if isinstance(error, KeyError | AttributeError | TypeError):
        return next(filter(None, (unknown_key(key, known) for key in changed())), text)
    return text
