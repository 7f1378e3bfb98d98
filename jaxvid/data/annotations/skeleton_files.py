"""Skeleton files: their annotations are converted to arrays on disk, which all processes map.

MMAction2 and pyskl publish the skeletons of a data set as one pickle. It is either a list of
annotations or {"split": {"xsub_train": [frame_dir, ...], ...}, "annotations": [...]}. Each
annotation is a dict:

| key                   | meaning                                                                 |
|-----------------------|-------------------------------------------------------------------------|
| frame_dir or filename | name of the annotation                                                  |
| label                 | class, int                                                              |
| total_frames          | number of frames t                                                      |
| img_shape             | (h, w) in pixels of the image of 2-D key points                         |
| keypoint              | (m t j c): x, y or x, y, z; zeros for missing joints and people         |
| keypoint_score        | (m t j), for 2-D key points; without it, 1, and 0 for missing joints    |

The compact form of Kinetics has one row for each of n poses. The number of poses differs between
frames:

| frame_inds            | (n,) frame of each pose, in order                                       |
| box_score             | (n,) score of the box of the person                                     |
| valid                 | {threshold of box_score: number of frames with a person above it}       |
| keypoint              | (n j 3): x, y, score; or each annotation has a separate file            |

A pickle can only be read as a whole. So it is read once, and its arrays are stored in a cache
folder. Processes read what they need from there, and share the memory. Reading the pickle needs as
much memory as the file has bytes. Some pose estimators mark missing joints by NaN, which is
replaced by 0 and counted.

Shape letters: m people, t frames, j joints, c coordinates, n poses.
"""

import hashlib
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import pickles
from jaxvid.data.annotations.entries import Entry, entry
from jaxvid.data.cache import make_once
from jaxvid.errors import UserError, did_you_mean
from jaxvid.files import cache_root

VERSION = 2  # increase it when the files in the cache or the checks change
NAMES = ("frame_dir", "filename")
ARRAYS = ("keypoint", "keypoint_score", "frame_inds", "box_score")
SHAPES = {
    "keypoint": "(people, frames, joints, 2 or 3), with zeros where a frame has fewer people",
    "keypoint_score": "(people, frames, joints)",
    "frame_inds": "(poses,), whole numbers from 0 to total_frames",
    "box_score": "(poses,)",
}
IMAGE = "(height, width) of the image in pixels"
LOOKED_AT = 50  # number of annotations whose key points are compared with the size of their image


@dataclass(frozen=True)
class Poses:
    """The annotations of one file.

    Attributes:
      table: arrays with one entry for each annotation: "id", "label", "total_frames", "nan" (number
        of its values that were NaN), the shape of each array as "KEY.shape", and if known, "size"
        (h, w) and "valid.THRESHOLD". For each split NAME of the file, "split.NAME" has its rows,
        and "absent.NAME" has its ids without an annotation.
      flat: for each key, the concatenated arrays of all annotations.
      ends: for each key, the end of the array of each annotation in `flat`.
    """

    table: dict[str, np.ndarray]
    flat: dict[str, np.ndarray]
    ends: dict[str, np.ndarray]

    def arrays(self, row: int) -> dict[str, np.ndarray]:
        """Return the arrays of an annotation. They are read from disk when they are used."""
        found = {}
        for key, flat in self.flat.items():
            shape, end = self.table[f"{key}.shape"][row], self.ends[key][row]
            found[key] = flat[end - shape.prod() : end].reshape(shape)
        return found


@lru_cache  # cached per process, so that neither the table nor the maps are sent to workers
def read(folder: str) -> Poses:
    """Open the annotations in a folder that `ensure` made."""
    with np.load(Path(folder, "table.npz")) as file:
        table = dict(file)
    keys = [key for key in ARRAYS if f"{key}.shape" in table]
    flat = {key: np.asarray(np.load(Path(folder, f"{key}.npy"), mmap_mode="r")) for key in keys}
    return Poses(table, flat, {key: table[f"{key}.shape"].prod(1).cumsum() for key in keys})


def ensure(path: Path) -> Path:
    """Return the cache folder with the arrays of a pickle. Create it if necessary.

    Its name contains a hash of the path, size and time of the pickle, so that a changed pickle is
    read again.

    Raises:
      UserError: the pickle is invalid, or the arrays cannot be written to the cache.
    """
    state = path.stat()
    key = f"{os.path.realpath(path)}\0{state.st_size}\0{state.st_mtime_ns}\0{VERSION}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    folder = cache_root() / "skeletons" / f"{path.stem}-{digest}"
    try:
        return make_once(folder, lambda new: _convert(path, new))
    except OSError as error:
        raise UserError(
            f"{path}: its {state.st_size / 1e9:.1f} GB of arrays cannot be written to {folder}:"
            f" {error}; free disk space, or set JAXVID_CACHE to another folder"
        ) from error


