"""UCF101: 13,320 videos of 101 actions, in three splits (Soomro, Zamir and Shah, 2012)."""

from pathlib import Path

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Ucf101(VideoBuilder):
    """The variants split1, split2 and split3, each of which stores its own copies of the videos."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=f"split{i}", description=f"Official split {i}.")
        for i in (1, 2, 3)
    ]
    title = "UCF101, a data set of 101 human actions in user-uploaded videos"
    homepage = "https://www.crcv.ucf.edu/data/UCF101.php"
    licence = "not stated; videos are from YouTube"
    citation = """@article{soomro2012ucf101,
  title={UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild},
  author={Soomro, Khurram and Zamir, Amir Roshan and Shah, Mubarak},
  journal={arXiv:1212.0402}, year={2012}
}"""
    names = class_names.of("ucf101")

    @property
    def expected(self):
        train, val = {"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}[self.variant[-1]]
        return {"train": train, "val": val}

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        videos = layout.first_existing(source, "UCF-101", "videos")
        lists = layout.first_existing(source, "ucfTrainTestlist", "annotations")
        number = self.variant[-1]

        def read(file):
            for line in layout.lines(lists / file):
                path = line.split()[0]  # what follows, in training lists, is the label from 1
                yield Clip(str(videos), path, (self.label(path.split("/")[0]),))

        return {
            "train": list(read(f"trainlist0{number}.txt")),
            "val": list(read(f"testlist0{number}.txt")),
        }

    def prefix(self, name):
        return "videos" if name.endswith("_videos.txt") else ""

    def list_files(self, split, kind, clips):
        return {f"ucf101_{split}_split_{self.variant[-1]}_{kind}.txt": clips}
