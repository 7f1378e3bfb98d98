"""The annotations of MultiSports (Li et al., 2021): tubes of people and their actions.

A tube has the boxes of a person in consecutive frames. One pickle contains both splits:

  "labels"                        class names
  "train_videos", "test_videos"   names of the videos of each split
  "gttubes"                       {video: {class: [array (t, 5): frame, x1, y1, x2, y2]}}, in
                                  pixels; frames count from 1
  "resolution"                    {video: (height, width)}

Every frame of a tube is a key frame.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxvid import pickles
from jaxvid.config.values import Probability
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import Entry, entry, is_whole
from jaxvid.data.annotations.key_frames import Key, KeyFrames, check_boxes, find_files, flat
from jaxvid.data.sources.ava import proposed
from jaxvid.errors import UserError

LISTS = {"train": "train_videos", "val": "test_videos", "test": "test_videos"}
BEYOND = 0.25  # share of the frame by which boxes of people who leave it may reach beyond it
Tube = tuple[int, np.ndarray, np.ndarray]  # label, frames (t,), boxes (t, 4) in shares


def build(
    split: str,
    *,
    root: str,
    file: str = "multisports_GT.pkl",
    proposals: str = "",
    prefix: str = "",
    suffix: str = ".mp4",
    least: Probability = 0.9,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> KeyFrames:
    """Read the tubes of a split, and the proposals for its key frames.

    Args:
      file: Annotations, a pickle, relative to `root`. "{split}" in its name stands for the name of
        the split.
      proposals: File of boxes to classify (see `data/annotations/boxes.py`), relative to `root`, in
        which videos are called VIDEO + suffix; "true" uses the annotated boxes.
      prefix: Folder of the videos, relative to `root`.
      suffix: File extension of the videos.
      least: Minimum score of a proposal. If no proposal of a key frame reaches it, the one with the
        highest score is used.
      names: class names by label. By default, those in the file.

    Raises:
      UserError: the file does not exist, a key is missing, or the number of `names` is not the
        number of classes.
    """
    path = lists.file_of(root, file, split)
    return read(path, split, root, proposals, prefix, suffix, least, names)


def read(
    path: Path,
    split: str,
    root: str,
    proposals: str,
    prefix: str,
    suffix: str,
    least: float,
    names: tuple[str, ...] = (),
    *,
    part: int = 0,
    template: str = "",
    whole: bool = False,
) -> KeyFrames:
    """Return the key frames of a pickle of tubes. For the other arguments, see `build`.

    Args:
      part: number of the official split, which is the number of the list of videos, from 0.
      template: pattern of the file names of frames, if videos are folders.
      whole: all frames of the videos are key frames, also those without a tube.
    """
    about = entry(pickles.load(path.read_bytes(), str(path)), str(path))
    for key in ("labels", LISTS[split], "gttubes", "resolution", *(["nframes"] if whole else [])):
        if key not in about.values:
            raise UserError(f'{path}: no "{key}" in it; this is no pickle of annotated tubes')
    known = tuple(about.items("labels", "a list of class names"))
    if not all(isinstance(name, str) for name in known):
        raise about.wrong("labels", "a list of class names")
    if len(names or known) != len(known):
        raise UserError(f"{path}: it has {len(known)} classes, but config.data.names {len(names)}")
    frames: dict[Key, list[tuple[np.ndarray, int, int]]] = {}
    tubes = 0
    for video in listed(about, LISTS[split], part):
        name = video + suffix
        if whole:
            count = about.entry("nframes").whole(video, "a number of frames", low=1)
            frames |= {Key(name, float(frame)): [] for frame in range(1, count + 1)}
        for label, times, boxes in read_tubes(about, video, len(known)):
            for time, box in zip(times.tolist(), boxes, strict=True):
                if whole and Key(name, time) not in frames:
                    raise UserError(
                        f'{path}: "gttubes", "{video}": a tube has frame {time:g}, but "nframes"'
                        f" is {count}"
                    )
                frames.setdefault(Key(name, time), []).append((box, label, tubes))
            tubes += 1
    if not tubes:
        raise UserError(f"{path}: no tube of {split} in it")
    keys = sorted(frames)
    boxes = [np.array([box for box, _, _ in frames[key]]).reshape(-1, 4) for key in keys]
    true_boxes = flat(boxes)
    label = [label for key in keys for _, label, _ in frames[key]]
    videos = tuple(dict.fromkeys(key.video for key in keys))
    index = {video: i for i, video in enumerate(videos)}
    folder = Path(root, prefix)
    found = tuple(str(folder / v) for v in videos) if template else find_files(folder, videos)
    return KeyFrames(
        videos=videos,
        files=found,
        video=np.array([index[key.video] for key in keys], np.int32),
        time=np.array([key.time for key in keys]),
        start=1.0,
        true_boxes=true_boxes,
        box_label=np.eye(len(known), dtype=np.uint8)[label],
        proposals=proposed(keys, true_boxes, root, proposals, least, split),
        names=names or known,
        origin=str(path),
        fps=1.0,
        template=template,
        tube=np.array([tube for key in keys for _, _, tube in frames[key]], np.int32),
    )


def listed(about: Entry, key: str, part: int = 0) -> list[str]:
    """Return the videos of a split, which are list number `part` of several. Check for repeats."""
    expected = "a list that holds a list of video names"
    lists = about.items(key, expected)
    if not lists or not isinstance(lists[0], list | tuple):
        raise about.wrong(key, expected)
    if not 0 <= part < len(lists):
        raise UserError(f'{about.where}: "{key}" has {len(lists)} lists, no {part + 1}')
    videos = list(lists[part])
    if not all(isinstance(video, str) for video in videos):
        raise about.wrong(key, expected)
    for video, count in Counter(videos).items():
        if count > 1:
            raise UserError(
                f'{about.where}: "{key}" has "{video}" {count} times; remove the others'
            )
    return videos


def read_tubes(about: Entry, video: str, classes: int) -> Iterator[Tube]:
    """Yield the tubes of a video, with boxes as shares of the frame."""
    sizes, found = about.entry("resolution"), about.entry("gttubes").entry(video)
    size = sizes.finite(video, "(height, width) in pixels")
    if size.shape != (2,) or (size < 1).any():
        raise sizes.wrong(video, "(height, width) in pixels")
    scale = np.array([size[1], size[0]] * 2, np.float64)
    for label in found.values:
        if not is_whole(label) or not 0 <= int(label) < classes:
            raise UserError(
                f"{found.where}: class {label!r}; expected a whole number from 0 to {classes - 1}"
            )
        tubes = found.items(label, "a list of tubes")
        own = Entry(dict(enumerate(tubes)), f"{found.where}, class {label}")
        for number in own.values:
            tube = own.finite(number, "(frames, 5): frame, x1, y1, x2, y2")
            if tube.ndim != 2 or tube.shape[1] != 5 or not len(tube):
                raise own.wrong(number, "(frames, 5): frame, x1, y1, x2, y2")
            where = f"{own.where}, tube {number}"
            times, boxes = tube[:, 0].astype(np.float64), tube[:, 1:] / scale
            bad = (times < 1) | (times % 1 != 0)
            bad[np.setdiff1d(np.arange(len(times)), np.unique(times, return_index=True)[1])] = True
            for row in np.flatnonzero(bad).tolist():
                raise UserError(
                    f"{where}, row {row}: frame {times[row]:g}; expected whole numbers from 1, none"
                    " of them repeated"
                )
            check_boxes(boxes, lambda row, where=where: f"{where}, row {row}", BEYOND)
            yield int(label), times, boxes
