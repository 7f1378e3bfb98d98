"""Recognize what each person in a video does over time, and draw it on the video.

    python -m jaxvid.tools.detect VIDEO --checkpoint slowonly_r50_ava21 --out seen.mp4
    python -m jaxvid.tools.detect VIDEO --checkpoint RUN --proposals people.csv --out seen.mp4
    python -m jaxvid.tools.detect VIDEO --checkpoint RUN --detector my_module:people

RTMDet finds the people, if neither --proposals nor --detector is given. A file of boxes has lines
VIDEO,TIME,x1,y1,x2,y2,score with corners as shares of the frame; `data/annotations/boxes.py`
describes it, and the formats .json and .pkl. A function gets a frame uint8 (h, w, 3) and returns
boxes (n, 4) in pixels, or boxes with scores (n, 5).

The boxes of a person at consecutive times are linked to an action tube, whose number is drawn.
--out seen.mp4 also writes seen.json: the detections of each time, and the tubes.
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from jaxvid import cli, files
from jaxvid.inference import draw
from jaxvid.inference.detect import PERSONS, detect, person_detector
from jaxvid.inference.model import load

logger = logging.getLogger("jaxvid.tools.detect")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.detect", __doc__)
    add = parser.add_argument
    add("video")
    add("--checkpoint", required=True, help="workdir, file or name of the zoo")
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument("--proposals", help="file of boxes")
    boxes.add_argument("--detector", metavar="NAME", help=f"weights or MODULE:FUNCTION ({PERSONS})")
    add("--every", type=float, default=1.0, help="seconds between detections, without --proposals")
    add("--start", type=float, default=0.0, help="time in the file at which the video begins")
    add("--least", type=float, help="minimum score of a box (0.9; 0.5 of RTMDet)")
    add("--topk", type=int, help="classes of each box (3)")
    add("--json", action="store_true", help="print one JSON object for each time")
    add("--out", help="video file to write, with the detections drawn on it")
    args = parser.parse_args(argv)
    return cli.guard(lambda: report(args))


def report(args: argparse.Namespace):
    """Detect actions and print them, according to the arguments of the command."""
    summary = Path(args.out).with_suffix(".json") if args.out else None
    for path in (args.out, summary):
        files.probe_file(path, filter(None, (args.video, args.proposals)))
    name, least = args.detector or PERSONS, args.least
    if args.proposals:
        proposals = args.proposals
    elif ":" in name:
        proposals = cli.function(name, "--detector")
    else:
        least = 0.5 if least is None else least
        proposals = person_detector(name, least)
    model = load(args.checkpoint)
    least = 0.9 if least is None else least
    options = dict(every=args.every, start=args.start, least=least, topk=args.topk)
    found = detect(model, args.video, proposals, **options)
    if args.json:
        for moment in found.moments:
            print(json.dumps({"video": args.video, **asdict(moment)}))
    else:
        for line in found.lines():
            print(line)
    if summary:
        draw.write(args.video, found, args.out)
        files.write_text(
            summary, json.dumps({"video": args.video, **asdict(found)}, indent=1) + "\n"
        )
        logger.info(f"wrote {args.out} and {summary}")


if __name__ == "__main__":
    sys.exit(main())
