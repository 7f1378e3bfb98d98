"""The data sets of Twenty Billion Neurons: Something-Something and Jester."""

from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder

LICENCE = "research licence of Qualcomm (formerly Twenty Billion Neurons)"
SOMETHING_SOMETHING = """@inproceedings{goyal2017something,
  title={The "Something Something" Video Database for Learning and Evaluating Visual Common Sense},
  author={Goyal, Raghav and Ebrahimi Kahou, Samira and Michalski, Vincent and others},
  booktitle={ICCV}, year={2017}
}"""


class FrameSet(VideoBuilder):
    """A data set of folders of frames, with csv files of lines "id;class".

    Attributes:
      stem: beginning of the names of the csv files. After "20bn-", it is the folder of the frames.
      published: name of the data set in MMAction2.
    """

    stem: str
    published: str

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        frames = layout.first_existing(source, f"20bn-{self.stem}", "rawframes")
        lists = {"train": "train", "val": "validation"}
        return {split: self._read(source, frames, name) for split, name in lists.items()}

    def list_files(self, split, kind, clips):
        return {f"{self.published}_{split}_list_{kind}.txt": clips}

    def _read(self, source: Path, frames: Path, name: str) -> list[Clip]:
        file = f"{self.stem}-{name}.csv"
        rows = layout.table(
            layout.first_existing(source, file, f"annotations/{file}"), delimiter=";"
        )
        return [Clip(str(frames), row[0], (self.label(row[1]),)) for row in rows]