def load(path: str | Path) -> Any:
    """Read a pickle, which can contain plain data only (see `jaxvid.pickles`)."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise UserError(f"{path}: the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return pickles.load(content, str(path))


def checked(annotation: dict, where: str) -> dict:
    """Check that the arrays of an annotation fit each other, and convert them.

    Args:
      where: name of the annotation in messages.

    Returns:
      The annotation, whose floating-point arrays are float32 or float16. NaN is replaced by 0, and
      the key "nan" has the number of replaced values.

    Raises:
      UserError: the arrays do not fit each other, or a value is invalid.
    """
    own = Entry(annotation, where)
    found, nan = {}, 0
    for key in ARRAYS:
        if key in annotation:
            found[key], missing = _numbers(own, key)
            nan += missing
    shapes = {key: array.shape for key, array in found.items()}
    keypoint, score = shapes.get("keypoint", ()), shapes.get("keypoint_score", ())
    if "frame_inds" in found:
        if "keypoint" in found and (len(keypoint) != 3 or keypoint[2] != 3):
            _refuse("keypoint", keypoint, "(poses, joints, 3): x, y, score", where)
        if (np.diff(found["frame_inds"]) < 0).any():
            raise UserError(
                f'{where}: "frame_inds" decreases; poses must be in the order of frames'
            )
        for key, shape in shapes.items():
            if shape[:1] != shapes["frame_inds"] or (key == "box_score" and len(shape) != 1):
                _refuse(key, shape, f"{shapes['frame_inds'][0]} rows, as frame_inds has", where)
    elif "keypoint" in found:
        if len(keypoint) != 4 or keypoint[3] not in (2, 3):
            hint = "; one person is (1, frames, ...)" if len(keypoint) == 3 else ""
            _refuse("keypoint", keypoint, f"(people, frames, joints, 2 or 3){hint}", where)
        if 0 in keypoint:
            _refuse("keypoint", keypoint, "at least one person, frame and joint", where)
        if keypoint[1] != annotation.get("total_frames", keypoint[1]):
            frames = annotation["total_frames"]
            _refuse("keypoint", keypoint, f'"total_frames", {frames}, as its second', where)
        if score and score != keypoint[:3]:
            _refuse("keypoint_score", score, f"{keypoint[:3]}, as keypoint has", where)
    size = {"img_shape": _size(own)} if "img_shape" in annotation else {}
    return annotation | found | size | {"nan": nan}


def _convert(path: Path, folder: Path):
    """Check the annotations of a pickle, and write the table and the arrays."""
    annotations, splits = _parts(load(path), path)
    entries = [entry(a, f"{path}: annotation {i}") for i, a in enumerate(annotations)]
    ids = [_name(own) for own in entries]
    entries = [
        Entry(own.values, f'{own.where} ("{name}")') for own, name in zip(entries, ids, strict=True)
    ]
    table = {"id": np.array(ids), "label": np.array([own.whole("label") for own in entries])}
    table["total_frames"] = np.array(
        [own.whole("total_frames", "a number of frames above 0", low=1) for own in entries]
    )
    sized = _everywhere("img_shape", entries)
    if _everywhere("valid", entries):
        table |= _valid(entries)
    keys = [key for key in ARRAYS if _everywhere(key, entries)]
    annotations = [checked(dict(own.values), own.where) for own in entries]
    if sized:
        table["size"] = np.array([annotation["img_shape"] for annotation in annotations])
    table["nan"] = np.array([annotation["nan"] for annotation in annotations])
    for key in keys:
        table[f"{key}.shape"] = np.array([a[key].shape for a in annotations])
        _write(folder / f"{key}.npy", [a[key] for a in annotations])
    if "keypoint" in keys:
        _compare([a["keypoint"] for a in annotations], table, entries)
    split = Entry(splits, f'{path}, "split"')
    for name in splits:
        members = _members(split, name)
        wanted, known = set(members), set(ids)
        table[f"split.{name}"] = np.array([i for i, id in enumerate(ids) if id in wanted], int)
        table[f"absent.{name}"] = np.array([m for m in members if m not in known], str)
    np.savez(folder / "table.npz", **table)  # pyright: ignore[reportArgumentType]


def _parts(content: Any, path: Path) -> tuple[list, dict]:
    """Return the annotations of a file and the ids of its splits."""
    annotations, splits = content, {}
    if isinstance(content, dict):
        for key in ("annotations", "split"):
            if key not in content:
                raise UserError(f'{path}: no "{key}" in it.{did_you_mean(key, map(str, content))}')
        annotations, splits = content["annotations"], content["split"]
    if not isinstance(annotations, list) or not isinstance(splits, dict):
        raise UserError(
            f'{path}: expected a list of annotations, or {{"split": {{name: ids}}, "annotations":'
            f" list}}, found a {type(annotations).__name__}"
        )
    if not annotations:
        raise UserError(f"{path}: there are no annotations in it")
    return annotations, splits


def _name(own: Entry) -> str:
    """Return the name of an annotation."""
    return own.name(next((key for key in NAMES if key in own.values), NAMES[0]))


def _members(split: Entry, name: Any) -> list[str]:
    """Return the ids of a split."""
    value = split.values[name]
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, list | tuple | set | frozenset):
        raise split.wrong(name, "a list of the frame_dir of its annotations")
    ids = Entry(dict(enumerate(value)), f'{split.where}, "{name}"')
    return [ids.name(number) for number in ids.values]


def _everywhere(key: str, entries: Sequence[Entry]) -> bool:
    """Return whether all annotations have `key`. Raises UserError if only some of them have it."""
    without = [own.where for own in entries if key not in own.values]
    if 0 < len(without) < len(entries):
        raise UserError(f'{without[0]}: no "{key}" in it, but others have one')
    return not without


def _valid(entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Return the numbers of frames with a person above each threshold of box_score.

    Returns:
      {"valid.THRESHOLD": int (annotations,)}.
    """
    counts = [own.entry("valid", "{threshold: frames}") for own in entries]
    found = {}
    for threshold in counts[0].values:
        try:
            name = f"valid.{float(threshold)}"
        except (TypeError, ValueError):
            raise UserError(
                f'{counts[0].where}: "{threshold}" is not a threshold of box_score'
            ) from None
        expected = "a number of frames up to total_frames"
        found[name] = np.array(
            [
                count.whole(threshold, expected, low=0, high=int(own.values["total_frames"]))
                for count, own in zip(counts, entries, strict=True)
            ]
        )
    return found


