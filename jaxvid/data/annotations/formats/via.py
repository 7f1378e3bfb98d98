"""VIA's annotations of videos (VGG Image Annotator 3), as project json or as csv.

An entry with two times is a segment, and an entry with one time and a rectangle is a box in pixels.
The class is the value of the first attribute, or of a chosen one. Options of a list are stored by
number.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import Entry, entry
from jaxvid.data.annotations.formats.items import Annotations, Format, Known
from jaxvid.errors import UserError

RECTANGLE = 2  # number of the shape in "xy"
ATTRIBUTES = re.compile(r"^# ATTRIBUTES? = (\{.*\})\s*$", re.MULTILINE)
# Attributes of what is written: those of segments and of rectangles.
WRITTEN = {"1": "FILE1_Z2_XY0", "2": "FILE1_Z1_XY1"}
HEADER = (
    "metadata_id",
    "file_list",
    "flags",
    "temporal_coordinates",
    "spatial_coordinates",
    "metadata",
)


def read_json(path: Path, known: Known) -> Annotations:
    """Read a project."""
    found, sizes = Annotations(), Sizes(known)
    project = entry(lists.parse_json(lists.read_text(path), path), str(path), "a project of VIA 3")
    files, views = project.entry("file"), project.entry("view")
    attributes = project.entry("attribute").values
    for key in (metadata := project.entry("metadata")).values:
        own = metadata.entry(key)
        view = views.entry(own.name("vid"))
        videos = [files.entry(str(f)).text("fname") for f in view.items("fid_list")]
        label = _label(own.entry("av").values, attributes, known.attribute)
        _add(found, sizes, own, videos, label)
    return found


def write_json(found: Annotations, known: Known) -> str:
    """Return a project with all videos."""
    numbers = {video: str(i) for i, video in enumerate(found.videos(), 1)}
    metadata = {}
    for i, (video, z, xy, label) in enumerate(_entries(found, Sizes(known))):
        number = numbers[video]
        values = {"vid": number, "flg": 0, "z": z, "xy": xy, "av": {"2" if xy else "1": label}}
        metadata[f"{number}_{i:08}"] = values
    files = {
        n: {"fid": n, "fname": video, "type": 4, "loc": 1, "src": video}
        for video, n in numbers.items()
    }
    about = {"pid": "__VIA_PROJECT_ID__", "pname": "", "data_format_version": "3.1.1"}
    project = {
        "project": about | {"vid_list": list(numbers.values())},
        "config": {},
        "attribute": _attributes(),
        "file": files,
        "view": {n: {"fid_list": [n]} for n in numbers.values()},
        "metadata": metadata,
    }
    return json.dumps(project, ensure_ascii=False) + "\n"


def read_csv(path: Path, known: Known) -> Annotations:
    """Read a csv, whose cells are json."""
    found, sizes = Annotations(), Sizes(known)
    match = ATTRIBUTES.search(lists.read_text(path))
    attributes = lists.parse_json(match[1], path) if match else {}
    for number, cells in lists.rows(path, header=True):
        where = f"{path}:{number}"
        if tuple(cells) == HEADER:
            continue
        if len(cells) != len(HEADER):
            raise UserError(f"{where}: expected {len(HEADER)} cells, {','.join(HEADER)}")
        try:
            videos, z, xy, values = (json.loads(cells[i]) for i in (1, 3, 4, 5))
        except ValueError:
            raise UserError(f"{where}: a cell is not json") from None
        own = Entry({"z": z, "xy": xy}, where)
        if not isinstance(values, dict) or not isinstance(videos, list):
            raise UserError(f"{where}: expected a list of files, and a dict of values")
        _add(found, sizes, own, videos, _label(values, attributes, known.attribute))
    return found


def write_csv(found: Annotations, known: Known) -> str:
    """Return a csv as VIA exports it."""
    text = io.StringIO()
    text.write("# Exported using VGG Image Annotator\n")
    text.write(f"# ATTRIBUTE = {json.dumps(_attributes())}\n# CSV_HEADER = {','.join(HEADER)}\n")
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for i, (video, z, xy, label) in enumerate(_entries(found, Sizes(known))):
        own = {"2" if xy else "1": label}
        files, values = (json.dumps(v, ensure_ascii=False) for v in ([video], own))
        table.writerow((f"1_{i:08}", files, 0, json.dumps(z), json.dumps(xy), values))
    return text.getvalue()


def _attributes() -> dict[str, dict[str, Any]]:
    """Return the attributes of a project, which have the class as text."""
    about = {"aname": "action", "type": 1, "desc": "", "options": {}, "default_option_id": ""}
    return {key: about | {"anchor_id": anchor} for key, anchor in WRITTEN.items()}


class Sizes:
    """Width and height of the videos in pixels, each of which is opened once."""

    def __init__(self, known: Known):
        self._known, self._sizes = known, dict[str, tuple[int, int]]()

    def of(self, video: str, where: str) -> tuple[int, int]:
        """Return the width and height of a video."""
        if video not in self._sizes:
            with self._known.reader(video, where) as reader:
                self._sizes[video] = (reader.width, reader.height)
        return self._sizes[video]


def _label(values: Mapping, attributes: Mapping, name: str) -> str:
    """Return the class among the values of an entry; "" if there is none.

    Args:
      values: value, or number of an option, by the id of the attribute.
      attributes: name and options of each attribute.
      name: name of the attribute to choose; "" for the first one.
    """
    for key, value in values.items():
        about = attributes.get(key)
        about = about if isinstance(about, Mapping) else {"aname": about}
        if name in ("", key, about.get("aname")):
            value = (about.get("options") or {}).get(str(value), value)
            return value.strip() if isinstance(value, str) else ""
    return ""


def _add(found: Annotations, sizes: Sizes, own: Entry, videos: list, label: str) -> None:
    """Add one entry of VIA, or count it if it is neither a segment nor a box."""
    times, shape = own.finite("z").tolist(), own.finite("xy").tolist()
    if len(videos) != 1 or not isinstance(videos[0], str):
        raise UserError(f"{own.where}: expected one video, found {videos}")
    if len(times) == 2 and not shape:
        start, end = times
        found.segment(videos[0], start, end, label, own.where)
    elif len(times) == 1 and len(shape) == 5 and shape[0] == RECTANGLE:
        width, height = sizes.of(videos[0], own.where)
        _, x, y, w, h = shape
        corners = (x / width, y / height, (x + w) / width, (y + h) / height)
        found.box(videos[0], times[0], corners, label, own.where)
    else:
        found.ignored += 1


def _entries(found: Annotations, sizes: Sizes) -> Iterator[tuple[str, list, list, str]]:
    """Yield video, "z", "xy" and class of all segments and boxes."""
    for s in found.segments:
        yield s.video, [s.start, s.end], [], s.label
    for box in found.boxes:
        width, height = sizes.of(box.video, f'video "{box.video}"')
        x1, y1, x2, y2 = box.corners
        pixels = x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height
        xy = [RECTANGLE, *(round(v, 3) for v in pixels)]
        yield box.video, [box.time], xy, box.label


BOTH = ("segments", "boxes")
FORMATS = {
    "via_json": Format("VIA's project json of videos", BOTH, read_json, write_json),
    "via_csv": Format("VIA's csv of videos", BOTH, read_csv, write_csv),
}
