"""The annotations of a skeleton file as arrays on disk, which every process maps.

MMAction2 and pyskl publish the skeletons of a data set as one pickle, either a list of annotations
or {"split": {"xsub_train": [frame_dir, ...], ...}, "annotations": [...]}. Each is a dict:

| key                   | meaning                                                                 |
|-----------------------|-------------------------------------------------------------------------|
| frame_dir or filename | what names it                                                           |
| label                 | int                                                                     |
| total_frames          | t                                                                       |
| img_shape             | (h, w) of the image that 2-D key points are pixels of                   |
| keypoint              | (m t j c): x, y or x, y, z; zeros where a joint or a person is missing  |
| keypoint_score        | (m t j), for 2-D key points                                             |

The compact form of Kinetics has one row a pose, of n in all, and not the same number a frame:

| frame_inds            | (n,) frame of each pose, in order                                       |
| box_score             | (n,) score of the person's box                                          |
| valid                 | {threshold of box_score: how many frames show a person above it}        |
| keypoint              | (n j 3): x, y, score; or a file of its own for each annotation          |

A pickle can only be read whole. So it is read once, and its arrays are kept in a cache folder; a
run takes from there what it needs, and workers share the pages. Reading needs as much memory as
the file has bytes. NaN, as some estimators mark missing joints, becomes 0.

Shape letters: m people, t frames, j joints, c coordinates, n poses.
"""

import hashlib
import mmap
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import pickles
from jaxvid.data.cache import make_once
from jaxvid.errors import UserError, did_you_mean
from jaxvid.files import cache_root

VERSION = 1  # raise it when the files in the cache change
NAMES = ("frame_dir", "filename")
ARRAYS = ("keypoint", "keypoint_score", "frame_inds", "box_score")


@dataclass(frozen=True)
class Poses:
    """The annotations of one file.

    Attributes:
      table: one entry an annotation: "id", "label", "total_frames", perhaps "size" (h, w),
        "valid.THRESHOLD" and the shape of each array as "KEY.shape"; for each split NAME of the
        file "split.NAME", its rows, and "absent.NAME", ids that have no annotation.
      flat: the arrays of all annotations, end to end.
      ends: where in `flat` those of each annotation end.
    """

    table: dict[str, np.ndarray]
    flat: dict[str, np.ndarray]
    ends: dict[str, np.ndarray]

    def arrays(self, row: int) -> dict[str, np.ndarray]:
        """The arrays of an annotation, read from disk when they are used."""
        found = {}
        for key, flat in self.flat.items():
            shape, end = self.table[f"{key}.shape"][row], self.ends[key][row]
            found[key] = flat[end - shape.prod() : end].reshape(shape)
        return found


@lru_cache  # once a process: neither the table nor the maps go to workers by pickle
def read(folder: str) -> Poses:
    """The annotations in a folder that `ensure` made."""
    with np.load(Path(folder, "table.npz")) as file:
        table = dict(file)
    keys = [key for key in ARRAYS if f"{key}.shape" in table]
    flat = {key: np.asarray(np.load(Path(folder, f"{key}.npy"), mmap_mode="r")) for key in keys}
    return Poses(table, flat, {key: table[f"{key}.shape"].prod(1).cumsum() for key in keys})


def ensure(path: Path) -> Path:
    """The folder of the arrays of a pickle, made unless it is in the cache.

    Its name holds a hash of the pickle's path, size and time, so a changed file is read again.

    Raises:
      UserError: the pickle holds something else, or there is no room for the cache.
    """
    state = path.stat()
    key = f"{os.path.realpath(path)}\0{state.st_size}\0{state.st_mtime_ns}\0{VERSION}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    folder = cache_root() / "skeletons" / f"{path.stem}-{digest}"
    try:
        return make_once(folder, lambda new: _convert(path, new))
    except OSError as error:
        raise UserError(
            f"{path}: its {state.st_size / 1e9:.1f} GB of arrays cannot be kept in {folder}:"
            f" {error}; make room, or set JAXVID_CACHE to a folder elsewhere"
        ) from error


