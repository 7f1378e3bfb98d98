"""Print a config as a run would see it, overrides included.

python -m jaxvid.tools.show_config --config configs/swin_k400.py:base --config.optim.lr=5e-4
"""

import sys

from absl import flags

from jaxvid import cli
from jaxvid.config import flat, plain

CONFIG = cli.define_config()
FLAT = flags.DEFINE_bool("flat", False, "One line a key, as flags are written.")


def main():
    config = cli.config(CONFIG)
    if FLAT.value:
        for key, value in flat(plain(config)).items():
            print(f"--config.{key}={value}")
    else:
        print(config)


if __name__ == "__main__":
    sys.exit(cli.run(main))
