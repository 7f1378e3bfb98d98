"""Readers of what is no video file: folders of images, optical flow, single images, arrays.

    with open_reader("frames/v_1", template="img_{:05}.jpg") as reader:
        clip = reader.read([0, 8, 16, 24])  # uint8 (n h w 3)

All count frames from 0 and have the interface of VideoReader. A single image is a video of one
frame: samplers repeat it where a clip wants more.

Shape letters: n frames asked for, t frames there are, h height, w width.
"""

import os
import re
import string
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jaxvid.data.video.containers import VideoError, plain_words
from jaxvid.data.video.decode import VideoReader, fit, resize
from jaxvid.data.video.timeline import Reader
from jaxvid.data.video.video_files import ARRAYS, IMAGES, has_ending, numpy_reason
from jaxvid.errors import UserError

AXES = ("x", "y")  # the two images of a flow frame
ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}  # of a file that begins so


def open_reader(
    path: str | os.PathLike,
    *,
    template: str = "",
    first: int | None = None,
    offset: int = 0,
    total: int | None = None,
    short_side: int = 0,
    threads: int = 1,
    fps: float = 0.0,
    indexes: str = "",
) -> Reader:
    """The reader for what lies at `path`, a video file where nothing says otherwise.

    Args:
      path: a folder when there is a `template`; else a file, whose ending tells images and arrays.
      template, first, offset: see FrameFolder.
      total: how many frames there must be; for a folder, how many of its frames to use.
      short_side: see VideoReader; arrays are never resized.
      threads: of a video decoder.
      fps: frames per unit of time, where annotations state it: 30 for AVA's folders of frames, 1
        where times count frames. By default that of a video's timestamps.
      indexes: folder of indexes beside a manifest, for videos; see `index_cache`.

    Raises:
      VideoError: it is not there, cannot be read, or has not `total` frames.
      UserError: a video file of another rate than `fps`.
    """
    name = os.fspath(path)
    if template:
        return FrameFolder(name, template, first, total, short_side, fps, offset)
    if has_ending(name, IMAGES):
        reader = ArrayReader(_shrink(read_image(name), short_side)[None], path=name)
    elif has_ending(name, ARRAYS):
        reader = read_array(name)
    elif os.path.isdir(name):
        raise VideoError(name, "a folder needs a template of its frames: img_{:05}.jpg")
    else:
        reader = VideoReader(path, threads, short_side, indexes)
    if total not in (None, reader.frames):
        reader.close()
        raise VideoError(name, f"it has {reader.frames} frames, but was listed with {total}")
    if fps:
        reader.count_at(fps)
    return reader


