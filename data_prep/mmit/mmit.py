"""Multi-Moments in Time: three-second videos with all their labels (Monfort et al., 2019)."""

from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Mmit(VideoBuilder):
    """Each video has one or more of 313 labels."""

    title = "Multi-Moments in Time: three-second videos with all the actions in them"
    homepage = "http://moments.csail.mit.edu/"
    licence = "for non-commercial research and education, by agreement with the authors"
    citation = """@article{monfort2019multi,
  title={Multi-Moments in Time: Learning and Interpreting Models for Multi-Action Video
    Understanding},
  author={Monfort, Mathew and Ramakrishnan, Kandan and Andonian, Alex and others},
  journal={arXiv:1911.00232}, year={2019}
}"""
    names = class_names.of("mmit")
    expected = {"train": 1_025_862, "val": 10_000}  # noqa: RUF012
    multi_label = True

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        videos = layout.first_existing(source, "videos")

        def read(name):
            file = layout.first_existing(source, f"{name}Set.csv", f"annotations/{name}Set.csv")
            for path, *labels in layout.table(file):
                yield Clip(str(videos), path, tuple(map(int, labels)))

        return {"train": list(read("training")), "val": list(read("validation"))}

    def list_files(self, split, kind, clips):
        return {f"mmit_{split}_list_{kind}.txt": clips}
