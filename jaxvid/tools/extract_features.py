"""Extract features of long videos, one file per video, for temporal localization.

    python -m jaxvid.tools.extract_features DATA/videos DATA/features --checkpoint runs/swin

DATA/videos/a.mp4 becomes DATA/features/a.npz, a row of the backbone's channels every so many
frames. How they were made is stored in each file; training refuses features that were made in
different ways, and predictions make them in the same way. Files that are there are left alone, so
the same command goes on where it was stopped. Features of a video that has changed since are made
again; those of other weights or settings are an error. A video that cannot be read is reported, and
the exit code is 1.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

from rich.progress import track

from jaxvid import cli, files
from jaxvid.data.annotations import feature_files
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.inference.features import Extractor, video_steps
from jaxvid.inference.model import Model, load
from jaxvid.tools import jobs


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.extract_features", __doc__)
    add = parser.add_argument
    add("videos", type=Path, help="a folder, or one video")
    add("out", type=Path, help="folder of the features")
    add("--checkpoint", required=True, help="workdir, file or name of the zoo: the backbone")
    add("--every", type=int, default=16, help="frames from row to row (%(default)s)")
    add("--frames", type=int, default=0, help="of the clip behind a row (as in training)")
    spread = "as in training; where that spreads frames over a video: over --every"
    add("--stride", type=int, default=0, help=f"between frames of a clip ({spread})")
    add("--fps", type=float, default=0.0, help="rate at which frames count (each video's own)")
    add("--rows", type=int, default=32, help="clips that are computed at once (%(default)s)")
    args = parser.parse_args(argv)
    return cli.guard(lambda: extract(args))


def extract(args: argparse.Namespace):
    """Write what is not there yet, and again what is of a video that has changed since.

    Raises:
      UserError: videos that cannot be read, after all others are done; before anything is done,
        features of other weights or settings, two videos for one file, or a folder that cannot be
        written to or has originals in it.
    """
    videos = jobs.videos_below(args.videos)
    todo = files.outputs(args.videos, args.out, videos, lambda path: path.with_suffix(".npz"))
    model = load(args.checkpoint, "val")
    window = clip_of(args, model)
    extractor = Extractor(model, *window, args.fps, args.rows)
    # A name of the zoo means the same everywhere; a folder by its full path, at least here.
    local = Path(args.checkpoint)
    backbone = str(local.resolve()) if local.exists() else args.checkpoint
    made = feature_files.Made(backbone, *window, args.fps, 0, model.identity)
    with files.hold(args.out, fix="wait for it, or write to another folder"):
        left = {path: video for path, video in todo.items() if not is_there(path, video, made)}
        bad = []
        for path, video in track(left.items(), "features", transient=True):
            source = files.describe(video)
            try:
                feature, fps = extractor({"path": str(video)})
            except VideoError as error:
                bad.append(str(error))
                continue
            about = replace(made, fps=fps, channels=feature.shape[1])
            with files.explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                feature_files.write(path, feature, about, rate=args.fps, made_from=source)
    print(f"{len(todo) - len(bad)} of {len(todo)} videos have features in {args.out}")
    if bad:
        raise UserError("\n  ".join([f"{len(bad)} videos cannot be read:", *bad]))


def clip_of(args: argparse.Namespace, model: Model) -> tuple[int, int, int]:
    """`frames`, `stride` and `every` as in `feature_files.Made`.

    Raises:
      UserError: the model does not take videos.
    """
    video_steps(model)
    recipe = model.config["data"]["recipe"]
    frames = args.frames or recipe["frames"]
    stride = args.stride or recipe.get("stride") or max(args.every // max(frames, 1), 1)
    return frames, stride, args.every


def is_there(path: Path, video: Path, wanted: feature_files.Made) -> bool:
    """Whether `path` holds the features of a video as it is now.

    Args:
      wanted: how they are to be made; its `fps` is 0 for each video's own.

    Raises:
      UserError: they were made in another way, or of another video.
    """
    if not path.exists():
        return False
    try:
        about = feature_files.read_about(path)
    except VideoError:
        return False
    # The rate that was asked for, where the file knows it: 0 is another than 25, also for 25 fps.
    asked = about.get("rate", about.get("fps"))
    differ = feature_files.differing({**about, "fps": 0}, asdict(wanted))
    if asked != wanted.fps and (wanted.fps or "rate" in about):
        differ.append(("fps", f"{asked:g}", f"{wanted.fps:g}"))
    if differ:
        values = ", ".join(f"{key} {there} there, {now} now" for key, there, now in differ)
        raise UserError(
            f"{path}: made in another way: {values}; write to another folder, or remove the old"
            " features"
        )
    return files.is_fresh(path, video, about.get("made_from"))


if __name__ == "__main__":
    sys.exit(main())
