"""Write annotation lists in MMAction2's format from the unpacked archives of a data set.

    python -m data_prep.lists ucf101/split1 --source RAW --out LISTS
    python -m data_prep.lists ucf101/split1 --source RAW --out LISTS --rawframes FRAMES

Files that are missing are left out and counted. Paths are relative to the folder of the videos, or
with --rawframes of the frames, which has one folder for each video; paths with spaces stand in
quotes. Optical flow is --rawframes FLOW --template '{}_{:05d}.jpg'.

LISTS is what the configs of the data set read, as --config.data.root or as their default: the lists
have the names that they expect, the class names lie beside them, and a link stands where they look
for the videos, unless RAW is LISTS and has them there.
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
from jaxvid import cli, files
from jaxvid.errors import UserError


def write(
    made: VideoBuilder,
    source: Path,
    out: Path,
    rawframes: str = "",
    template: str = "img_{:05}.jpg",
) -> None:
    """Write the lists of all splits into `out`.

    Args:
      source: folder into which the archives were unpacked.
      rawframes: folder of extracted frames. If it is given, the lists contain folders of frames
        instead of videos. "{split}" in it stands for the name of the split.
      template: pattern of the file names of frames.

    Raises:
      UserError: annotations are missing, or all files of a split are.
    """
    listed = made.clips(source)
    if rawframes:
        made.content = Frames(template)
        listed = {
            split: [made.frames_of(clip, rawframes.replace("{split}", split)) for clip in clips]
            for split, clips in listed.items()
        }
    kind = "rawframes" if isinstance(made.content, Frames) else "videos"
    out.mkdir(parents=True, exist_ok=True)
    for split, found in made.found(listed).items():
        for name, clips in made.list_files(split, kind, list(found.clips)).items():
            folder, clips = _together(clips)
            counts = []
            if isinstance(made.content, Frames):
                counts = [len(list(made.content.files(clip))) for clip in clips]
            path, prefix = out / name, os.path.relpath(folder, source)
            if made.prefix(name):
                prefix = made.prefix(name)
                _link(out / prefix, Path(folder))
            if path.exists() and any(path.samefile(file) for file in made.inputs):
                print(f"{path}: not replaced, because the clips were read from it, prefix={prefix}")
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made.list_text(name, clips, counts), encoding="utf-8")
            print(f"{path}: {len(clips):,} clips, prefix={prefix}")
    for name in made.companions:
        if (source / name).exists() and not (out / name).exists():
            _link(out / name, source / name)
    if made.label_file:
        files.write_text(out / made.label_file, "".join(f"{name}\n" for name in made.names))


def _link(link: Path, folder: Path) -> None:
    """Make `link` a symbolic link to `folder`, which can also be a file.

    Raises:
      UserError: `link` is another file or folder, or the file system has no links.
    """
    if link.exists():
        if not link.samefile(folder):
            raise UserError(f"{link}: is not {folder}, where the listed files are; remove it")
        return
    with files.explained(link):
        link.unlink(missing_ok=True)  # an old link whose folder no longer exists
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder.absolute())


def _together(clips: list[Clip]) -> tuple[str, list[Clip]]:
    """Return the most frequent folder of the clips, and the clips with paths relative to it."""
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
    parser.add_argument("--source", required=True, help="folder of the unpacked archives")
    parser.add_argument("--out", required=True, help="folder of the lists")
    parser.add_argument("--rawframes", default="", help="list these frames instead of the videos")
    parser.add_argument("--template", default="img_{:05}.jpg", help="of the names of the frames")
    given = parser.parse_args(arguments)
    made = builder(given.name, given.out)
    write(made, Path(given.source), Path(given.out), given.rawframes, given.template)


if __name__ == "__main__":
    sys.exit(cli.guard(main))
