"""CVAT's XML for videos (version 1.1): tracks of boxes in pixels, by number of the frame from 0.

The class of a box is the label of its track, or the value of a chosen attribute. Frames become
seconds by the times of the frames in the video.
"""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from jaxvid.data.annotations.formats.items import Annotations, Box, Format, Known, Length
from jaxvid.data.annotations.formats.xml import Element, parse
from jaxvid.errors import UserError

CORNERS = ("xtl", "ytl", "xbr", "ybr")


def read(path: Path, known: Known) -> Annotations:
    """Read the visible boxes of all tracks. Boxes of tracks that are outside are counted."""
    root = parse(path)
    if not root.first("annotations"):
        raise UserError(f"{path}:1: there is no <annotations>: this is not the XML of CVAT")
    sources, found = list(root.all("source")), Annotations()
    if len(sources) != 1 or not sources[0].text.strip():
        raise UserError(
            f"{path}:1: {len(sources)} videos (<source>) in it; export one task as CVAT for video"
            " 1.1"
        )
    (source,) = sources
    if image := root.first("image"):
        raise UserError(f"{image.where}: this is CVAT for images; export CVAT for video 1.1")
    name = source.text.strip()
    with known.reader(name, source.where) as reader:
        size = _size(root) or (reader.width, reader.height)
        times = reader.times
        found.lengths[name] = Length(round(reader.duration, 3), reader.frames)
    for number, track in enumerate(root.all("track")):
        for box in track.all("box"):
            if box.attributes.get("outside") == "1":
                found.ignored += 1
                continue
            frame = box.number("frame")
            if not frame.is_integer() or not 0 <= frame < len(times):
                raise UserError(
                    f"{box.where}: frame {frame:g} is outside the video, 0..{len(times) - 1}"
                )
            corners = [box.number(key) / size[i % 2] for i, key in enumerate(CORNERS)]
            time = float(times[int(frame)])
            found.box(name, time, corners, _label(track, box, known.attribute), box.where, number)
    return found


def write(found: Annotations, known: Known) -> str:
    """Return the tracks of one video: those of the same person and class."""
    (name,) = dict.fromkeys(box.video for box in found.boxes)
    with known.reader(name, f'video "{name}"') as reader:
        width, height, times = reader.width, reader.height, reader.times
    tracks: dict[tuple, list[Box]] = {}
    for number, box in enumerate(found.boxes):
        alone = number if box.person < 0 else None  # an unknown person is a track of its own
        tracks.setdefault((box.person, box.label, alone), []).append(box)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        " <version>1.1</version>",
        f" <meta><task><size>{len(times)}</size><mode>interpolation</mode><original_size>"
        f"<width>{width}</width><height>{height}</height></original_size>"
        f"<source>{_escaped(name)}</source></task></meta>",
    ]
    for number, ((_, label, _), boxes) in enumerate(tracks.items()):
        lines.append(f' <track id="{number}" label={quoteattr(label)} source="manual">')
        for box in sorted(boxes, key=lambda box: box.time):
            frame = int(np.abs(times - box.time).argmin())
            scaled = (v * (width, height)[i % 2] for i, v in enumerate(box.corners))
            corners = " ".join(f'{k}="{v:.2f}"' for k, v in zip(CORNERS, scaled, strict=True))
            state = 'keyframe="1" outside="0" occluded="0"'
            lines.append(f'  <box frame="{frame}" {state} {corners} z_order="0"/>')
        lines.append(" </track>")
    return "\n".join([*lines, "</annotations>"]) + "\n"


def _label(track: Element, box: Element, name: str) -> str:
    """Return the class of a box: the label of its track, or the value of the attribute `name`."""
    if not name:
        return track.get("label")
    found = (a for a in box.all("attribute") if a.attributes.get("name") == name)
    if (attribute := next(found, None)) is None:
        raise UserError(f'{box.where}: the box has no attribute "{name}"')
    return attribute.text.strip()


def _size(root: Element) -> tuple[float, float] | None:
    """Return the width and height in pixels that the boxes refer to."""
    size = root.first("original_size")
    values = [size.first(key) for key in ("width", "height")] if size else []
    numbers = [float(v.text) for v in values if v and v.text.strip().isdecimal()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 and all(numbers) else None


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


FORMATS = {
    "cvat": Format("CVAT's XML for videos: tracks of boxes", ("boxes",), read, write, single=True)
}
