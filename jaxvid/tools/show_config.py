"""Print a config with all overrides, or explain its keys.

python -m jaxvid.tools.show_config --config swin_k400:base --config.optim.lr=5e-4
python -m jaxvid.tools.show_config --config swin_k400:base --explain
python -m jaxvid.tools.show_config --explain [--markdown > docs/config.md]

With --explain, the command prints the meaning, the possible values and the default of each key.
Without --config, it explains all keys of all configs.
"""

import sys
from collections.abc import Sequence

from jaxvid import cli
from jaxvid.config import flat, plain, reference


def show(config: str | None, arguments: Sequence[str], flat_keys: bool):
    """Print a config."""
    found = cli.config(config, arguments)
    if not flat_keys:
        print(found)
        return
    for key, value in flat(plain(found)).items():
        print(f"--config.{key}={value}")


def explain(config: str | None, arguments: Sequence[str], as_markdown: bool):
    """Print the meaning of each key of a config, or of all existing keys."""
    if config is None and not arguments:
        sections = reference.everything()
    else:
        sections = reference.of_config(cli.config(config, arguments).to_dict())
    print(reference.markdown(sections) if as_markdown else reference.text(sections))


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.show_config", __doc__, with_config=True)
    add = parser.add_argument
    add("--flat", action="store_true", help="one line for each key, in the form of flags")
    add("--explain", action="store_true", help="meaning and possible values of each key")
    add("--markdown", action="store_true", help="with --explain, write Markdown")
    args, changes = parser.parse_known_args(argv)
    if args.explain:
        return cli.guard(lambda: explain(args.config, changes, args.markdown))
    return cli.guard(lambda: show(args.config, changes, args.flat))


if __name__ == "__main__":
    sys.exit(main())