def _compare(points: list[np.ndarray], table: dict[str, np.ndarray], entries: list[Entry]):
    """Raise a UserError if the number of joints differs, or 2-D key points are not in pixels.

    3-D key points are positions in space, which do not depend on the size of the image.
    """
    joints = table["keypoint.shape"][:, -2:]
    for i in np.flatnonzero((joints != joints[0]).any(1)).tolist():
        shape = tuple(table["keypoint.shape"][i].tolist())
        _refuse("keypoint", shape, f"{tuple(joints[0].tolist())} last, as others", entries[i].where)
    flat = "frame_inds.shape" in table or joints[0, 1] == 2
    if "size" not in table or not flat:
        return
    largest = max(float(np.abs(p[..., :2]).max(initial=0)) for p in points[:LOOKED_AT])
    if 0 < largest <= 1:
        size = tuple(table["size"][0].tolist())
        raise UserError(
            f'{entries[0].where}: "keypoint" is at most {largest:.2g} here and in the next ones;'
            f" expected pixels of the image, whose img_shape is {size}"
        )


def _size(own: Entry) -> list[int]:
    size = own.finite("img_shape", IMAGE)
    if size.shape != (2,) or size.min() < 1:
        raise own.wrong("img_shape", IMAGE)
    return size.astype(int).tolist()


def _numbers(own: Entry, key: str) -> tuple[np.ndarray, int]:
    """Return an array in which NaN is replaced by 0, and the number of replaced values."""
    array = own.array(key, SHAPES[key])
    if key == "frame_inds":
        frames = array.astype(np.int32) if np.isfinite(array).all() else np.array(-1)
        if (frames != array).any() or (frames < 0).any():
            raise UserError(f'{own.where}: "frame_inds" is invalid; expected {SHAPES[key]}')
        last = own.values.get("total_frames")
        if last is not None and frames.size and frames.max() > last:
            raise UserError(
                f'{own.where}: "frame_inds" goes to {frames.max()}, beyond "total_frames", {last}'
            )
        return frames, 0
    with np.errstate(over="ignore"):  # values that are too large for float32 become infinite
        array = array if array.dtype == np.float16 else array.astype(np.float32)
    if np.isfinite(array).all():
        return array, 0
    if np.isinf(array).any():
        raise UserError(f'{own.where}: "{key}" has infinite values')
    missing = int(np.isnan(array).sum())
    if missing == array.size:
        raise UserError(f'{own.where}: "{key}" is NaN everywhere: leave the annotation out')
    return np.nan_to_num(array), missing


def _refuse(key: str, shape: tuple, expected: str, where: str):
    raise UserError(f'{where}: "{key}" has shape {shape}; expected {expected}')


def _write(path: Path, arrays: list[np.ndarray]):
    """Write concatenated arrays to one .npy, without a copy of all arrays in memory."""
    count = sum(array.size for array in arrays)
    kind = np.result_type(*{array.dtype for array in arrays})
    flat, end = np.lib.format.open_memmap(path, "w+", kind, (count,)), 0
    for array in arrays:
        flat[end : end + array.size] = array.ravel()
        end += array.size
    flat.flush()
