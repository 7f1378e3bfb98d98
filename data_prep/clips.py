"""One row of a data set, and what is stored of it: a video, a folder of images.

A kind of content is a frozen dataclass. It says which TFDS features hold it, how large a row of it
is on disk, and reads it. `jaxvid/data/sources/tfds.py` gives it back.
"""

import os
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import tensorflow_datasets as tfds


@dataclass(frozen=True)
class Clip:
    """A row of a split.

    Attributes:
      folder: where the videos lie; paths in lists are relative to it.
      path: of the video, or of the folder of its frames, below `folder`; names the clip.
      labels: class numbers; one, unless the data set is multi-label.
      row: of its annotation, where that is a table and not files.
    """

    folder: str
    path: str
    labels: tuple[int, ...]
    row: int = 0

    @property
    def file(self) -> str:
        return os.path.join(self.folder, self.path)


class Content(Protocol):
    """What is stored of a clip beside its name and labels.

    Attributes:
      options: of the ArrayRecord writer.
    """

    options: ClassVar[str]

    def features(self) -> dict[str, Any]:
        """TFDS features by key."""
        ...

    def size(self, clip: Clip) -> int:
        """About how many bytes it has; 0 where it is missing or empty."""
        ...

    def read(self, clip: Clip) -> dict[str, Any]:
        """Its values by key."""
        ...


@dataclass(frozen=True)
class Videos:
    """The bytes of a video file, as they are."""

    options: ClassVar[str] = "group_size:1,uncompressed"

    def features(self) -> dict[str, Any]:
        return {"video": tfds.features.Tensor(shape=(), dtype=np.object_)}

    def size(self, clip: Clip) -> int:
        try:
            return os.stat(clip.file).st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def read(self, clip: Clip) -> dict[str, Any]:
        return {"video": Path(clip.file).read_bytes()}


@dataclass(frozen=True)
class Frames:
    """The bytes of the images of a folder, as they are.

    Attributes:
      template: of their names, with a place for the number; with two of optical flow, whose images
        of x are listed.
      first: number of the first one.
    """

    template: str = "img_{:05}.jpg"
    first: int = 1

    options: ClassVar[str] = "group_size:1,uncompressed"

    def features(self) -> dict[str, Any]:
        image = tfds.features.Tensor(shape=(), dtype=np.object_)
        return {"frames": tfds.features.Sequence(image)}

    def size(self, clip: Clip) -> int:
        files = list(self.files(clip))
        return len(files) * os.stat(files[0]).st_size if files else 0

    def read(self, clip: Clip) -> dict[str, Any]:
        return {"frames": [Path(file).read_bytes() for file in self.files(clip)]}

    def files(self, clip: Clip) -> Iterator[str]:
        """The images in order, up to the first number that is missing."""
        try:
            names = set(os.listdir(clip.file))
        except (FileNotFoundError, NotADirectoryError):
            return
        fields = sum(name is not None for _, name, *_ in string.Formatter().parse(self.template))
        axis = ("x",) if fields == 2 else ()
        number = self.first
        while (name := self.template.format(*axis, number)) in names:
            yield os.path.join(clip.file, name)
            number += 1
