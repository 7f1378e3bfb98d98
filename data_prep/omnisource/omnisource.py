"""OmniSource's web data for the 200 classes of Mini-Kinetics (Duan et al., 2020)."""

from pathlib import Path

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder

# Folder and list of the files of each variant. The lists contain what a teacher model has selected,
# without samples that resemble a validation clip.
WEB = {
    "googleimage": ("googleimage_200", "googleimage_200/tsn_8seg_googleimage_200_wodup.txt"),
    "insimage": ("insimage_200", "insimage_200/tsn_8seg_insimage_200_wodup.txt"),
    "webimage": ("", "webimage_200/tsn_8seg_webimage_200_wodup.txt"),
    "insvideo": ("insvideo_200", "insvideo_200/slowonly_8x8_insvideo_200_wodup.txt"),
}
RAW = "kinetics_raw_200/slowonly_8x8_kinetics_raw_200.json"


class Omnisource(VideoBuilder):
    """The variant kinetics is Mini-Kinetics. The others have training samples only.

    Images are stored unchanged, and are read as videos of one frame. kinetics_raw contains those
    ten-second clips of untrimmed videos in which a teacher model has recognized the action.
    `python -m data_prep.omnisource.trim` cuts them.
    """

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"Source {name}")
        for name in ("kinetics", *WEB, "kinetics_raw")
    ]
    title = "OmniSource: web images and videos of the 200 classes of Mini-Kinetics"
    homepage = "https://github.com/open-mmlab/mmaction2/tree/main/tools/data/omnisource"
    licence = "by request to the authors; the files belong to those who uploaded them"
    citation = """@inproceedings{duan2020omni,
  title={Omni-sourced Webly-supervised Learning for Video Recognition},
  author={Duan, Haodong and Zhao, Yue and Xiong, Yuanjun and Liu, Wentao and Lin, Dahua},
  booktitle={ECCV}, year={2020}
}"""
    names = tuple(map(str, range(200)))  # in k200_actions.txt, which comes with the data

    @property
    def expected(self):
        return {"train": 76_030, "val": 4_838} if self.variant == "kinetics" else {}

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        lists = layout.first_existing(source, "annotations")
        if self.variant == "kinetics":
            return {
                split: _read(
                    source / f"kinetics_200_{split}", lists / f"kinetics_200/k200_{split}.txt"
                )
                for split in ("train", "val")
            }
        if self.variant == "kinetics_raw":
            videos = str(source / "kinetics_raw_200_train")
            return {
                "train": [
                    Clip(videos, f"{item['video_dir']}/part_{part}.mp4", (item["label"],))
                    for item in layout.json_file(lists / RAW)
                    for part in item["positive_clip_inds"]
                ]
            }
        folder, file = WEB[self.variant]
        return {"train": _read(source / folder, lists / file)}

    def list_files(self, split, kind, clips):
        return {f"omnisource_{self.variant}_{split}_list_{kind}.txt": clips}


def _read(folder: Path, file: Path) -> list[Clip]:
    pairs = (line.rsplit(maxsplit=1) for line in layout.lines(file))
    return [Clip(str(folder), path, (int(label),)) for path, label in pairs]
