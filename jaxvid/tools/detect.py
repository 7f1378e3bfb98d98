"""Recognize what each person in a video does over time, and draw it on the video.

    python -m jaxvid.tools.detect VIDEO --checkpoint RUN --proposals people.csv --out seen.mp4
    python -m jaxvid.tools.detect VIDEO --checkpoint slowonly_r50_ava21 --detector my_module:people

Boxes of people come from a file or from your own function. The file has lines
VIDEO,TIME,x1,y1,x2,y2,score with corners as shares of the frame; `data/annotations/boxes.py`
describes it, and the formats .json and .pkl. The function gets a frame uint8 (h, w, 3) and returns
boxes (n, 4) in pixels, or boxes with scores (n, 5).
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict

from jaxvid import cli, files
from jaxvid.inference import draw
from jaxvid.inference.detect import detect
from jaxvid.inference.model import load

logger = logging.getLogger("jaxvid.tools.detect")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.detect", __doc__)
    add = parser.add_argument
    add("video")
    add("--checkpoint", required=True, help="workdir, file or name of the zoo")
    boxes = parser.add_mutually_exclusive_group(required=True)
    boxes.add_argument("--proposals", help="file of boxes")
    boxes.add_argument("--detector", metavar="MODULE:FUNCTION", help="function that finds boxes")
    add("--every", type=float, default=1.0, help="seconds between detections, with --detector")
    add("--start", type=float, default=0.0, help="time in the file at which the video begins")
    add("--least", type=float, default=0.9, help="minimum score of a box (%(default)s)")
    add("--topk", type=int, help="classes of each box (3)")
    add("--json", action="store_true", help="print one JSON object for each time")
    add("--out", help="video file to write, with the detections drawn on it")
    args = parser.parse_args(argv)
    return cli.guard(lambda: report(args))


def report(args: argparse.Namespace):
    """Detect actions and print them, according to the arguments of the command."""
    files.probe_file(args.out, filter(None, (args.video, args.proposals)))
    proposals = args.proposals or cli.function(args.detector, "--detector")
    model = load(args.checkpoint)
    options = dict(every=args.every, start=args.start, least=args.least, topk=args.topk)
    found = detect(model, args.video, proposals, **options)
    if args.json:
        for moment in found.moments:
            print(json.dumps({"video": args.video, **asdict(moment)}))
    else:
        for line in found.lines():
            print(line)
    if args.out:
        draw.write(args.video, found, args.out)
        logger.info(f"wrote {args.out}")


if __name__ == "__main__":
    sys.exit(main())
