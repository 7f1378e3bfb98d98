"""UCF101-24: tubes of people in 24 classes of UCF101, as Singh et al. (2017) corrected them."""

from data_prep.boxes import TubeBuilder
from jaxvid import class_names


class Ucf24(TubeBuilder):
    """The first split, which is the only one with corrected annotations."""

    title = "UCF101-24: tubes of people in 24 classes of UCF101"
    homepage = "https://github.com/gurkirt/corrected-UCF101-Annots"
    licence = "not stated; the clips come from YouTube"
    citation = """@inproceedings{singh2017online,
  title={Online Real-Time Multiple Spatiotemporal Action Localisation and Prediction},
  author={Singh, Gurkirt and Saha, Suman and Sapienza, Michael and Torr, Philip and others},
  booktitle={ICCV}, year={2017}
}"""
    names = class_names.of("ucf24")
    pickle = ("UCF101v2-GT.pkl", "annotations/UCF101v2-GT.pkl")
    folders = ("UCF-101", "videos", "rgb-images", "rawframes")
    stem = "ucf24"
    suffix = ".avi"
    companions = ("UCF101v2-GT.pkl", "rgb-images", "proposals_train.json", "proposals_val.json")
