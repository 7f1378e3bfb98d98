"""Cut FineGYM's sub-actions from its videos.

    python -m data_prep.gym.trim --source RAW

RAW contains videos/YOUTUBE_ID.mp4 and finegym_annotation_info_v1.1.json. The clips are written to
RAW/subactions. Their names are those of the lists, YOUTUBE_ID_EVENT_SUBACTION.mp4. The
annotations give times of events in seconds of the video, and of sub-actions in seconds of the
event.
"""

import argparse
import sys
from pathlib import Path

from data_prep import layout
from data_prep.trim import Cut, cut_all
from jaxvid import cli

ANNOTATIONS = tuple(
    f"{folder}{name}"
    for name in (
        "finegym_annotation_info_v1.1.json",
        "finegym_annotation_info_v1.0.json",
        "annotation.json",
    )
    for folder in ("", "annotations/")
)


def cuts(source: Path) -> dict[Path, list[Cut]]:
    """Return the clips to cut from each video."""
    found: dict[Path, list[Cut]] = {}
    for video, events in layout.json_file(layout.first_existing(source, *ANNOTATIONS)).items():
        for event, about in events.items():
            begin = about["timestamps"][0][0]
            for name, action in (about["segments"] or {}).items():
                times = action["timestamps"]
                path = source / "subactions" / f"{video}_{event}_{name}.mp4"
                cut = Cut(path, begin + times[0][0], begin + times[-1][1])
                found.setdefault(source / "videos" / f"{video}.mp4", []).append(cut)
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.gym.trim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", required=True, type=Path)
    source = parser.parse_args(arguments).source
    (source / "subactions").mkdir(exist_ok=True)
    cut_all(cuts(source))


if __name__ == "__main__":
    sys.exit(cli.guard(main))
