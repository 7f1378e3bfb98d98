"""Write the key points of people in videos to a pickle, as MMAction2 stores them.

    python -m jaxvid.tools.extract_poses VIDEOS --out DATA/skeletons.pkl

VIDEOS is a folder, or one video. Each video becomes an annotation, whose frame_dir is its path
below the folder without the ending; `data/annotations/skeleton_files.py` describes annotations. Its
label is the number of its class folder. Folders train/ and val/ above class folders become splits
of the pickle. With lists of videos, as `--list train.csv val.csv` with lines `path,label`, the
labels are those of the lists, and each list becomes a split. Other videos have the label -1. If
classes have names, classes.txt beside the pickle lists them.

`python -m jaxvid.tools.skeleton --help` explains how people are found. With --gesture, the key
points are those of one hand.

The annotations of single videos are kept in the folder DATA/skeletons.parts, so the same command
continues after an interruption, and only processes videos that are new or have changed. Videos in
which nobody was seen are left out. Videos that cannot be read are reported, and the exit code is 1.
"""

import argparse
import logging
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jaxvid import cli, files, provenance
from jaxvid.data.annotations import lists, skeleton_files
from jaxvid.data.annotations.labels import in_order, to_numbers
from jaxvid.data.sources.user_clips import CLASSES
from jaxvid.data.video import video_files
from jaxvid.data.video.decode import VideoReader
from jaxvid.errors import UserError
from jaxvid.inference import skeleton, tracking
from jaxvid.inference.skeleton import PoseFinder
from jaxvid.tools import extraction, jobs
from jaxvid.tools.extraction import Extraction
from jaxvid.tools.skeleton import add_finders, function_or_name

logger = logging.getLogger("jaxvid.tools.extract_poses")

NAME = "poses"  # of the files with the settings and the record
SPLITS = ("train", "val", "test")  # names of folders of splits


@dataclass(frozen=True)
class Settings:
    """Settings of the extraction, which all annotations of a pickle share.

    Attributes:
      detector, estimator: names of weights, or MODULE:FUNCTION, see `inference.skeleton`.
      task: "skeleton" or "gesture".
      least: minimum score of a box; None for the usual one of the task.
      people: maximum number of people in an annotation.
    """

    detector: str
    estimator: str
    task: str = "skeleton"
    least: float | None = None
    people: int = 10


@dataclass(frozen=True)
class Job:
    """One video, the file of its annotation, and the name of the annotation."""

    source: Path
    target: Path
    name: str
    settings: Settings


@dataclass(frozen=True)
class Labels:
    """Labels and splits of videos.

    Attributes:
      labels: class of each video by the name of its annotation.
      splits: names of the annotations of each split; empty without lists.
      classes: class names by label; empty if classes have no names.
    """

    labels: Mapping[str, int]
    splits: Mapping[str, Sequence[str]]
    classes: Sequence[str]


def extract(job: Job) -> tuple[int, bool]:
    """Write the annotation of one video. The file appears atomically and complete.

    Returns:
      The number of frames of the video, and True.

    Raises:
      VideoError: the video cannot be read.
      UserError: the detector or the estimator cannot be loaded, or returns something wrong.
    """
    options = skeleton.TASKS[job.settings.task]
    with VideoReader(job.source) as reader:
        poses = _finder(job.settings)(reader)
        people, _ = tracking.track(poses, options.get("tracking", tracking.USUAL))
        size = reader.height, reader.width
        most = job.settings.people
        made = skeleton.annotation(people, job.name, reader.frames, size, most=most)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(job.target) as part:
        part.write_bytes(pickle.dumps(made))
    return made["total_frames"], True


@lru_cache  # a worker process loads the models once
def _finder(settings: Settings) -> PoseFinder:
    least = settings.least or skeleton.TASKS[settings.task].get("least", skeleton.LEAST)
    return skeleton.finder(
        function_or_name(settings.detector, "--detector"),
        function_or_name(settings.estimator, "--estimator"),
        least,
    )


def run(
    source: Path, out: Path, settings: Settings, *, lists: Sequence[Path] = (), workers: int = 1
) -> int:
    """Extract the missing annotations, and write the pickle.

    Returns:
      The number of videos that failed.

    Raises:
      UserError: there are no videos, a list is wrong, the functions cannot be loaded, nobody was
        seen in any video, or the pickle cannot be written.
    """
    if not settings.people >= 1:
        raise UserError(f"--people={settings.people}: it must be at least 1")
    files.probe_file(out, lists)
    _finder(settings)  # so that what is missing is reported before the start
    names = names_of(source)
    labels = read_lists(lists, names) if lists else of_folders(names)
    check_classes(out, labels.classes)
    parts = out.with_name(f"{out.stem}.parts")
    what = Extraction(
        name=NAME,
        stream="video",
        suffix=".pkl",
        wrote="the key points of {:,} videos",
        settings=asdict(settings),
        job=lambda path, to, fresh: None if fresh else Job(path, to, names[path], settings),
        extract=extract,
    )
    failed = extraction.run(what, source, parts, workers=workers)
    write(out, parts, names, labels)
    return failed


