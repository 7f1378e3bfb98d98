"""Annotation files as MMAction2 has them, from what the archives of a data set unpack to.

    python -m data_prep.lists ucf101/split1 --source RAW --out LISTS
    python -m data_prep.lists ucf101/split1 --source RAW --out LISTS --rawframes FRAMES

Files that are missing are left out and counted. Paths are relative to the folder of the videos, or
with --rawframes of the frames, which has one folder for each video. Lists of paths with spaces
become csv files.
"""

import argparse
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from data_prep.build import builder
from data_prep.clips import Clip, Frames
from data_prep.video_builder import VideoBuilder
from jaxvid import cli


def write(
    made: VideoBuilder,
    source: Path,
    out: Path,
    rawframes: str = "",
    template: str = "img_{:05}.jpg",
) -> None:
    """Writes the lists of all splits into `out`.

    Args:
      source: folder of what the archives unpack to.
      rawframes: folder of extracted frames; the lists are of these.
      template: of the names of frames there.

    Raises:
      UserError: annotations are missing, or all files of a split.
    """
    listed = made.clips(source)
    if rawframes:
        made.content = Frames(template)
        listed = {split: [_frames(c, rawframes) for c in clips] for split, clips in listed.items()}
    kind = "rawframes" if isinstance(made.content, Frames) else "videos"
    out.mkdir(parents=True, exist_ok=True)
    for split, found in made.found(listed).items():
        for name, clips in made.list_files(split, kind, list(found.clips)).items():
            folder, clips = _together(clips)
            counts = []
            if isinstance(made.content, Frames):
                counts = [len(list(made.content.files(clip))) for clip in clips]
            path, separator = out / name, " "
            if path.suffix == ".txt" and any(" " in clip.path for clip in clips):
                path, separator = path.with_suffix(".csv"), ","
            path.write_text(made.list_text(clips, counts, separator), encoding="utf-8")
            print(f"{path}: {len(clips):,} lines, prefix={os.path.relpath(folder, source)}")


def _frames(clip: Clip, rawframes: str) -> Clip:
    """The folder of the frames of a video."""
    return replace(clip, folder=rawframes, path=os.path.splitext(clip.path)[0])


def _together(clips: list[Clip]) -> tuple[str, list[Clip]]:
    """(folder, the same clips with paths relative to it)."""
    ((folder, _),) = Counter(clip.folder for clip in clips).most_common(1)
    paths = [os.path.relpath(clip.file, folder) for clip in clips]
    return folder, [
        replace(clip, folder=folder, path=path) for clip, path in zip(clips, paths, strict=True)
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.lists",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="data set, or data set/config")
    parser.add_argument("--source", required=True, help="folder of what the archives unpack to")
    parser.add_argument("--out", required=True, help="folder of the lists")
    parser.add_argument("--rawframes", default="", help="list these frames instead of the videos")
    parser.add_argument("--template", default="img_{:05}.jpg", help="of the names of the frames")
    given = parser.parse_args(arguments)
    made = builder(given.name, given.out)
    write(made, Path(given.source), Path(given.out), given.rawframes, given.template)


if __name__ == "__main__":
    sys.exit(cli.guard(main))
