"""Generate a small set of skeletons, or of gestures of a hand, that differ by motion only.

    python -m jaxvid.tools.make_skeletons DIR [--layout coco] [--train 800] [--val 200]

The skeletons are written to DIR/skeletons.pkl in the format of MMAction2, and the class names to
DIR/classes.txt. `data/synthetic/poses.py` describes the classes. The layout is coco (17 joints in
2-D), nturgb+d (25 joints in 3-D) or handmp (21 joints of a hand in 2-D).
"""

import shlex
import sys
from pathlib import Path

from jaxvid import cli
from jaxvid.data.synthetic import poses


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.make_skeletons", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", choices=tuple(poses.BODIES), default="coco")
    parser.add_argument("--train", type=int, default=800, help="sequences (%(default)s)")
    parser.add_argument("--val", type=int, default=200, help="sequences (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    return cli.guard(lambda: run(args.folder, args.layout, args.train, args.val, args.seed))


# The variant of the config `quickstart_skeleton` for each layout.
VARIANTS = {"coco": "2d", "nturgb+d": "3d", "handmp": "hand"}


def run(folder: Path, layout: str, train: int, val: int, seed: int):
    """Write the skeletons, and print how to train on them."""
    poses.generate(folder, layout, train, val, seed)
    count, root = len(poses.classes(layout)), shlex.quote(str(folder))
    print(
        f"{folder} has {train:,} skeletons for training and {val:,} for validation, {count} classes"
    )
    print(
        f"next: python -m jaxvid.main --config quickstart_skeleton:stgcnpp_{VARIANTS[layout]}_j"
        f" --config.data.root={root}"
    )


if __name__ == "__main__":
    sys.exit(main())
