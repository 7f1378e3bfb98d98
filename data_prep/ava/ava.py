"""AVA: boxes and atomic actions of people in 15 minutes of movies (Gu et al., 2018)."""

from pathlib import Path

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.boxes import BoxBuilder, by_video
from data_prep.clips import Clip
from jaxvid import class_names

PROPOSALS = tuple(
    f"annotations/ava_dense_proposals_{split}.FAIR.recall_93.9.pkl"
    for split in ("train", "val", "test")
)


class Ava(BoxBuilder):
    """The variants v21 and v22, which have the same videos."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"AVA {name[1]}.{name[2]}")
        for name in ("v21", "v22")
    ]
    title = "AVA: a video data set of spatio-temporally localized atomic visual actions"
    homepage = "https://research.google.com/ava/"
    licence = "annotations: CC BY 4.0 (Google); the videos belong to those who uploaded them"
    citation = """@inproceedings{gu2018ava,
  title={AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions},
  author={Gu, Chunhui and Sun, Chen and Ross, David A. and Vondrick, Carl and others},
  booktitle={CVPR}, year={2018}
}"""
    names = class_names.of("ava")
    expected = {"train": 235, "val": 64}  # noqa: RUF012

    @property
    def edition(self) -> str:
        """Return the edition of the annotations in names of files."""
        return f"v{self.variant[1]}.{self.variant[2]}"

    @property
    def companions(self):
        left_out = (f"ava_{s}_excluded_timestamps_{self.edition}.csv" for s in ("train", "val"))
        return (*PROPOSALS, *(f"annotations/{name}" for name in left_out), "rawframes")

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        return {split: self.movies(source, split, self.edition) for split in ("train", "val")}

    def movies(self, source: Path, split: str, edition: str) -> list[Clip]:
        """Return the movies of a split with the boxes in them."""
        name = f"ava_{split}_{edition}.csv"
        path = layout.first_existing(source, f"annotations/{name}", name)
        self.inputs.append(path)
        folder = layout.first_existing(source, "videos_15min", "videos", "rawframes")
        found = layout.stems(folder)
        return [
            self.annotated(folder, found.get(video, f"{video}.mp4"), rows, path)
            for video, rows in by_video(path).items()
        ]

    def list_files(self, split, kind, clips):
        del kind
        return {f"annotations/ava_{split}_{self.edition}.csv": clips}
