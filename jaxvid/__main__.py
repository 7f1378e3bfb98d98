"""List the commands of jaxvid, or run one: python -m jaxvid [train | eval | predict | tools] ..."""

import sys

from jaxvid import cli, commands


def main() -> int:
    """Run the command that `sys.argv` names; the console command `jaxvid` calls this."""
    return cli.guard(lambda: commands.run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
