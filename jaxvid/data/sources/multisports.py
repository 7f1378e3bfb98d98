"""MultiSports' own annotations (Li et al., 2021): tubes, actions of a person from frame to frame.

One pickle holds both splits: "labels", class names; "train_videos" and "test_videos"; "gttubes",
{video: {class: [array (t, 5) of frame, x1, y1, x2, y2]}} in pixels, frames counted from 1; and
"resolution", {video: (height, width)}. Every frame of a tube is a key frame.
"""

from pathlib import Path

import numpy as np

from jaxvid import pickles
from jaxvid.data import annotations
from jaxvid.data.keyframes import Key, KeyFrames, find_files, flat
from jaxvid.data.sources.ava import proposed
from jaxvid.errors import UserError

LISTS = {"train": "train_videos", "val": "test_videos", "test": "test_videos"}


def build(
    split: str,
    *,
    root: str,
    file: str = "multisports_GT.pkl",
    proposals: str = "",
    prefix: str = "",
    suffix: str = ".mp4",
    least: float = 0.9,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> KeyFrames:
    """Read the tubes of a split, and the proposals for its key frames.

    Args:
      file, proposals, prefix: below `root`. Proposals are of VIDEO + suffix, see
        `data/proposals.py`; or "true", for the true boxes.
      suffix: of the videos' names.
      least: score of a proposal; the best one is taken where none has it.
      names: class names by label; MultiSports' own by default.

    Raises:
      UserError: no such file, something lacks in it, or names are not as many as its classes.
    """
    path = annotations.find(root, file, split)
    about = pickles.load(path.read_bytes(), str(path))
    for key in ("labels", LISTS[split], "gttubes", "resolution"):
        if key not in about:
            raise UserError(
                f'{path}: no "{key}" in it; this is not MultiSports\' multisports_GT.pkl'
            )
    known = tuple(about["labels"])
    if len(names or known) != len(known):
        raise UserError(f"{path}: it has {len(known)} classes, config.data.names {len(names)}")
    frames: dict[Key, list[tuple[np.ndarray, int, int]]] = {}
    tubes = 0
    for video in about[LISTS[split]][0]:
        height, width = about["resolution"][video]
        size = np.array([width, height] * 2, np.float64)
        for label, found in about["gttubes"][video].items():
            for tube in found:
                for frame, *box in np.asarray(tube, np.float64):
                    key = Key(video + suffix, frame)
                    frames.setdefault(key, []).append((np.array(box) / size, int(label), tubes))
                tubes += 1
    if not frames:
        raise UserError(f"{path}: no tube of {split} in it")
    keys = sorted(frames)
    truth = flat([np.stack([box for box, _, _ in frames[key]]) for key in keys])
    label = [label for key in keys for _, label, _ in frames[key]]
    videos = tuple(dict.fromkeys(key.video for key in keys))
    index = {video: i for i, video in enumerate(videos)}
    return KeyFrames(
        videos=videos,
        files=find_files(Path(root, prefix), videos),
        video=np.array([index[key.video] for key in keys], np.int32),
        time=np.array([key.time for key in keys]),
        start=1.0,
        truth=truth,
        box_label=np.eye(len(known), dtype=np.uint8)[label],
        proposals=proposed(keys, truth, root, proposals, least, split),
        names=names or known,
        origin=str(path),
        fps=1.0,
        tube=np.array([tube for key in keys for _, _, tube in frames[key]], np.int32),
    )
