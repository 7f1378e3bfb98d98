"""Clips of a data set, and the content that is stored for them: a video or a folder of images.

Each kind of content is a frozen dataclass, which reads it, estimates its size and declares its TFDS
features. `Annotated` adds segments, boxes or captions to another content.
`jaxvid/data/sources/tfds.py` reads what was stored.
"""

import os
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import tensorflow_datasets as tfds

from jaxvid.data.annotations import feature_files


@dataclass(frozen=True)
class Clip:
    """One sample of a split.

    Attributes:
      folder: folder of the videos. Paths in lists are relative to it.
      path: path of the video, or of the folder of its frames, below `folder`. It is the name of the
        clip.
      labels: class numbers: one, or any number in a multi-label data set.
      row: row of the annotation, if the annotations are a table.
      annotation: what is known besides the labels, as JSON: segments, boxes or captions.
    """

    folder: str
    path: str
    labels: tuple[int, ...]
    row: int = 0
    annotation: str = ""

    @property
    def file(self) -> str:
        return os.path.join(self.folder, self.path)


class Content(Protocol):
    """Data that is stored for a clip besides its name and labels.

    Attributes:
      options: options of the ArrayRecord writer.
    """

    options: ClassVar[str]

    def features(self) -> dict[str, Any]:
        """Return the TFDS features by key."""
        ...

    def size(self, clip: Clip) -> int:
        """Return about how many bytes it has; 0 if it is missing or empty."""
        ...

    def read(self, clip: Clip) -> dict[str, Any]:
        """Return its values by key."""
        ...


def file_size(clip: Clip) -> int:
    """Return the size of the file of a clip in bytes; 0 if there is no such file."""
    try:
        return os.stat(clip.file).st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


@dataclass(frozen=True)
class Videos:
    """The unchanged bytes of a video file."""

    options: ClassVar[str] = "group_size:1,uncompressed"

    def features(self) -> dict[str, Any]:
        return {"video": tfds.features.Tensor(shape=(), dtype=np.object_)}

    def size(self, clip: Clip) -> int:
        return file_size(clip)

    def read(self, clip: Clip) -> dict[str, Any]:
        return {"video": Path(clip.file).read_bytes()}


@dataclass(frozen=True)
class Frames:
    """The unchanged bytes of the images of a folder.

    Attributes:
      template: pattern of the file names, with a field for the number. With two fields, the images
        are optical flow, and those of x are stored.
      first: number of the first image.
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
        """Yield the paths of the images in order, up to the first number that is missing."""
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


@dataclass(frozen=True)
class Features:
    """The rows of a file of features, see `jaxvid/data/annotations/feature_files.py`."""

    options: ClassVar[str] = "group_size:1"

    def features(self) -> dict[str, Any]:
        shape = (None, None)
        return {"feature": tfds.features.Tensor(shape=shape, dtype=np.float32, encoding="bytes")}

    def size(self, clip: Clip) -> int:
        return file_size(clip)

    def read(self, clip: Clip) -> dict[str, Any]:
        return {"feature": feature_files.read(clip.file)[0]}


@dataclass(frozen=True)
class Annotated:
    """A content together with the annotation of the clip as JSON."""

    content: Content

    options: ClassVar[str] = "group_size:1,uncompressed"

    def features(self) -> dict[str, Any]:
        return self.content.features() | {"annotation": tfds.features.Text()}

    def size(self, clip: Clip) -> int:
        return self.content.size(clip)

    def read(self, clip: Clip) -> dict[str, Any]:
        return self.content.read(clip) | {"annotation": clip.annotation}
