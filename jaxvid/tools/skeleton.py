"""Recognize actions from the skeletons of people in a video, and draw both on it.

    python -m jaxvid.tools.skeleton VIDEO --checkpoint stgcnpp_2d_joint_ntu60 --out seen.mp4
    python -m jaxvid.tools.skeleton VIDEO --checkpoint RUN --poses poses.pkl --out seen.mp4
    python -m jaxvid.tools.skeleton VIDEO --checkpoint RUN --detector my:people --estimator my:pose

The command finds people by RTMDet, estimates their joints by RTMPose, follows them over the frames
and recognizes what they do, in windows of a few seconds. With --gesture, it does this for one hand.

--poses names a pickle of key points instead, in MMAction2's form or as a list with an array
(people, joints, 3) for each frame; `data/annotations/video_poses.py` lists all forms. A function
for --detector gets frames uint8 (t, h, w, 3) and returns boxes (n, 5) in pixels for each frame. A
function for --estimator gets the frames and these boxes, and returns poses (n, joints, 3) for each
frame.

--out seen.mp4 also writes seen.json: the classes of each window, the people, and how many poses
were interpolated.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from jaxvid import cli, files
from jaxvid.data.video import video_files
from jaxvid.errors import UserError
from jaxvid.inference import draw, skeleton
from jaxvid.results import SkeletonActions

logger = logging.getLogger("jaxvid.tools.skeleton")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.skeleton", __doc__)
    add = parser.add_argument
    add("video", metavar="VIDEO")
    add("--checkpoint", required=True, help="model of skeletons: workdir, file or name of the zoo")
    add_finders(parser)
    add("--poses", metavar="FILE.pkl", help="key points of the video, instead of finding people")
    add("--window", type=float, default=5.0, help="seconds of a window; 0: all (%(default)s)")
    add("--every", type=float, default=0.0, help="seconds between windows (half of a window)")
    add("--topk", type=int, default=3, help="classes of a window (%(default)s)")
    add("--json", action="store_true", help="print what seen.json contains")
    add("--out", metavar="OUT.mp4", help="video to write, with skeletons and classes drawn on it")
    args = parser.parse_args(argv)
    return cli.guard(lambda: report(args))


def add_finders(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how people and their joints are found."""
    add = parser.add_argument
    usual, hand = skeleton.TASKS["skeleton"], skeleton.TASKS["gesture"]
    for key, what in (("detector", "finds the boxes"), ("estimator", "finds the joints in boxes")):
        names = f"({usual[key]}; {hand[key]} of a hand)"
        add(f"--{key}", metavar="NAME", help=f"{what}: weights, or MODULE:FUNCTION {names}")
    add("--gesture", action="store_true", help="find one hand with 21 joints instead of people")
    add("--least", type=float, help="minimum score of a box (0.5; 0.3 of a hand)")


def function_or_name(value: str | None, flag: str) -> Any:
    """Return the function of MODULE:FUNCTION, and any other value as it is.

    Raises:
      UserError: the function does not exist.
    """
    return cli.function(value, flag) if value and ":" in value else value


def report(args: argparse.Namespace):
    """Recognize and print, according to the arguments of the command."""
    if args.out and not video_files.has_ending(args.out, video_files.VIDEOS):
        raise UserError(f"--out={args.out}: name a video, such as seen.mp4")
    summary = Path(args.out).with_suffix(".json") if args.out else None
    for path in (args.out, summary):
        files.probe_file(path, filter(None, (args.video, args.poses)))
    if args.poses and (args.detector or args.estimator):
        raise UserError("--poses has key points, so leave out --detector and --estimator")
    pipeline = skeleton.build(
        "gesture" if args.gesture else "skeleton",
        args.checkpoint,
        now=not args.poses,
        detector=function_or_name(args.detector, "--detector"),
        estimator=function_or_name(args.estimator, "--estimator"),
        least=args.least,
        window=args.window,
        every=args.every,
        topk=args.topk,
    )
    found = pipeline(args.video, args.poses)
    content = json.dumps({"video": args.video, **found.summary()}, indent=None if args.json else 1)
    show(content if args.json else "\n".join([args.video, *found.lines()]), found)
    if summary:
        draw.write(args.video, found, args.out)
        files.write_text(summary, content + "\n")
        logger.info(f"wrote {args.out} and {summary}")


def show(text: str, found: SkeletonActions) -> None:
    """Print the result, and log what became of the poses."""
    print(text)
    logger.info(str(found.report))


if __name__ == "__main__":
    sys.exit(main())
