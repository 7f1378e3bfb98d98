"""A data set that `python -m data_prep.build` made: ArrayRecord files, read through TFDS.

The records contain the original video files, which are decoded from memory. So a data set consists
of a few large files with random access, which is fast on network file systems. Folders of frames
are read as videos. Skeletons are read as by `data/sources/skeleton.py`.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxvid.data.annotations.labels import MultiLabels, looked_for
from jaxvid.data.sample import Sample, Source
from jaxvid.data.video.containers import VideoError
from jaxvid.data.video.decode import VideoReader, fit, resize
from jaxvid.data.video.readers import ENDS
from jaxvid.data.video.timeline import Reader
from jaxvid.errors import UserError, did_you_mean

INFO = "dataset_info.json"
ARRAYS = ("keypoint", "keypoint_score", "frame_inds", "size")


@dataclass(frozen=True, repr=False, eq=False)
class Records(Source):
    """Records of one split.

    Only paths and settings are sent to workers. Each worker opens the files itself.

    Attributes:
      origin: folder of one version of the data set.
      split: name of the split in the data set.
      names: class names by label.
      numbers: int32 (classes,), the label of each class of the data set.
      arrays: keys of the arrays of skeletons; empty if samples have a video.
      multi_label: whether a label is a vector with 0 or 1 for each class.
      category_mask: whether samples have a `label_mask`, see `build`.
    """

    origin: str
    split: str
    names: tuple[str, ...]
    numbers: np.ndarray
    arrays: tuple[str, ...] = ()
    multi_label: bool = False
    category_mask: bool = False

    def __len__(self) -> int:
        return len(self._index["id"])

    def __getitem__(self, index: int) -> Sample:
        sample: Sample = {"label": self._label(index)}
        if self.category_mask:
            sample["label_mask"] = looked_for(self.names, sample["label"])
        if not self.arrays:
            return sample | {"reader": Recorded(self, index)}
        record = self.record(index)
        return sample | {key: record[key] for key in self.arrays}

    def __repr__(self) -> str:
        return f"Records({self.origin}, {self.split}, {len(self)})"

    @property
    def labels(self) -> Any:
        """Labels of all samples: int32 (n,), or MultiLabels."""
        numbers = self.numbers[self._index["label"]]
        if not self.multi_label:
            return numbers
        return MultiLabels(numbers, self._index["end"], len(self.names))

    def id(self, index: int) -> str:
        return self._index["id"][index].decode()

    def where(self, index: int) -> str:
        return f'{self.origin}: {self.split} record {int(index)} ("{self.id(index)}")'

    def record(self, index: int) -> dict[str, Any]:
        """Read the record of a sample from disk."""
        return _records(self.origin, self.split)[int(index)]

    @property
    def _index(self) -> dict[str, np.ndarray]:
        return _read_index(self.origin, self.split)

    def _label(self, index: int) -> np.ndarray:
        if not self.multi_label:
            return self.numbers[self._index["label"][index]]
        ends = self._index["end"]
        found = self._index["label"][ends[index - 1] if index else 0 : ends[index]]
        label = np.zeros(len(self.names), np.int32)
        label[self.numbers[found]] = 1
        return label


class Recorded(Reader):
    """The video of a record. It is read and opened on the first access.

    Args:
      short_side: short side in pixels, see VideoReader.
    """

    def __init__(self, records: Records, index: int, short_side: int = 0):
        self.path = records.id(index)
        self._records, self._index, self._short_side = records, index, short_side

    def shrunk(self, short_side: int) -> "Recorded":
        """Return the same video, which will be opened with another short side."""
        return Recorded(self._records, self._index, short_side)

    def __getattr__(self, name: str) -> Any:  # frames, fps, height ...
        return getattr(self._reader, name)

    @property
    def times(self) -> np.ndarray:
        return self._reader.times

    @property
    def duration(self) -> float:
        return self._reader.duration

    def count_at(self, fps: float) -> None:
        self._reader.count_at(fps)

    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        return self._reader.read(indices)

    def close(self) -> None:
        if "_reader" in self.__dict__:
            self._reader.close()

    @cached_property
    def _reader(self) -> Reader:
        record = self._records.record(self._index)
        if "frames" in record:
            return Images(record["frames"], self.path, self._short_side)
        if record["video"].startswith(tuple(ENDS)):
            return Images([record["video"]], self.path, self._short_side)
        try:
            reader = VideoReader(record["video"], short_side=self._short_side)
        except VideoError as error:
            raise VideoError(self.path, error.reason) from None
        reader.path = self.path
        return reader


class Images(Reader):
    """A video that consists of encoded images, one for each frame.

    Args:
      images: contents of the image files.
      path: name of the video, for messages.
      short_side: short side in pixels, see VideoReader.
    """

    def __init__(self, images: Sequence[bytes], path: str, short_side: int = 0):
        self.path, self.frames, self.fps, self._images = path, len(images), 0.0, images
        self._short_side = short_side

    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        """Return the frames `indices` (n,) as uint8 RGB (n h w 3).

        Raises:
          VideoError: a frame is damaged or has another size; the message has its number.
        """
        wanted, rows = np.unique(self._checked(indices), return_inverse=True)
        images = [self._decode(index) for index in wanted.tolist()]
        for index, image in zip(wanted.tolist(), images, strict=True):
            if image.shape != images[0].shape:
                raise VideoError(self.path, f"frame {index} has another size than the others")
        return np.stack([images[row] for row in rows]) if images else self.read([0])[:0]

    def _decode(self, index: int) -> np.ndarray:
        data = self._images[index]
        # Some versions of OpenCV fill the missing part of a truncated image with gray.
        if any(data.startswith(head) and end not in data for head, end in ENDS.items()):
            raise VideoError(self.path, f"frame {index} is truncated")
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            raise VideoError(self.path, f"frame {index} is not an image")
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return resize(image, *fit(image.shape[0], image.shape[1], self._short_side))


def build(
    split: str,
    *,
    root: str,
    dataset: str,
    subset: str = "",
    category_mask: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Records:
    """Open one split of a data set.

    Args:
      split: "train" or "val".
      root: value of `--data-dir` when the data set was built.
      dataset: Name of the data set, such as "ucf101/split1". If there are several versions, the
        newest is used. "ucf101/split1/1.0.0" selects a version.
      subset: Name of the split in the data set. "" uses the name of the split in the config.
      category_mask: For classes named "category/name" (HVU): a sample has a `label_mask` float32
        (classes,). It is 1 for the classes of each category in which the sample has a label, and 0
        for the others, which were not annotated.
      names: class names by label, if another split determines them.

    Raises:
      UserError: the data set or split does not exist, files of it are missing, or one of its
        classes is not in `names`.
    """
    folder = _newest(root, dataset)
    opened = _opened(str(folder))
    subset = subset or split
    if subset not in opened.info.splits:
        hint = did_you_mean(subset, opened.info.splits)
        raise UserError(f'{folder}: no split "{subset}"; set config.data.{split}.subset.{hint}')
    files = [str(file) for file in opened.info.splits[subset].filepaths]
    if absent := [file for file in files if not os.path.exists(file)]:
        raise UserError(f"{absent[0]}: no such file, one of {len(absent)} that are missing")
    label: Any = opened.info.features["label"]
    multi_label = isinstance(label, tfds.features.Sequence)
    stored = tuple(getattr(label, "feature", label).names)
    names = tuple(names) or stored
    known = {name: number for number, name in enumerate(unique(names))}
    for name in stored:
        if name not in known:
            near = did_you_mean(name, names)
            raise UserError(f'{folder}: its class "{name}" is not in the class names.{near}')
    numbers = np.array([known[name] for name in stored], np.int32)
    arrays = tuple(key for key in ARRAYS if key in opened.info.features)
    return Records(str(folder), subset, names, numbers, arrays, multi_label, category_mask)


def unique(names: Iterable[str]) -> list[str]:
    """Make class names unique. TFDS needs this, and FineGYM has two classes of the same name."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _newest(root: str, dataset: str) -> Path:
    """Return the folder of the newest complete version."""
    folder = Path(root, dataset)
    if (folder / INFO).is_file():
        return folder
    versions = [file.parent for file in folder.glob(f"*/{INFO}") if _is_whole(file.parent)]
    if not versions:
        files = [file for depth in ("*/*", "*/*/*") for file in Path(root).glob(f"{depth}/{INFO}")]
        built = {str(f.parents[1].relative_to(root)) for f in files if _is_whole(f.parent)}
        raise UserError(
            f"{folder}: no such data set; config.data.root is the --data-dir of `python -m"
            f" data_prep.build {dataset}`.{did_you_mean(dataset, built)}"
        )
    return max(versions, key=lambda version: tfds.core.Version(version.name))


def _is_whole(version: Path) -> bool:
    return not version.name.startswith("incomplete.")


# These are cached per process, so that nothing of them is pickled and sent to workers.


@lru_cache
def _opened(folder: str) -> Any:
    return tfds.builder_from_directory(folder)


@lru_cache
def _records(folder: str, split: str) -> Any:
    return _opened(folder).as_data_source(split)


@lru_cache
def _read_index(folder: str, split: str) -> dict[str, np.ndarray]:
    files = Path(folder).glob(f"index-{split}.*.npy")
    return {file.name.split(".")[-2]: np.load(file, mmap_mode="r") for file in files}