class FrameFolder(Reader):
    """A folder with an image a frame, or for optical flow with two gray ones, x and y.

    Args:
      path: the folder.
      template: of the names. One place is for the number: img_{:05}.jpg. Two are for x or y and the
        number, and make frames of two channels: {}_{:05d}.jpg, flow_{}_{:05d}.jpg.
      first: number of the first frame; None is 0 where there is a frame of that number, else 1.
      total: how many there are; None looks.
      short_side: see VideoReader.
      fps: frames per unit of time; see `open_reader`.
      offset: how many frames to leave out at the beginning.

    Raises:
      UserError: a template without such places.
      VideoError: no frames, or some missing between others.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        template: str,
        first: int | None = None,
        total: int | None = None,
        short_side: int = 0,
        fps: float = 0.0,
        offset: int = 0,
    ):
        self.path, self.template, self.first = os.fspath(path), template, first or 0
        self.fps, self._short_side = fps, short_side
        places = sum(field is not None for _, field, *_ in string.Formatter().parse(template))
        if places not in (1, 2):
            raise UserError(
                f'"{template}" is no template of frames: write img_{{:05}}.jpg, or for optical flow'
                " {}_{:05d}.jpg"
            )
        self.flow = places == 2
        if first is None and not os.path.exists(self.files(0)[0]):
            self.first = 1
        self.first += offset
        self.frames = self._count() if total is None else total

    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        """The frames `indices` (n,) as uint8, RGB (n h w 3) or flow (n h w 2).

        Raises:
          VideoError: names the image that is missing, broken or of another size.
        """
        wanted, rows = np.unique(self._checked(indices), return_inverse=True)
        if not len(wanted):
            return self.read([0])[:0]
        images = [self._read(index) for index in wanted.tolist()]
        for index, image in zip(wanted.tolist(), images, strict=True):
            if image.shape != images[0].shape:
                size, other = ("{1} x {0}".format(*i.shape) for i in (image, images[0]))
                raise VideoError(self.files(index)[0], f"is {size}, other frames are {other}")
        return np.stack([images[row] for row in rows])

    def files(self, index: int) -> list[str]:
        """The image of a frame, or its two of flow."""
        keys = [(axis,) for axis in AXES] if self.flow else [()]
        names = (self.template.format(*key, self.first + index) for key in keys)
        return [os.path.join(self.path, name) for name in names]

    def _read(self, index: int) -> np.ndarray:
        files = self.files(index)
        if not self.flow:
            image = read_image(files[0])
        else:
            planes = [read_image(file, gray=True) for file in files]
            if planes[0].shape != planes[1].shape:
                raise VideoError(files[1], f"is not of the size of {os.path.basename(files[0])}")
            image = np.stack(planes, -1)
        return _shrink(image, self._short_side)

    def _count(self) -> int:
        with plain_words(self.path):
            there = set(os.listdir(self.path))
        places = iter((f"[{''.join(AXES)}]", r"(\d+)") if self.flow else (r"(\d+)",))
        pattern = "".join(
            re.escape(text) + ("" if field is None else next(places))
            for text, field, *_ in string.Formatter().parse(self.template)
        )
        matches = (re.fullmatch(pattern, name) for name in there)
        numbered = [(int(m[1]), m[0]) for m in matches if m]
        end, last = max(numbered, default=(self.first - 1, ""))
        begin, earliest = min(numbered, default=(self.first, ""))
        count = end - self.first + 1
        if count < 1:
            raise VideoError(
                self.path, f"there is no frame {os.path.basename(self.files(0)[0])} in it"
            )
        if begin > self.first:
            raise VideoError(self.path, f"frames begin with {earliest}: set first={begin}")
        for index in range(count):
            for file in self.files(index):
                if os.path.basename(file) not in there:
                    raise VideoError(file, f"missing, but there is {last}")
        return count


class ArrayReader(Reader):
    """A clip in memory: uint8 (t h w c), or features of any shape (t ...)."""

    def __init__(self, video: np.ndarray, fps: float = 0.0, path: str = "<array>"):
        self.video, self.fps, self.frames, self.path = video, fps, len(video), path

    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        return np.asarray(self.video[self._checked(indices)])


def read_array(path: str) -> ArrayReader:
    """The array of a .npy file, which stays on the disk, or of a .npz file.

    An npz has one array, or one called "video"; and a number "fps" where that is known.

    Raises:
      VideoError: no such file, no such array, or one that must not be read (pickled objects).
    """
    with plain_words(path):
        try:
            loaded = np.load(path, mmap_mode="r")
            arrays = {"video": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise VideoError(path, f"not an array NumPy can read ({numpy_reason(error)})") from None
    fps = float(arrays.pop("fps", 0.0))
    if "video" not in arrays and len(arrays) != 1:
        found = ", ".join(arrays) or "none"
        raise VideoError(path, f'there must be one array, or one called "video", not {found}')
    video: Any = arrays.get("video", next(iter(arrays.values())))
    if not video.ndim or not len(video):
        raise VideoError(path, f"there are no frames in an array {video.shape}")
    return ArrayReader(video, fps, path)


def read_image(path: str, gray: bool = False) -> np.ndarray:
    """An image file as uint8 RGB (h w 3), or with `gray` (h w).

    Raises:
      VideoError: no such file, truncated, or not an image.
    """
    with plain_words(path):
        data = Path(path).read_bytes()
    # OpenCV fills what is missing of a truncated file with gray.
    if any(data.startswith(head) and end not in data for head, end in ENDS.items()):
        raise VideoError(path, "truncated image")
    mode = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if data else None
    if image is None:
        raise VideoError(path, "not an image" if data else "zero-byte file")
    return image if gray else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _shrink(image: np.ndarray, short_side: int) -> np.ndarray:
    return resize(image, *fit(image.shape[0], image.shape[1], short_side))
