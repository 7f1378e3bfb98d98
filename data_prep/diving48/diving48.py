"""Diving48, version 2 of its annotations: competitive dives of 48 classes (Li et al., 2018)."""

from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Diving48(VideoBuilder):
    """A class is a sequence of take-off, somersaults, twists and flight position."""

    title = "Diving48: competitive dives"
    homepage = "http://www.svcl.ucsd.edu/projects/resound/dataset.html"
    licence = "not stated"
    citation = """@inproceedings{li2018resound,
  title={RESOUND: Towards Action Recognition without Representation Bias},
  author={Li, Yingwei and Li, Yi and Vasconcelos, Nuno},
  booktitle={ECCV}, year={2018}
}"""
    names = class_names.of("diving48")
    expected = {"train": 15_027, "val": 1_970}  # noqa: RUF012

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        videos = layout.first_existing(source, "rgb", "videos")

        def read(name):
            file = f"Diving48_V2_{name}.json"
            items = layout.json_file(layout.first_existing(source, file, f"annotations/{file}"))
            return [Clip(str(videos), f"{i['vid_name']}.mp4", (i["label"],)) for i in items]

        return {"train": read("train"), "val": read("test")}

    def list_files(self, split, kind, clips):
        return {f"diving48_{split}_list_{kind}.txt": clips}

    def prefix(self, name):
        return "videos" if name.endswith("_videos.txt") else "rawframes"
