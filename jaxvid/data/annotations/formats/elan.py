"""ELAN's .eaf: segments on tiers, with times in milliseconds.

A segment has the text of its annotation as class. Time slots without a time are spread evenly
between their neighbors, as in ELAN. Tiers that refer to annotations of other tiers
have no times of their own, and are counted.
"""

from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlparse
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from jaxvid.data.annotations.formats.items import Annotations, Format, Known
from jaxvid.data.annotations.formats.xml import Element, parse
from jaxvid.errors import UserError


def read(path: Path, known: Known) -> Annotations:
    """Read the segments of all tiers."""
    root, found = parse(path), Annotations()
    if not root.first("ANNOTATION_DOCUMENT"):
        raise UserError(f"{path}:1: there is no <ANNOTATION_DOCUMENT>: this is not an .eaf of ELAN")
    slots = _times(list(root.all("TIME_SLOT")))
    video = _video(root, path)

    def seconds(annotation: Element, key: str) -> float:
        slot = annotation.get(key)
        if slot not in slots:
            raise UserError(f'{annotation.where}: there is no time slot "{slot}"')
        return slots[slot]

    for tier in root.all("TIER"):
        for annotation in tier.all("ALIGNABLE_ANNOTATION"):
            value = annotation.first("ANNOTATION_VALUE")
            start, end = (seconds(annotation, f"TIME_SLOT_REF{i}") for i in (1, 2))
            label = value.text.strip() if value else ""
            found.segment(video, start, end, label, annotation.where)
        found.ignored += len(list(tier.all("REF_ANNOTATION")))
    return found


def write(found: Annotations, known: Known) -> str:
    """Return an .eaf with the segments of one video on a tier "actions"."""
    (video,) = dict.fromkeys(segment.video for segment in found.segments)
    times = [t for s in found.segments for t in (s.start, s.end)]
    slots = (
        f'  <TIME_SLOT TIME_SLOT_ID="ts{i}" TIME_VALUE="{round(1000 * time)}"/>'
        for i, time in enumerate(times, 1)
    )
    annotations = (
        f'  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{i // 2 + 1}" TIME_SLOT_REF1="ts{i}"'
        f' TIME_SLOT_REF2="ts{i + 1}"><ANNOTATION_VALUE>{escape(segment.label)}'
        "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        for i, segment in zip(range(1, len(times), 2), found.segments, strict=True)
    )
    lines = (
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2000-01-01T00:00:00+00:00" FORMAT="3.0"'
        ' VERSION="3.0">',
        ' <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
        f'  <MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(video)} MIME_TYPE="video/*"/>',
        " </HEADER>",
        " <TIME_ORDER>",
        *slots,
        " </TIME_ORDER>",
        ' <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="actions">',
        *annotations,
        " </TIER>",
        ' <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt"'
        ' TIME_ALIGNABLE="true"/>',
        "</ANNOTATION_DOCUMENT>",
    )
    return "\n".join(lines) + "\n"


def _times(slots: list[Element]) -> dict[str, float]:
    """Return the time of each slot in seconds."""
    known = [i for i, slot in enumerate(slots) if "TIME_VALUE" in slot.attributes]
    for i, slot in enumerate(slots):
        if not known or not known[0] <= i <= known[-1]:
            slot.get("TIME_VALUE")  # which is missing, and so is a neighbor
    values = [slots[i].number("TIME_VALUE") / 1000 for i in known]
    times = np.interp(np.arange(len(slots)), known, values).tolist() if known else []
    return {slot.get("TIME_SLOT_ID"): time for slot, time in zip(slots, times, strict=True)}


def _video(root: Element, path: Path) -> str:
    """Return the name of the media file, or that of the .eaf without extension."""
    media = root.first("MEDIA_DESCRIPTOR")
    for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL"):
        if media and (url := media.attributes.get(key)):
            parsed = unquote(urlparse(url).path) if "://" in url else url
            return PureWindowsPath(parsed).name  # also splits at slashes
    return path.stem


FORMATS = {
    "elan": Format("ELAN's .eaf: tiers of segments", ("segments",), read, write, single=True)
}
