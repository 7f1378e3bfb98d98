"""Write the features of long videos, a file a video: what localization learns from.

    python -m jaxvid.tools.extract_features DATA/videos DATA/features --checkpoint runs/swin

DATA/videos/a.mp4 becomes DATA/features/a.npz, a row of the backbone's channels every so many
frames. How they were made is stored in each file; training refuses features that were made in
different ways, and predictions make them in the same way. Files that are there are left alone, so
the same command goes on where it was stopped. A video that cannot be read is reported, and the
exit code is 1.
"""

import argparse
import sys
from pathlib import Path

from rich.progress import track

from jaxvid import predict
from jaxvid.cli import guard
from jaxvid.data import features
from jaxvid.data.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.extract import Extractor
from jaxvid.tools import jobs


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jaxvid.tools.extract_features")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("videos", type=Path, help="a folder, or one video")
    add("out", type=Path, help="folder of the features")
    add("--checkpoint", required=True, help="workdir, file or name of the zoo: the backbone")
    add("--every", type=int, default=16, help="frames from row to row (%(default)s)")
    add("--frames", type=int, default=0, help="of the clip behind a row (as in training)")
    add("--stride", type=int, default=0, help="between frames of a clip (as in training)")
    add("--fps", type=float, default=0.0, help="rate at which frames count (each video's own)")
    add("--rows", type=int, default=32, help="clips that are computed at once (%(default)s)")
    args = parser.parse_args(argv)
    return guard(lambda: extract(args))


def extract(args: argparse.Namespace):
    """Write what is not there yet.

    Raises:
      UserError: videos that cannot be read, after all others are done.
    """
    videos = jobs.find(args.videos)
    root = args.videos if args.videos.is_dir() else args.videos.parent
    model = predict.load(args.checkpoint, "val")
    recipe = model.config["data"]["recipe"]
    window = args.frames or recipe["frames"], args.stride or recipe["stride"], args.every
    extractor = Extractor(model, *window, args.fps, args.rows)
    # A name of the zoo means the same everywhere; a folder by its full path, at least here.
    local = Path(args.checkpoint)
    backbone = str(local.resolve()) if local.exists() else args.checkpoint
    bad = []
    for video in track(videos, "features", transient=True):
        path = args.out / video.relative_to(root).with_suffix(".npz")
        if path.exists():
            continue
        try:
            feature, fps = extractor({"path": str(video)})
        except VideoError as error:
            bad.append(str(error))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        features.write(path, feature, features.Made(backbone, *window, fps, feature.shape[1]))
    print(f"{len(videos) - len(bad)} of {len(videos)} videos have features in {args.out}")
    if bad:
        raise UserError("\n  ".join([f"{len(bad)} videos cannot be read:", *bad]))


if __name__ == "__main__":
    sys.exit(main())
