"""MSR-VTT: web videos with 20 captions each (Xu et al., 2016)."""

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.captions import SMALL, CaptionBuilder
from jaxvid.data.annotations.entries import entry
from jaxvid.errors import UserError

# VindLU's annotations that are read as they are published: questions, and multiple choice.
ANNOTATIONS = ("qa_train", "qa_val", "qa_test", "qa_answer_list", "mc_test")


class Msrvtt(CaptionBuilder):
    """The variants 9k and 7k of the training set, with the 1,000 pairs of JSFusion as test set."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"{name[0]},000 videos for training")
        for name in ("9k", "7k")
    ]
    title = "MSR-VTT: web videos with 20 captions each"
    homepage = "https://www.microsoft.com/en-us/research/publication/msr-vtt-a-large-video-description-dataset-for-bridging-video-and-language/"
    licence = "for research; the videos are from YouTube"
    citation = """@inproceedings{xu2016msrvtt,
  title={MSR-VTT: A Large Video Description Dataset for Bridging Video and Language},
  author={Xu, Jun and Mei, Tao and Yao, Ting and Rui, Yong},
  booktitle={CVPR}, year={2016}
}"""
    folders = ("videos", "MSRVTT/videos/all")
    companions = (SMALL, *(f"annotations/msrvtt_{name}.json" for name in ANNOTATIONS))

    @property
    def lists(self):
        train = f"train_{self.variant}.json", f"annotations/msrvtt_ret_train{self.variant}.json"
        return {"train": train, "val": ("test_JSFUSION.json", "annotations/msrvtt_ret_test1k.json")}

    @property
    def expected(self):
        return {"train": {"9k": 9_000, "7k": 7_010}[self.variant], "val": 1_000}

    def captions(self, source):
        path = layout.first_existing(source, "msrvtt_data/MSRVTT_data.json", "MSRVTT_data.json")
        known: dict[str, list[str]] = {}
        content = entry(layout.json_file(path), str(path))
        for number, sentence in enumerate(content.items("sentences")):
            own = entry(sentence, f"{path}: sentences[{number}]")
            known.setdefault(own.name("video_id"), []).append(own.text("caption"))
        table = path.with_name(f"MSRVTT_train.{self.variant}.csv")
        train = {
            row["video_id"]: known.get(row["video_id"]) for row in layout.records(table, "video_id")
        }
        for video, captions in train.items():
            if not captions:
                raise UserError(f'{path}: there is no caption of "{video}", which is in {table}')
        test = layout.records(path.with_name("MSRVTT_JSFUSION_test.csv"), "video_id", "sentence")
        return {"train": train, "val": {row["video_id"]: [row["sentence"]] for row in test}}
