"""Generate a small set of sounds for audio recognition.

    python -m jaxvid.tools.make_sounds DIR [--train 800] [--val 200]

The sounds are written to DIR/train/CLASS and DIR/val/CLASS. `data/synthetic/sounds.py` describes
the classes, which differ in pitch over time, rhythm or timbre.
"""

import shlex
import sys
from pathlib import Path

from jaxvid import cli
from jaxvid.data.synthetic import sounds


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.make_sounds", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=800, help="sounds (%(default)s)")
    parser.add_argument("--val", type=int, default=200, help="sounds (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    return cli.guard(lambda: run(args.folder, args.train, args.val, args.seed))


def run(folder: Path, train: int, val: int, seed: int):
    """Write the sounds, and print how to train on them."""
    sounds.generate(folder, train, val, seed)
    classes, root = len(sounds.CLASSES), shlex.quote(str(folder))
    print(
        f"{folder} has {train:,} sounds for training and {val:,} for validation, {classes} classes"
    )
    print(f"next: python -m jaxvid.main --config audio_own:mini --config.data.root={root}")


if __name__ == "__main__":
    sys.exit(main())