def names_of(source: Path) -> dict[Path, str]:
    """Return the name of the annotation of each video."""
    base = source if source.is_dir() else source.parent
    videos = jobs.videos_below(source)
    return {path: path.relative_to(base).with_suffix("").as_posix() for path in videos}


def of_folders(names: Mapping[Path, str]) -> Labels:
    """Return labels by class folders, which may lie in folders of splits, train/ and val/.

    Labels are -1 if a video is in no class folder.
    """
    folders = {name: name.split("/")[:-1] for name in names.values()}
    first = {own[0] if own else "" for own in folders.values()}
    splits: dict[str, list[str]] = {}
    if {"train", "val"} <= first <= set(SPLITS):
        for name in folders:
            splits.setdefault(folders[name].pop(0), []).append(name)
    classes = in_order(own[0] for own in folders.values()) if all(folders.values()) else ()
    known = {name: classes.index(own[0]) if classes else -1 for name, own in folders.items()}
    return Labels(known, splits, classes)


def read_lists(paths: Sequence[Path], names: Mapping[Path, str]) -> Labels:
    """Return the labels and splits of lists of videos.

    Raises:
      UserError: a list does not exist, or a line has no label or a video that does not exist.
    """
    known, labels, splits, classes = set(names.values()), {}, {}, ()
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such list of videos")
        if path.stem in splits:
            raise UserError(f"{path}: another list is called {path.stem}; rename one of them")
        rows = [(number, *cells[:1], cells[-1:]) for number, cells in lists.rows(path)]
        own = []
        for number, name, _ in rows:
            own.append(video_files.without_ending(name) if name not in known else name)
            if own[-1] not in known:
                raise UserError(f"{path}:{number}: no such video: {name}")
        raw, where = [label for *_, label in rows], [number for number, *_ in rows]
        values, classes = to_numbers(raw, classes, False, None, path, where)
        labels.update(zip(own, values.tolist(), strict=True))
        splits[path.stem] = own
    return Labels({name: labels.get(name, -1) for name in known}, splits, classes)


def check_classes(out: Path, classes: Sequence[str]) -> None:
    """Raise a UserError if classes.txt beside the pickle has other classes."""
    path = out.with_name(CLASSES)
    if classes and path.exists() and [name for _, name in lists.lines(path)] != list(classes):
        raise UserError(f"{path}: has other classes than these videos; write to another folder")


def write(out: Path, parts: Path, names: Mapping[Path, str], labels: Labels) -> None:
    """Write the pickle, and the names of the classes, from the annotations of single videos.

    Raises:
      UserError: there is no annotation with people.
    """
    record = provenance.Record(parts / f"{NAME}.jsonl")
    found: dict[str, dict[str, Any]] = {}
    for path, name in names.items():
        part = parts / f"{name}.pkl"
        if record.is_fresh(part, path):
            made = skeleton_files.load(part)
            if len(made["keypoint"]):
                found[name] = made | {"label": labels.labels[name]}
    if not found:
        raise UserError(f"{out}: nobody was seen in any of {len(names):,} videos")
    annotations = [found[name] for name in sorted(found)]
    content: Any = annotations
    if labels.splits:
        own = {split: [n for n in every if n in found] for split, every in labels.splits.items()}
        content = {"split": own, "annotations": annotations}
    with files.explained(out), files.replacing(out) as part:
        part.write_bytes(pickle.dumps(content))
    if labels.classes:
        files.write_text(out.with_name(CLASSES), "\n".join([*labels.classes, ""]))
    without = len(names) - len(found)
    logger.info(f"{out}: {len(found):,} videos; {without:,} without people or key points left out")


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.extract_poses", __doc__)
    add = parser.add_argument
    add("source", metavar="VIDEOS", type=Path, help="folder of videos, or one video")
    add("--out", metavar="FILE.pkl", type=Path, required=True, help="pickle to write")
    add_finders(parser)
    add("--people", type=int, default=10, help="people of a video, the best ones (%(default)s)")
    add("--list", dest="lists", nargs="+", type=Path, default=(), help="lists of the videos")
    add("--workers", type=int, default=1, help="processes; each loads the models (%(default)s)")
    args = parser.parse_args(argv)
    return jobs.exit_code(lambda: run_command(args))


def run_command(args: argparse.Namespace) -> int:
    """Do what the arguments of the command say, and return the number of videos that failed."""
    task = "gesture" if args.gesture else "skeleton"
    usual = skeleton.TASKS[task]
    names = args.detector or usual["detector"], args.estimator or usual["estimator"]
    settings = Settings(*names, task, args.least, args.people)
    return run(args.source, args.out, settings, lists=args.lists, workers=args.workers)


if __name__ == "__main__":
    sys.exit(main())