def load(path: str | Path) -> Any:
    """What a pickle holds: plain data only, see `jaxvid.pickles`."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise UserError(f"{path}: the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return pickles.load(content, str(path))


def checked(annotation: dict, where: str) -> dict:
    """`annotation` with arrays that fit each other, without NaN, and at most as wide as float32.

    Args:
      where: what to call it in errors.

    Raises:
      UserError: they do not fit.
    """
    found = {key: _numbers(annotation[key], key, where) for key in ARRAYS if key in annotation}
    shapes = {key: array.shape for key, array in found.items()}
    keypoint, score = shapes.get("keypoint", ()), shapes.get("keypoint_score", ())
    if "frame_inds" in found:
        if "keypoint" in found and (len(keypoint) != 3 or keypoint[2] != 3):
            _refuse("keypoint", keypoint, "(poses, joints, 3): x, y, score", where)
        if (np.diff(found["frame_inds"]) < 0).any():
            raise UserError(f'{where}: "frame_inds" goes back; poses are in the order of frames')
        for key, shape in shapes.items():
            if shape[:1] != shapes["frame_inds"]:
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
    return annotation | found


def _convert(path: Path, folder: Path):
    """Checks the annotations of a pickle and writes table and arrays."""
    annotations, splits = _parts(load(path), path)
    ids = [_name(a, f"{path}: annotation {i}") for i, a in enumerate(annotations)]
    where = [f'{path}: annotation {i} ("{name}")' for i, name in enumerate(ids)]
    placed = list(zip(annotations, where, strict=True))
    table = {"id": np.array(ids)}
    for key in ("label", "total_frames"):
        table[key] = np.array([_integer(a, key, place) for a, place in placed])
    if _everywhere("img_shape", placed):
        table["size"] = np.array([_size(a["img_shape"], place) for a, place in placed])
    if _everywhere("valid", placed):
        for threshold in annotations[0]["valid"]:
            counts = [_integer(a["valid"], threshold, f"{place}, valid") for a, place in placed]
            table[f"valid.{float(threshold)}"] = np.array(counts)
    keys = [key for key in ARRAYS if _everywhere(key, placed)]
    annotations = [checked(annotation, place) for annotation, place in placed]
    for key in keys:
        table[f"{key}.shape"] = np.array([a[key].shape for a in annotations])
        _write(folder / f"{key}.npy", [a[key] for a in annotations])
    for name, members in splits.items():
        members = [str(member) for member in members]
        wanted, known = set(members), set(ids)
        table[f"split.{name}"] = np.array([i for i, id in enumerate(ids) if id in wanted], int)
        table[f"absent.{name}"] = np.array([m for m in members if m not in known], str)
    np.savez(folder / "table.npz", **table)  # pyright: ignore[reportArgumentType]


def _parts(content: Any, path: Path) -> tuple[list, dict]:
    """The annotations of a file and the ids of its splits."""
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


def _name(annotation: Any, where: str) -> str:
    if not isinstance(annotation, dict):
        raise UserError(f"{where}: expected a dict, found a {type(annotation).__name__}")
    for key in NAMES:
        if key in annotation:
            return str(annotation[key])
    raise UserError(f'{where}: no "{NAMES[0]}" in it.{did_you_mean(NAMES[0], annotation)}')


def _integer(annotation: dict, key: Any, where: str) -> int:
    if key not in annotation:
        near = did_you_mean(str(key), map(str, annotation))
        raise UserError(f'{where}: no "{key}" in it.{near}')
    value = np.asarray(annotation[key])
    if value.size != 1 or value.dtype.kind not in "iu":
        raise UserError(f'{where}: "{key}" is not a whole number: {annotation[key]!r}'[:300])
    return int(value.item())


def _everywhere(key: str, placed: list[tuple[dict, str]]) -> bool:
    """Whether the annotations have `key`, which must be all of them or none."""
    without = [place for annotation, place in placed if key not in annotation]
    if 0 < len(without) < len(placed):
        raise UserError(f'{without[0]}: no "{key}" in it, but others have one')
    return not without


def _size(value: Any, where: str) -> list[int]:
    if np.shape(value) != (2,) or min(value) < 1:
        raise UserError(f'{where}: "img_shape" is (height, width) in pixels, not {value!r}'[:300])
    return [int(side) for side in value]


def _numbers(value: Any, key: str, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise UserError(f'{where}: "{key}" is not an array of numbers but of {array.dtype}')
    if key == "frame_inds":
        return array.astype(np.int32)
    array = array if array.dtype == np.float16 else array.astype(np.float32)
    if np.isfinite(array).all():
        return array
    if np.isinf(array).any():
        raise UserError(f'{where}: "{key}" has infinite values')
    return np.nan_to_num(array)


def _refuse(key: str, shape: tuple, expected: str, where: str):
    raise UserError(f'{where}: "{key}" has shape {shape}; expected {expected}')


def _write(path: Path, arrays: list[np.ndarray]):
    """The arrays end to end in one .npy, without a copy of them all in memory."""
    count = sum(array.size for array in arrays)
    kind = np.result_type(*{array.dtype for array in arrays})
    flat, end = np.lib.format.open_memmap(path, "w+", kind, (count,)), 0
    for array in arrays:
        flat[end : end + array.size] = array.ravel()
        end += array.size
    flat.flush()
