"""Predict what happens in videos.

    python -m jaxvid.predict VIDEO... --checkpoint WORKDIR [--topk 5] [--json] [--out annotated.mp4]

With --out timeline.png, results that have a start and an end are drawn as a picture. The Python
function `jaxvid.predict(video, checkpoint)` does the same, see `jaxvid.api.predict`.
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict

from jaxvid import CallableModule, cli
from jaxvid.files import probe_file
from jaxvid.inference import draw
from jaxvid.inference.model import load

logger = logging.getLogger("jaxvid.predict")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.predict", __doc__)
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--checkpoint", required=True, help="workdir of a run, or one checkpoint")
    parser.add_argument("--topk", type=int, help="classes (5) or segments (10) to print")
    parser.add_argument(
        "--labels",
        nargs="+",
        default=(),
        help="texts to choose from, such as 'playing golf'",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a video")
    parser.add_argument(
        "--out", help="file to write: the video with the results drawn on it, or a picture"
    )
    args = parser.parse_args(argv)
    if args.out and len(args.videos) > 1:
        parser.error("--out takes one VIDEO")
    return cli.guard(lambda: report(args))


def report(args: argparse.Namespace):
    """Predict and print, as the command's arguments say."""
    probe_file(args.out, args.videos)
    model = load(args.checkpoint)
    for video in args.videos:
        found = model.predict(video, args.topk, labels=args.labels)
        if args.json:
            print(json.dumps({"video": video, **asdict(found)}))
        else:
            print(video)
            for line in found.lines():
                print(f"  {line}")
        if args.out:
            draw.write(video, found, args.out)
            logger.info(f"wrote {args.out}")


sys.modules[__name__].__class__ = CallableModule

if __name__ == "__main__":
    sys.exit(main())
