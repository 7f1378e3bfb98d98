"""MSVD: short YouTube clips with about 40 captions each (Chen and Dolan, 2011)."""

from data_prep import layout
from data_prep.captions import CaptionBuilder
from jaxvid import pickles
from jaxvid.data.annotations.entries import entry


class Msvd(CaptionBuilder):
    """The usual splits for training, validation and test."""

    title = "MSVD: Microsoft Research video description corpus"
    homepage = "https://www.cs.utexas.edu/~ml/clamp/videoDescription/"
    licence = "for research; the videos are from YouTube"
    citation = """@inproceedings{chen2011msvd,
  title={Collecting Highly Parallel Data for Paraphrase Evaluation},
  author={Chen, David and Dolan, William},
  booktitle={ACL}, year={2011}
}"""
    expected = {"train": 1_200, "val": 100, "test": 670}  # noqa: RUF012
    folders = ("videos", "YouTubeClips")
    suffix = ".avi"
    lists = {  # noqa: RUF012
        split: (f"{split}.json", f"annotations/msvd_ret_{split}.json")
        for split in ("train", "val", "test")
    }

    def captions(self, source):
        path = layout.first_existing(source, "msvd_data/raw-captions.pkl", "raw-captions.pkl")
        known = entry(pickles.load(path.read_bytes(), str(path)), str(path))
        words = '[["a", "man", "sings"], ...]'
        return {
            split: {
                video: [" ".join(caption) for caption in known.items(video, words)]
                for video in map(str.strip, layout.lines(path.with_name(f"{split}_list.txt")))
            }
            for split in ("train", "val", "test")
        }
