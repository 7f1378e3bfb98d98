"""FineGYM's Gym99: sub-actions of gymnastics in 99 classes (Shao et al., 2020)."""

from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Gym(VideoBuilder):
    """The clips are what `python -m data_prep.gym.trim` cuts from the videos."""

    title = "FineGYM (Gym99): elements of gymnastics"
    homepage = "https://sdolivia.github.io/FineGym/"
    licence = "CC BY-NC 4.0 (annotations); the videos are from YouTube"
    citation = """@inproceedings{shao2020finegym,
  title={FineGym: A Hierarchical Video Dataset for Fine-grained Action Understanding},
  author={Shao, Dian and Zhao, Yue and Dai, Bo and Lin, Dahua},
  booktitle={CVPR}, year={2020}
}"""
    names = class_names.of("gym99")
    expected = {"train": 20_484, "val": 8_521}  # noqa: RUF012

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        videos = layout.first_existing(source, "subactions")

        def read(*files):
            file = layout.first_existing(
                source, *(f"{f}{n}" for n in files for f in ("", "annotations/"))
            )
            for line in layout.lines(file):
                name, label = line.split()
                yield Clip(str(videos), f"{name}.mp4", (int(label),))

        train = read(
            "gym99_train_element_v1.1.txt", "gym99_train_element_v1.0.txt", "gym99_train_org.txt"
        )
        return {
            "train": list(train),
            "val": list(read("gym99_val_element.txt", "gym99_val_org.txt")),
        }

    def list_files(self, split, kind, clips):
        return {f"gym99_{split}{'' if kind == 'videos' else '_frame'}.txt": clips}
