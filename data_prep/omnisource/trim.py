"""Cut the untrimmed videos of OmniSource into clips of ten seconds.

    python -m data_prep.omnisource.trim --source OmniSource

For each kinetics_raw_200_train/.../VIDEO.mp4, this writes a folder VIDEO beside it with part_0.mp4,
part_1.mp4 and so on. The videos are not changed.
"""

import argparse
import sys
from pathlib import Path

from data_prep.trim import Cut, cut_all
from jaxvid import cli
from jaxvid.data.video.decode import VideoReader

SECONDS = 10.0


def cuts(video: Path) -> list[Cut]:
    """Return the parts of a video, ten seconds each. The last one may be shorter."""
    with VideoReader(video) as reader:
        # The last moment that may begin a part: see `Cut`.
        length = max(float(reader.times[-1]), reader.duration - 1 / reader.fps)
    starts = [SECONDS * part for part in range(int(length // SECONDS) + 1)]
    folder = video.with_suffix("")
    folder.mkdir(exist_ok=True)
    return [
        Cut(folder / f"part_{part}.mp4", start, start + SECONDS)
        for part, start in enumerate(starts)
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.omnisource.trim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", required=True, type=Path)
    base = parser.parse_args(arguments).source / "kinetics_raw_200_train"
    videos = [path for path in sorted(base.rglob("*.mp4")) if not path.name.startswith("part_")]
    cut_all({video: cuts(video) for video in videos})


if __name__ == "__main__":
    sys.exit(cli.guard(main))
