"""List the tools by group: python -m jaxvid.tools [NAME ...]"""

import sys

from jaxvid import cli, commands

if __name__ == "__main__":
    sys.exit(cli.guard(lambda: commands.run_tool(sys.argv[1:])))
