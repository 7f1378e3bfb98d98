"""Figures of a run: samples of training, curves, confusion matrix, and best and worst clips.

WORKDIR/eval/curves.png      metrics of training, over steps
WORKDIR/eval/confusion.png   confusion matrix of one-label tasks; rows are the true classes
WORKDIR/eval/worst.png       clips with the lowest scores of the true class
WORKDIR/eval/best.png        clips with the highest scores of the true class
WORKDIR/eval/examples.json   texts of these clips, and the position of each clip in its sheet
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvid import files
from jaxvid.data.sample import Source, Transform
from jaxvid.data.video.containers import VideoError
from jaxvid.draw import overlays, plots, sheets
from jaxvid.draw.canvas import png
from jaxvid.tasks.base import Judged, Report
from jaxvid.writers import jsonl

FRAMES, CLIPS = 4, 8  # frames of a clip, and clips of a sheet


def of_batch(batch: Mapping[str, jax.Array], names: Sequence[str]) -> np.ndarray | None:
    """Return a sheet of the first clips of a batch with their classes, uint8 (h, w, 3).

    Returns None if the batch has no videos.
    """
    video = batch.get("video")
    if video is None or video.dtype != np.uint8:
        return None
    clips = local(video)[:CLIPS]
    labels = local(batch["label"])[:CLIPS] if "label" in batch else [()] * len(clips)
    views = [
        sheets.View(classes(label, names), rgb(clip[0]))
        for label, clip in zip(labels, clips, strict=True)
    ]
    return sheets.contact_sheet(views, FRAMES)


def local(array: jax.Array) -> np.ndarray:
    """Return the first rows of a batch that are on this process."""
    return np.asarray(array.addressable_shards[0].data)


def classes(label: Any, names: Sequence[str]) -> str:
    """Return the name of a class, or the names of the classes of a multi-label row of 0/1."""
    shown: list[int] = np.flatnonzero(label).tolist() if np.ndim(label) else [int(label)]
    return ", ".join(names[i] for i in shown if i < len(names))


def rgb(clip: np.ndarray) -> np.ndarray:
    """Return a clip as (t, h, w, 3). For optical flow, the motion along x is shown as gray."""
    return clip if clip.shape[-1] == 3 else np.repeat(clip[..., :1], 3, -1)


def of_test(
    workdir: Path, pipeline: Sequence[Transform], source: Source, index: np.ndarray, report: Report
) -> dict[str, np.ndarray]:
    """Write the figures of a test, and remove those of an earlier one.

    Args:
      workdir: folder of the run.
      pipeline: the transforms of the test.
      source: the samples.
      index: row of `source` for each prediction.
      report: report of the test.

    Returns:
      {name: image}, uint8 (h, w, 3).
    """
    curves = plots.curves_picture(plots.curves(jsonl.records(workdir)))
    found: dict[str, np.ndarray | None] = {"curves": curves, "confusion": None}
    if rows := report.files.get("confusion.csv"):
        counts = np.array([row[1:] for row in rows[1:]], int)
        found["confusion"] = plots.Matrix(counts, rows[0][1:]).picture()
    examples = {}
    for name, judged in (("worst", report.worst), ("best", report.best)):
        entries = [(j, clip(pipeline, source, int(index[j.row]))) for j in judged]
        found[name], examples[name] = sheet(entries, [source.id(index[j.row]) for j in judged])
    folder = workdir / "eval"
    with files.explained(folder):
        for name, pixels in found.items():
            path = folder / f"{name}.png"
            path.unlink(missing_ok=True)
            if pixels is not None:
                with files.replacing(path) as part:
                    part.write_bytes(png(pixels))
        files.write_text(folder / "examples.json", json.dumps(examples, indent=1) + "\n")
    return {name: pixels for name, pixels in found.items() if pixels is not None}


def clip(pipeline: Sequence[Transform], source: Source, index: int) -> np.ndarray | None:
    """Return FRAMES frames of a sample as the model saw it, or the spectrogram of a sound.

    Returns None if it cannot be read, or has neither.
    """
    sample, rng = dict(source[index]), np.random.default_rng(0)
    try:
        for transform in pipeline:
            sample = transform(sample, rng)
    except (VideoError, OSError):
        return None
    if "audio" in sample:
        return overlays.spectrogram(sample["audio"][len(sample["audio"]) // 2])
    if "video" not in sample:
        return None
    views = rgb(sample["video"])
    view = views[len(views) // 2]
    return view[sheets.spread(view, FRAMES)]


def sheet(
    entries: Sequence[tuple[Judged, np.ndarray | None]], ids: Sequence[str]
) -> tuple[np.ndarray | None, list[dict]]:
    """Return a contact sheet of the clips that are not None, and entries for examples.json."""
    tiles, written, top = [], [], 0
    for (judged, frames), name in zip(entries, ids, strict=True):
        entry: dict[str, Any] = dict(
            id=name, true=judged.true, predicted=judged.predicted, score=round(judged.score, 4)
        )
        if frames is not None:
            lines = list(texts(entry))
            shown = sheets.fit(frames, 2 * FRAMES)
            tiles.append(sheets.tile("\n".join(lines), shown))
            above = sheets.LINE * len(lines)
            entry["box"] = [0, top + above, tiles[-1].shape[1], shown.shape[1]]  # x, y, w, h
            top += len(tiles[-1])
        written.append(entry)
    if not tiles:
        return None, written
    width = max(tile.shape[1] for tile in tiles)
    return np.concatenate([sheets.pad(tile, width) for tile in tiles]), written


def texts(entry: Mapping) -> Iterator[str]:
    """Yield the lines of text above a clip."""
    yield f"true: {entry['true']}"
    yield f"predicted: {entry['score']:.0%}  {entry['predicted']}"
    yield Path(entry["id"]).name
