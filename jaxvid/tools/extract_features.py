"""Extract features of long videos, one file per video, for temporal localization.

    python -m jaxvid.tools.extract_features DATA/videos DATA/features --checkpoint runs/swin

The features of DATA/videos/a.mp4 are written to DATA/features/a.npz. They have one row of channels
for every --every frames. Each file also contains the settings of the extraction. Training refuses
features with different settings, and prediction extracts features with the settings of training.

Existing files are not written again, so the same command continues after an interruption. Features
of a video that has changed are extracted again. Existing features of other weights or settings are
an error. Videos that cannot be read are reported, and the exit code is 1.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

from rich.progress import track

from jaxvid import cli, files, provenance
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
    add("--checkpoint", required=True, help="backbone: a workdir, a file or a name of the zoo")
    add("--every", type=int, default=16, help="frames between rows (%(default)s)")
    add("--frames", type=int, default=0, help="frames of the clip of a row (as in training)")
    spread = "as in training; for samplers without a stride, spread over --every frames"
    add("--stride", type=int, default=0, help=f"distance between frames of a clip ({spread})")
    add("--fps", type=float, default=0.0, help="frame rate to use (that of each video)")
    add("--rows", type=int, default=32, help="clips that are computed at once (%(default)s)")
    args = parser.parse_args(argv)
    return cli.guard(lambda: extract(args))


def extract(args: argparse.Namespace):
    """Write the missing features, and those of videos that have changed.

    Raises:
      UserError: before the start, if existing features have other weights or settings, two videos
        need the same file, or the folder cannot be written to or contains the videos. At the end,
        if videos could not be read.
    """
    videos = jobs.videos_below(args.videos)
    todo = provenance.outputs(args.videos, args.out, videos, lambda path: path.with_suffix(".npz"))
    model = load(args.checkpoint, "val")
    window = clip_of(args, model)
    extractor = Extractor(model, *window, args.fps, args.rows)
    # A name of the zoo is stored as it is, and a local path as an absolute path.
    local = Path(args.checkpoint)
    backbone = str(local.resolve()) if local.exists() else args.checkpoint
    made = feature_files.Made(backbone, *window, args.fps, 0, model.identity)
    with files.hold(args.out, fix="wait for it, or write to another folder"):
        left = {path: video for path, video in todo.items() if not is_there(path, video, made)}
        bad = []
        for path, video in track(left.items(), "features", transient=True):
            source = provenance.describe(video)
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
    """Return `frames`, `stride` and `every` of `feature_files.Made`.

    Raises:
      UserError: the inputs of the model are not videos.
    """
    video_steps(model)
    recipe = model.config["data"]["recipe"]
    frames = args.frames or recipe["frames"]
    stride = args.stride or recipe.get("stride") or max(args.every // max(frames, 1), 1)
    return frames, stride, args.every


def is_there(path: Path, video: Path, wanted: feature_files.Made) -> bool:
    """Return whether `path` contains the features of the current version of a video.

    Args:
      wanted: settings of the extraction. An `fps` of 0 means the frame rate of each video.

    Raises:
      UserError: the features have other settings, or belong to another video.
    """
    if not path.exists():
        return False
    try:
        about = feature_files.read_about(path)
    except VideoError:
        return False
    # Compare the requested rates, if the file has it: 0 differs from 25 even for a video of 25 fps.
    asked = about.get("rate", about.get("fps"))
    differ = feature_files.differing({**about, "fps": 0}, asdict(wanted))
    if asked != wanted.fps and (wanted.fps or "rate" in about):
        differ.append(("fps", f"{asked:g}", f"{wanted.fps:g}"))
    if differ:
        values = ", ".join(f"{key} {there} there, {now} now" for key, there, now in differ)
        raise UserError(
            f"{path}: extracted in another way: {values}; write to another folder, or remove the"
            " old features"
        )
    return provenance.is_fresh(path, video, about.get("made_from"))


if __name__ == "__main__":
    sys.exit(main())
