"""Find the start and the end of actions in a video, and draw them on a timeline.

    python -m jaxvid.tools.localize VIDEO --checkpoint RUN --out timeline.png
    python -m jaxvid.tools.localize VIDEO --checkpoint RUN --query "a person opens a door"

The second command is for models of language grounding, such as drn_own. It finds the parts of the
video that the sentence describes.

RUN is a run of a localizer, such as bmn_own. It names the backbone that made its features, and the
command computes those of VIDEO with it. VIDEO can also be a file of features.

A long video is divided into windows that overlap. By default, a window is as long as the longest
video of the training, so that a video as in the training is one window.

--out timeline.png also writes timeline.json. --out seen.mp4 writes a copy of the video with its
segments drawn on it, and seen.json.
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from jaxvid import cli, files
from jaxvid.data.video import video_files
from jaxvid.errors import UserError
from jaxvid.inference import draw
from jaxvid.inference.localize import localize
from jaxvid.inference.model import load

logger = logging.getLogger("jaxvid.tools.localize")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.localize", __doc__)
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a video, or a file of its features")
    add("--checkpoint", required=True, help="localizer: workdir, file or name of the zoo")
    add("--query", default="", help="sentence that describes what to find, for language grounding")
    add("--window", type=float, help="seconds of a window; 0: all (longest video of the training)")
    add("--overlap", type=float, default=0.5, help="share that windows overlap (%(default)s)")
    add("--topk", type=int, help="number of segments (10; 5 of a query)")
    stored = "features of VIDEO, to read again in later calls; written if missing or too old"
    add("--features", metavar="FILE.npz", help=stored)
    add("--json", action="store_true", help="print what timeline.json contains")
    add("--out", metavar="OUT.png", help="picture of a timeline, or a video to write")
    args = parser.parse_args(argv)
    return cli.guard(lambda: report(args))


def report(args: argparse.Namespace):
    """Localize and print, according to the arguments of the command."""
    if args.out and not video_files.has_ending(args.out, video_files.IMAGES + video_files.VIDEOS):
        raise UserError(f"--out={args.out}: name a picture, such as timeline.png, or a video")
    summary = Path(args.out).with_suffix(".json") if args.out else None
    for path in (args.out, summary, args.features):
        files.probe_file(path, [args.video])
    found = localize(
        load(args.checkpoint),
        args.video,
        window=args.window,
        overlap=args.overlap,
        topk=args.topk,
        features=args.features,
        query=args.query,
    )
    content = {"video": args.video, **({"query": args.query} if args.query else {})}
    content |= asdict(found)
    print(json.dumps(content) if args.json else "\n".join([args.video, *found.lines()]))
    if summary:
        draw.write(args.video, found, args.out)
        files.write_text(summary, json.dumps(content, indent=1) + "\n")
        logger.info(f"wrote {args.out} and {summary}")


if __name__ == "__main__":
    sys.exit(main())
