"""Convert annotations of videos from one format to another.

    python -m jaxvid.tools.convert_annotations IN OUT --from FORMAT --to FORMAT

| format            | content                                                          |
|-------------------|------------------------------------------------------------------|
| csv               | path,label: classes of videos by name                            |
| mmaction_list     | path label: classes of videos by number, as MMAction2 writes it  |
| segments          | json of segments: {"v": {"duration": ..., "annotations": [...]}} |
| segments_csv      | video,start,end,label in seconds                                 |
| activitynet       | the official json of ActivityNet                                 |
| mmaction_segments | MMAction2's json of ActivityNet, with numbers of frames          |
| boxes             | csv of AVA with names of classes                                 |
| ava               | csv of AVA with numbers of classes from 1, as MMAction2 reads it |
| cvat              | CVAT's XML for videos: tracks of boxes                           |
| via_json, via_csv | VIA's annotations of videos: segments and boxes                  |
| elan              | ELAN's .eaf: tiers of segments                                   |

Names and numbers of classes are converted with --names. CVAT and VIA have pixels, and CVAT numbers
of frames, so these need --videos. So do lengths of videos that IN lacks. The class is the label of
a track in CVAT and the first attribute in VIA, unless --attribute names another attribute. A file
of CVAT and ELAN has one video; for several videos, OUT is a folder with a file for each.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jaxvid import class_names, cli, files
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.formats import activitynet, cvat, elan, tables, via
from jaxvid.data.annotations.formats.items import KINDS, Annotations, Format, Known
from jaxvid.errors import UserError

FORMATS: dict[str, Format] = (
    tables.FORMATS | activitynet.FORMATS | cvat.FORMATS | via.FORMATS | elan.FORMATS
)
ENDINGS = {"cvat": ".xml", "elan": ".eaf"}  # of the files of single videos


def run(
    source: Path,
    out: Path,
    one: str,
    other: str,
    *,
    names: str = "",
    videos: Path | None = None,
    attribute: str = "",
) -> Annotations:
    """Convert a file, or all files in a folder if the format has one video per file.

    Args:
      source: the file or folder to read.
      out: the file to write, or the folder if there are several videos and `other` has one per
        file.
      one, other: names of the formats.
      names: file of class names, one per line, or the name of a data set.
      videos: folder of the videos.
      attribute: attribute of CVAT or VIA that has the class; "" for the default.

    Returns:
      What was written.

    Raises:
      UserError: a file is invalid, a fact is missing, or `other` has no annotations of this kind.
    """
    known = Known(_names(names), videos, attribute)
    if videos and not videos.is_dir():
        raise UserError(f"--videos={videos}: no such folder")
    if out.exists() and source.exists() and out.samefile(source):
        raise UserError(f"{out}: this is the input; name another file for the output")
    found = read(source, one, known)
    kept = {kind: getattr(found, kind) if kind in FORMATS[other].kinds else [] for kind in KINDS}
    for kind in KINDS:
        if lost := len(getattr(found, kind)) - len(kept[kind]):
            print(f"{lost:,} {kind} are left out, because {other} has none", file=sys.stderr)
    if found.ignored:
        print(f"{source}: {found.ignored:,} entries without a segment or a box", file=sys.stderr)
    if not any(kept.values()):
        kinds = " or ".join(FORMATS[other].kinds)
        raise UserError(f"{source}: there are no {kinds} in it, which {other} needs")
    found = replace(found, **kept)
    write(found, out, other, known)
    return found


def read(source: Path, name: str, known: Known) -> Annotations:
    """Read a file, or all files in a folder."""
    paths = [source]
    if source.is_dir() and FORMATS[name].single:
        paths = sorted(source.glob(f"*{ENDINGS[name]}"))
        if not paths:
            raise UserError(f"{source}: there is no {ENDINGS[name]} in it")
    elif not source.is_file():
        raise UserError(f"{source}: no such file")
    found = Annotations()
    for path in paths:
        each = FORMATS[name].read(path, known)
        for kind in KINDS:
            getattr(found, kind).extend(getattr(each, kind))
        found.lengths |= each.lengths
        found.ignored += each.ignored
    return found


def write(found: Annotations, out: Path, name: str, known: Known) -> None:
    """Write a file, or a file for each video if the format has one video per file."""
    form, videos = FORMATS[name], found.videos()
    if not form.single or len(videos) == 1:
        texts = {out: form.write(found, known)}
    else:
        parts = {video: _of(found, video) for video in videos}
        texts = {
            out / f"{Path(video).stem}{ENDINGS[name]}": form.write(part, known)
            for video, part in parts.items()
            if any(getattr(part, kind) for kind in form.kinds)
        }
    for path, text in texts.items():
        with files.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, text)


def _of(found: Annotations, video: str) -> Annotations:
    """Return the annotations of one video."""
    kept = {k: [item for item in getattr(found, k) if item.video == video] for k in KINDS}
    return replace(found, **kept)


def _names(names: str) -> tuple[str, ...]:
    """Return the class names of a file or of a data set."""
    if not names or not Path(names).is_file():
        return class_names.of(names) if names else ()
    return tuple(text for _, text in lists.lines(Path(names)))


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.convert_annotations", __doc__)
    parser.add_argument("source", metavar="IN", type=Path, help="file to read")
    parser.add_argument("out", metavar="OUT", type=Path, help="file to write")
    parser.add_argument("--from", dest="one", required=True, choices=FORMATS, help="format of IN")
    parser.add_argument("--to", dest="other", required=True, choices=FORMATS, help="format of OUT")
    parser.add_argument("--names", default="", help="class names: a file, or a data set like ava")
    parser.add_argument("--videos", type=Path, help="folder of the videos")
    parser.add_argument("--attribute", default="", help="attribute of CVAT or VIA with the class")
    args = parser.parse_args(argv)

    def convert() -> None:
        found = run(**vars(args))
        counts = ", ".join(f"{len(items):,} {k}" for k in KINDS if (items := getattr(found, k)))
        print(f"{args.out}: {counts} of {len(found.videos()):,} videos")

    return cli.guard(convert)


if __name__ == "__main__":
    sys.exit(main())
