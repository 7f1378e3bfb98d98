"""Write the frames of videos, or their optical flow, as images in one folder per video.

    python -m jaxvid.tools.extract_frames DATA/videos DATA/frames [--kind flow] [--list train.txt]

DATA/videos/a/b.mp4 becomes DATA/frames/a/b/img_00001.jpg and so on; flow becomes pairs of gray
images x_00001.jpg and y_00001.jpg, which hold -bound .. bound pixels as 0 .. 255, the first pair
from frame 1 to frame 2. Both may share a folder. Folders that are complete are left alone, so the
same command goes on where it was stopped; those whose video has changed since are written again.
NEW_FOLDER/rgb.jsonl (or flow.jsonl) says what each was made from. Lists of videos given with --list
are written again as lists of folders with their numbers of frames, which the source frame_folders
reads. Folders have no timestamps: for annotations in seconds, take a constant rate with --fps and
name it in the config.

Training on video files needs no such frames, and they take several times the space.
"""

import contextlib
import csv
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from jaxvid import cli, files
from jaxvid.data.annotations import lists
from jaxvid.data.video import video_files
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.readers import FrameFolder
from jaxvid.errors import UserError
from jaxvid.tools import jobs

logger = logging.getLogger("jaxvid.tools.extract_frames")

TEMPLATES = {"rgb": "img_{:05}.jpg", "flow": "{}_{:05d}.jpg"}


@dataclass(frozen=True)
class Settings:
    """What to write.

    Attributes:
      kind: "rgb" or "flow".
      template: of the names; see readers.FrameFolder.
      first: number of the first frame.
      short_side: pixels; 0 keeps the size.
      fps: constant rate; 0 takes every frame.
      quality: of JPEG, 0 to 100.
      method: of flow, "farneback" (2003) or "tvl1" (Zach et al., 2007; needs OpenCV's contrib).
      bound: of flow, in pixels; larger motion is cut off.
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
    source: Path
    target: Path  # the folder
    settings: Settings
    renew: bool = False  # also where the frames are there: they are of another video


def extract(job: Job) -> tuple[int, bool]:
    """Write the frames of one video.

    Returns:
      How many there are, and whether they had to be written.

    Raises:
      VideoError: the video does not decode to its end, or has one frame and so no flow.
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
            for name, file in zip(parts, files, strict=True):  # the last one last: see above
                name.replace(file)
            remove_from(final, count)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return count, True


def remove_from(frames: FrameFolder, index: int):
    """Remove what an earlier, longer video has left from frame `index` on."""
    while left := [file for file in map(Path, frames.files(index)) if file.exists()]:
        for file in left:
            file.unlink()
        index += 1


def flows(images: Iterator[np.ndarray], settings: Settings) -> Iterator[np.ndarray]:
    """RGB frames -> uint8 flow (h w 2) from each to the next."""
    method = make_flow(settings.method)
    before = None
    for image in images:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if before is not None:
            flow = method.calc(before, gray, None)  # type: ignore[call-overload]
            yield quantize(flow, settings.bound)
        before = gray


def make_flow(method: str) -> cv2.DenseOpticalFlow:
    """OpenCV's algorithm with its own settings. Raises UserError where it is not installed."""
    if method == "farneback":
        return cv2.FarnebackOpticalFlow.create()
    if not hasattr(cv2, "optflow"):
        raise UserError(
            "TV-L1 is in OpenCV's contrib modules: pip uninstall opencv-python-headless, then"
            " pip install opencv-contrib-python-headless; or take --method farneback"
        )
    return cv2.optflow.createOptFlow_DualTVL1()  # type: ignore[attr-defined]


def quantize(flow: np.ndarray, bound: float) -> np.ndarray:
    """-bound .. bound pixels as uint8 0 .. 255; no motion is 128."""
    return np.clip(np.rint(255 * (flow + bound) / (2 * bound)), 0, 255).astype(np.uint8)


