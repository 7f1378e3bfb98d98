"""Write the frames of videos, or their optical flow, as images in one folder per video.

    python -m jaxvid.tools.extract_frames DATA/videos DATA/frames [--kind flow] [--list train.txt]

The frames of DATA/videos/a/b.mp4 are written to DATA/frames/a/b/img_00001.jpg and so on. Optical
flow is written as pairs of gray images x_00001.jpg and y_00001.jpg. Levels 0..255 represent motion
from -bound to bound pixels. The first pair is the motion from frame 1 to frame 2. Frames and flow
can be in the same folder.

Complete folders are not written again, so the same command continues after an interruption. Folders
whose video has changed are written again. NEW_FOLDER/rgb.jsonl (or flow.jsonl) lists the video of
each folder. Lists of videos that are given with --list are converted to lists of folders with their
numbers of frames, which the source frame_folders reads. Folders have no timestamps. So if
annotations are in seconds, use a constant frame rate with --fps, and set it in the config.

Training on video files does not need extracted frames, which take several times the disk space.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from jaxvid import cli
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.readers import FrameFolder
from jaxvid.errors import UserError
from jaxvid.tools import extraction, jobs
from jaxvid.tools.extraction import Extraction

TEMPLATES = {"rgb": "img_{:05}.jpg", "flow": "{}_{:05d}.jpg"}


@dataclass(frozen=True)
class Settings:
    """Settings of the images to write.

    Attributes:
      kind: "rgb" or "flow".
      template: pattern of the file names, see readers.FrameFolder.
      first: number of the first frame.
      short_side: short side in pixels; 0 keeps the size.
      fps: constant frame rate; 0 writes every frame.
      quality: quality of JPEG, 0 to 100.
      method: algorithm of optical flow, "farneback" (2003) or "tvl1" (Zach et al., 2007; needs the
        contrib modules of OpenCV).
      bound: largest motion of flow in pixels; larger values are clipped.
    """

    kind: str = "rgb"
    template: str = TEMPLATES["rgb"]
    first: int = 1
    short_side: int = 0
    fps: float = 0.0
    quality: int = 95
    method: str = "farneback"
    bound: float = 20.0


@dataclass(frozen=True)
class Job:
    """One video and its folder of frames."""

    source: Path
    target: Path  # the folder
    settings: Settings
    renew: bool = False  # write the frames even if they exist, because the video has changed


def extract(job: Job) -> tuple[int, bool]:
    """Write the frames of one video.

    Returns:
      The number of frames or flow fields, and whether they had to be written.

    Raises:
      VideoError: the video cannot be decoded to its end, or has a single frame and thus no flow.
    """
    settings = job.settings
    with VideoReader(job.source, short_side=settings.short_side) as video:
        wanted = video.at_rate(settings.fps) if settings.fps else range(video.frames)
        images = video.read_on(wanted)
        count = len(wanted)
        if settings.kind == "flow":
            images, count = flows(images, settings), count - 1
        if not count:
            raise VideoError(video.path, "it has one frame, and so no flow")
        final = FrameFolder(job.target, settings.template, settings.first, total=count)
        if not job.renew and all(Path(file).exists() for file in final.files(count - 1)):
            return count, False
        part = job.target.with_name(f".{job.target.name}.{settings.kind}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        part.mkdir(parents=True)
        try:
            files = [file for index in range(count) for file in final.files(index)]
            parts = [part / Path(file).name for file in files]
            planes = (plane for image in images for plane in to_planes(image))
            for name, plane in zip(parts, planes, strict=True):
                write_image(name, plane, settings.quality)
            job.target.mkdir(exist_ok=True)
            for name, file in zip(parts, files, strict=True):  # the last frame marks completion
                name.replace(file)
            remove_from(final, count)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return count, True


def remove_from(frames: FrameFolder, index: int):
    """Remove the frames from `index` on, which remain from an earlier, longer video."""
    while left := [file for file in map(Path, frames.files(index)) if file.exists()]:
        for file in left:
            file.unlink()
        index += 1


def flows(images: Iterator[np.ndarray], settings: Settings) -> Iterator[np.ndarray]:
    """Yield the optical flow uint8 (h w 2) from each RGB frame to the next."""
    method = make_flow(settings.method)
    before = None
    for image in images:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if before is not None:
            flow = method.calc(before, gray, None)  # type: ignore[call-overload]
            yield quantize(flow, settings.bound)
        before = gray


def make_flow(method: str) -> cv2.DenseOpticalFlow:
    """Return an OpenCV algorithm with default settings. Raises UserError if it is not installed."""
    if method == "farneback":
        return cv2.FarnebackOpticalFlow.create()
    if not hasattr(cv2, "optflow"):
        raise UserError(
            "TV-L1 is in OpenCV's contrib modules: pip uninstall opencv-python-headless, then"
            " pip install opencv-contrib-python-headless; or use --method farneback"
        )
    return cv2.optflow.createOptFlow_DualTVL1()  # type: ignore[attr-defined]


def quantize(flow: np.ndarray, bound: float) -> np.ndarray:
    """Map motion from -bound..bound pixels to levels 0..255, uint8. No motion is 128."""
    return np.clip(np.rint(255 * (flow + bound) / (2 * bound)), 0, 255).astype(np.uint8)


def to_planes(image: np.ndarray) -> list[np.ndarray]:
    """Return the images to write: an RGB image as BGR, or the x and y of flow."""
    return [image[..., ::-1]] if image.shape[-1] == 3 else [image[..., 0], image[..., 1]]


def write_image(path: Path, image: np.ndarray, quality: int):
    try:
        written = cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        written = False
    if not written:
        raise VideoError(str(path), "OpenCV cannot write this image; is the disk full?")


def run(
    source: Path,
    target: Path,
    settings: Settings,
    *,
    lists: Sequence[Path] = (),
    workers: int = 0,
) -> int:
    """Extract the missing frames of all videos of a folder; see `extraction.run`.

    Raises:
      UserError: also if the template of the names is wrong, or OpenCV lacks the method of flow.
    """
    FrameFolder(target, settings.template, total=1)  # checks the template
    if settings.kind == "flow":
        make_flow(settings.method)
    what = Extraction(
        name=settings.kind,
        stream="video",
        suffix="",
        wrote=f"{settings.kind} of {{:,}} videos",
        settings=asdict(settings),
        job=lambda path, to, fresh: Job(path, to, settings, renew=not fresh),
        extract=extract,
    )
    return extraction.run(what, source, target, lists, workers)


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.extract_frames", __doc__)
    parser.add_argument("source", metavar="FOLDER", type=Path, help="folder of the videos")
    parser.add_argument("target", metavar="NEW_FOLDER", type=Path, help="folder of the frames")
    default = Settings()
    add = parser.add_argument
    add("--kind", choices=TEMPLATES, default="rgb", help="what to write (%(default)s)")
    add("--template", help="pattern of the names (img_{:05}.jpg; {}_{:05d}.jpg for flow)")
    add("--first", type=int, default=default.first, help="number of the first frame (%(default)s)")
    add("--short-side", type=int, default=default.short_side, help="pixels; 0 keeps the size")
    add("--fps", type=float, default=default.fps, help="constant frame rate; 0 keeps all frames")
    add("--quality", type=int, default=default.quality, help="quality of JPEG (%(default)s)")
    add("--method", choices=("farneback", "tvl1"), default=default.method, help="for flow")
    add("--bound", type=float, default=default.bound, help="largest flow in pixels (%(default)s)")
    add("--list", dest="lists", nargs="+", type=Path, default=(), help="lists of the videos")
    add("--workers", type=int, default=0, help="processes (default: one per core)")
    args = vars(parser.parse_args(argv))
    args["template"] = args["template"] or TEMPLATES[args["kind"]]
    settings = Settings(**{key: args.pop(key) for key in asdict(default)})
    return jobs.exit_code(lambda: run(**args, settings=settings))


if __name__ == "__main__":
    sys.exit(main())
