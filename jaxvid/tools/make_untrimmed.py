"""Generate a small set of untrimmed videos for temporal localization.

    python -m jaxvid.tools.make_untrimmed DIR [--train 160] [--val 40]

The videos are written to DIR/videos, and their actions, in seconds, to DIR/train.json and
DIR/val.json. `data/synthetic/untrimmed.py` describes the videos.
"""

import shlex
import sys
from pathlib import Path

from jaxvid import cli
from jaxvid.data.synthetic import untrimmed


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.make_untrimmed", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=160, help="videos (%(default)s)")
    parser.add_argument("--val", type=int, default=40, help="videos (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    sentences = "also write sentences, train.csv and val.csv, for language grounding"
    parser.add_argument("--sentences", action="store_true", help=sentences)
    args = parser.parse_args(argv)
    return cli.guard(lambda: run(args.folder, args.train, args.val, args.seed, args.sentences))


def run(folder: Path, train: int, val: int, seed: int, sentences: bool = False):
    """Write the videos, and print what to do with them."""
    untrimmed.generate(folder, train, val, seed, sentences)
    root = shlex.quote(str(folder))
    print(f"{folder} has {train:,} videos for training and {val:,} for validation")
    print(f"next: python -m jaxvid.tools.extract_features {root}/videos {root}/features", end="")
    print(" --checkpoint MODEL")


if __name__ == "__main__":
    sys.exit(main())
