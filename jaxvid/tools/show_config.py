"""Print a config with all overrides, or explain its keys.

python -m jaxvid.tools.show_config --config swin_k400:base --config.optim.lr=5e-4
python -m jaxvid.tools.show_config --config swin_k400:base --explain
python -m jaxvid.tools.show_config --explain [--markdown > docs/config.md]

With --explain, each key has its meaning, what it may be, and its default. Without --config, these
are all keys that there are.
"""

import sys

from absl import flags

from jaxvid import cli
from jaxvid.config import flat, plain, reference

CONFIG = cli.define_config()
FLAT = flags.DEFINE_bool("flat", False, "One line a key, as flags are written.")
EXPLAIN = flags.DEFINE_bool("explain", False, "Say what each key means and may be.")
MARKDOWN = flags.DEFINE_bool("markdown", False, "With --explain, write Markdown.")


def main():
    if EXPLAIN.value:
        config = cli.config(CONFIG).to_dict() if cli.config_file() else None
        sections = reference.of_config(config) if config else reference.everything()
        print(reference.markdown(sections) if MARKDOWN.value else reference.text(sections))
        return
    config = cli.config(CONFIG)
    if FLAT.value:
        for key, value in flat(plain(config)).items():
            print(f"--config.{key}={value}")
    else:
        print(config)


if __name__ == "__main__":
    sys.exit(cli.run(main))
