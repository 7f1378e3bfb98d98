"""Moments in Time: a million three-second videos of 339 actions (Monfort et al., 2019)."""

from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Mit(VideoBuilder):
    """The class of a video is the folder it lies in."""

    title = "Moments in Time: three-second videos of people, animals, objects and nature"
    homepage = "http://moments.csail.mit.edu/"
    licence = "for non-commercial research and education, by agreement with the authors"
    citation = """@article{monfort2019moments,
  title={Moments in Time Dataset: One Million Videos for Event Understanding},
  author={Monfort, Mathew and Andonian, Alex and Zhou, Bolei and Ramakrishnan, Kandan and others},
  journal={TPAMI}, year={2019}
}"""
    names = class_names.of("mit")
    expected = {"train": 802_264, "val": 33_900}  # noqa: RUF012

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        def read(name):
            videos = layout.first_existing(source, name, f"videos/{name}")
            file = layout.first_existing(source, f"{name}Set.csv", f"annotations/{name}Set.csv")
            for row in layout.table(file):
                label = self.label(row[0].split("/")[0])
                yield Clip(str(videos), row[0], (label,))

        return {"train": list(read("training")), "val": list(read("validation"))}

    def list_files(self, split, kind, clips):
        return {f"mit_{split}_list_{kind}.txt": clips}

    def prefix(self, name):
        kind = "videos" if name.endswith("_videos.txt") else "rawframes"
        return f"{kind}/training" if "_train_" in name else f"{kind}/validation"
