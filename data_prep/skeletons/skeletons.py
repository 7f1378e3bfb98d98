"""The skeletons that MMAction2 and pyskl publish as pickles (Duan et al., 2022), as ArrayRecord.

`jaxvid/data/sources/skeleton.py` reads the pickles directly, but needs memory for a whole pickle. A
built data set is read sample by sample, and contains the key points of Kinetics in a few files.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names
from jaxvid.data.annotations import skeleton_files
from jaxvid.data.transforms.pose import Load

DENSE_2D = (("keypoint", 4), ("keypoint_score", 3))  # (m t j 2) and (m t j)
DENSE_3D = (("keypoint", 4),)  # (m t j 3)
COMPACT = (("keypoint", 3), ("frame_inds", 1))  # (n j 3) and (n,)

# Class names, or the number of classes without names, and arrays of each pickle.
FILES: dict[str, tuple[str | int, tuple[tuple[str, int], ...]]] = {
    "ntu60_2d": ("ntu60", DENSE_2D),
    "ntu60_3d": ("ntu60", DENSE_3D),
    "ntu120_2d": ("ntu120", DENSE_2D),
    "ntu120_3d": ("ntu120", DENSE_3D),
    "gym_2d": ("gym99", DENSE_2D),
    "ucf101_2d": ("ucf101", DENSE_2D),
    "hmdb51_2d": ("hmdb51", DENSE_2D),
    "diving48_2d": ("diving48", DENSE_2D),
    "k400_2d": ("k400", COMPACT),
    "babel60_3d": (60, DENSE_3D),
    "babel120_3d": (120, DENSE_3D),
    "jester": ("jester", DENSE_2D),
}


@dataclass(frozen=True)
class Poses:
    """The arrays of an annotation, see `data/annotations/skeleton_files.py`.

    Attributes:
      pickle: name of the pickle in the folder of the clip.
      axes: number of axes of each array.
      files: folder of the files of key points, if the pickle contains none.
    """

    pickle: str
    axes: tuple[tuple[str, int], ...]
    files: str = ""

    options: ClassVar[str] = "group_size:1"

    def features(self) -> dict[str, Any]:
        kinds = {"frame_inds": np.int32}
        found = {
            key: tfds.features.Tensor(
                shape=(None,) * count, dtype=kinds.get(key, np.float32), encoding="bytes"
            )
            for key, count in self.axes
        }
        if self.axes != DENSE_3D:  # (h, w) of the frames
            found["size"] = tfds.features.Tensor(shape=(2,), dtype=np.int64)
        return found

    def size(self, clip: Clip) -> int:
        if clip.row < 0:
            return 0
        if self.files:
            path = self._file(clip)
            return os.path.getsize(path) if os.path.exists(path) else 0
        table, _ = self._open(clip.folder)
        return 4 * sum(int(table[f"{key}.shape"][clip.row].prod()) for key, _ in self.axes)

    def read(self, clip: Clip) -> dict[str, Any]:
        table, found = self._open(clip.folder)
        arrays = found.arrays(clip.row)
        if self.files:
            given = {"path": self._file(clip), "frame_inds": arrays["frame_inds"]}
            arrays = Load()(given, np.random.default_rng(0))
        values = {key: np.asarray(arrays[key]) for key, _ in self.axes}
        values = {k: v if v.dtype == np.int32 else v.astype(np.float32) for k, v in values.items()}
        return values | ({"size": table["size"][clip.row]} if self.axes != DENSE_3D else {})

    def _file(self, clip: Clip) -> str:
        return os.path.join(clip.folder, self.files, f"{clip.path}.pkl")

    def _open(self, folder: str) -> tuple[dict[str, np.ndarray], skeleton_files.Poses]:
        found = skeleton_files.read(str(skeleton_files.ensure(Path(folder, self.pickle))))
        return found.table, found


class Skeletons(VideoBuilder):
    """A variant for each pickle, with the splits of the pickle, such as xsub_train."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"{name}.pkl") for name in FILES
    ]
    title = "Skeletons of action recognition data sets"
    homepage = "https://github.com/open-mmlab/mmaction2/tree/main/tools/data/skeleton"
    licence = "that of each data set; NTU RGB+D: for academic research, on request"
    citation = """@inproceedings{duan2022revisiting,
  title={Revisiting Skeleton-based Action Recognition},
  author={Duan, Haodong and Zhao, Yue and Chen, Kai and Lin, Dahua and Dai, Bo},
  booktitle={CVPR}, year={2022}
}"""

    @property
    def content(self):
        axes = FILES[self.variant][1]
        return Poses(f"{self.variant}.pkl", axes, "kpfiles" if axes == COMPACT else "")

    @property
    def names(self):
        known = FILES[self.variant][0]
        return class_names.of(known) if isinstance(known, str) else tuple(map(str, range(known)))

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        table = skeleton_files.read(
            str(skeleton_files.ensure(layout.first_existing(source, f"{self.variant}.pkl")))
        ).table
        clips = {}
        for key in (key for key in table if key.startswith("split.")):
            name = key.removeprefix("split.")
            clips[name] = [
                Clip(str(source), str(table["id"][row]), (int(table["label"][row]),), int(row))
                for row in table[key]
            ]
            clips[name] += [Clip(str(source), str(id), (0,), -1) for id in table[f"absent.{name}"]]
        return clips