def to_planes(image: np.ndarray) -> list[np.ndarray]:
    """An RGB image as OpenCV writes it, or the x and y of flow."""
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
    """Extract what is not there yet; see the module.

    Returns:
      How many videos failed.

    Raises:
      UserError: there are no videos, a list is missing, an earlier run had other settings, names
        collide, or the folder cannot be written to, has originals in it, or is in use by another
        run.
    """
    FrameFolder(target, settings.template, total=1)  # the template is one
    if settings.kind == "flow":
        make_flow(settings.method)
    for path in lists:
        if not path.is_file():
            raise UserError(f"{path}: no such list of videos")
    todo = files.outputs(
        source, target, jobs.videos_below(source), lambda path: path.with_suffix("")
    )
    fix = "wait for it, or write to another folder"
    with files.hold(target, fix=fix, name=f".{settings.kind}.lock"):
        files.claim(target / f"{settings.kind}.json", asdict(settings))
        counts = _write(target, todo, settings, workers)
    for path in lists:
        write_list(path, target / f"{path.stem}_{settings.kind}{path.suffix}", counts)
    return len(todo) - len(counts)


def _write(
    target: Path, todo: Mapping[Path, Path], settings: Settings, workers: int
) -> dict[str, int]:
    """Extract {folder: video} where that is to be done; the number of frames of each folder."""
    record = files.Record(target / f"{settings.kind}.jsonl")
    made_from = {to: files.describe(path) for to, path in todo.items()}
    items = [Job(path, to, settings, not record.is_fresh(to, path)) for to, path in todo.items()]
    counts: dict[str, int] = {}
    failed = written = 0
    done = jobs.run(extract, items, what="extracting", workers=workers)
    with contextlib.closing(done):
        for each in done:
            if each.error:
                failed += 1
                logger.info(f"failed: {each.item.source}: {each.error}")
            else:
                count, new = each.result
                if new:
                    record.add(each.item.target, made_from[each.item.target])
                counts[each.item.target.relative_to(target).as_posix()] = count
                written += new
    logger.info(
        f"{target}: wrote {settings.kind} of {written:,} videos;"
        f" {len(todo) - written - failed:,} were there, {failed:,} failed"
    )
    return counts


def write_list(path: Path, out: Path, counts: dict[str, int]):
    """A list of videos as a list of folders; those without frames are left out, and named."""
    lines = []
    for number, (name, *labels) in lists.rows(path):
        folder = Path(video_files.without_ending(name)).as_posix()
        if folder in counts:
            lines.append([folder, counts[folder], *labels])
        else:
            logger.info(f"{path}:{number}: no frames of {name}")
    comma = {".csv": ",", ".tsv": "\t"}.get(out.suffix.lower(), " ")
    with (
        files.explained(out),
        files.replacing(out) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, delimiter=comma, lineterminator="\n").writerows(lines)
    logger.info(f"{out}: {len(lines):,} folders")


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.extract_frames", __doc__)
    parser.add_argument("source", metavar="FOLDER", type=Path, help="of the videos")
    parser.add_argument("target", metavar="NEW_FOLDER", type=Path, help="of the frames")
    default = Settings()
    add = parser.add_argument
    add("--kind", choices=TEMPLATES, default="rgb", help="what to write (%(default)s)")
    add("--template", help="of the names (img_{:05}.jpg; {}_{:05d}.jpg for flow)")
    add("--first", type=int, default=default.first, help="number of the first (%(default)s)")
    add("--short-side", type=int, default=default.short_side, help="pixels; 0 keeps the size")
    add("--fps", type=float, default=default.fps, help="constant rate; 0 takes every frame")
    add("--quality", type=int, default=default.quality, help="of JPEG (%(default)s)")
    add("--method", choices=("farneback", "tvl1"), default=default.method, help="of flow")
    add("--bound", type=float, default=default.bound, help="of flow, in pixels (%(default)s)")
    add("--list", dest="lists", nargs="+", type=Path, default=(), help="lists of the videos")
    add("--workers", type=int, default=0, help="processes (default: one a core)")
    args = vars(parser.parse_args(argv))
    args["template"] = args["template"] or TEMPLATES[args["kind"]]
    settings = Settings(**{key: args.pop(key) for key in asdict(default)})
    return jobs.exit_code(lambda: run(**args, settings=settings))


if __name__ == "__main__":
    sys.exit(main())
