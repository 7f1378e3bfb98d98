"""JHMDB: tubes of one person in 21 classes of HMDB51 (Jhuang et al., 2013)."""

import tensorflow_datasets as tfds

from data_prep.boxes import TubeBuilder
from jaxvid import class_names


class Jhmdb(TubeBuilder):
    """The variants split1, split2 and split3."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=f"split{i}", description=f"Official split {i}")
        for i in (1, 2, 3)
    ]
    title = "JHMDB: tubes of people in 21 classes of HMDB51"
    homepage = "http://jhmdb.is.tue.mpg.de/"
    licence = "for non-commercial research; the clips come from films and web videos"
    citation = """@inproceedings{jhuang2013jhmdb,
  title={Towards Understanding Action Recognition},
  author={Jhuang, H. and Gall, J. and Zuffi, S. and Schmid, C. and Black, M. J.},
  booktitle={ICCV}, year={2013}
}"""
    names = class_names.of("jhmdb")
    pickle = ("JHMDB-GT.pkl", "annotations/JHMDB-GT.pkl")
    folders = ("ReCompress_Videos", "videos", "Frames", "rawframes")
    suffix = ".avi"
    companions = ("JHMDB-GT.pkl", "Frames", "proposals_train.json", "proposals_val.json")

    @property
    def part(self):
        return int(self.variant[-1]) - 1

    @property
    def stem(self):
        return f"jhmdb_{self.variant}"
