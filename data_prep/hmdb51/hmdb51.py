"""HMDB51: 6,766 clips of 51 actions from films and the web (Kuehne et al., 2011)."""

from pathlib import Path

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Hmdb51(VideoBuilder):
    """The variants split1, split2 and split3, each of which stores its own copies of the videos."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=f"split{i}", description=f"Official split {i}")
        for i in (1, 2, 3)
    ]
    title = "HMDB51: a large video database for human motion recognition"
    homepage = "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/"
    licence = "CC BY 4.0; the clips come from films and web videos"
    citation = """@inproceedings{kuehne2011hmdb,
  title={HMDB: A Large Video Database for Human Motion Recognition},
  author={Kuehne, H. and Jhuang, H. and Garrote, E. and Poggio, T. and Serre, T.},
  booktitle={ICCV}, year={2011}
}"""
    names = class_names.of("hmdb51")
    expected = {"train": 3570, "val": 1530}  # noqa: RUF012

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        videos = layout.first_existing(source, "hmdb51_org", "videos")
        lists = layout.first_existing(source, "testTrainMulti_7030_splits", "annotations")
        clips: dict[str, list[Clip]] = {"train": [], "val": []}
        for label, name in enumerate(self.names):
            for line in layout.lines(lists / f"{name}_test_{self.variant}.txt"):
                file, use = line.rsplit(maxsplit=1)
                if use != "0":  # in neither part of this split
                    clips["train" if use == "1" else "val"].append(
                        Clip(str(videos), f"{name}/{file}", (label,))
                    )
        return clips

    def list_files(self, split, kind, clips):
        return {f"hmdb51_{split}_split_{self.variant[-1]}_{kind}.txt": clips}
