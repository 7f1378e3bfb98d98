"""Something-Something v1: folders of frames, at 12 a second (Goyal et al., 2017)."""

from data_prep.clips import Frames
from data_prep.twentybn import FrameSet
from jaxvid import class_names


class Ssv1(FrameSet):
    """As it came: frames, and csv lists with "id;class"."""

    title = "Something-Something v1: people do things with everyday objects"
    homepage = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset"
    licence = "research licence of Qualcomm (formerly Twenty Billion Neurons)"
    citation = """@inproceedings{goyal2017something,
  title={The "Something Something" Video Database for Learning and Evaluating Visual Common Sense},
  author={Goyal, Raghav and Ebrahimi Kahou, Samira and Michalski, Vincent and others},
  booktitle={ICCV}, year={2017}
}"""
    names = class_names.of("ssv1")
    expected = {"train": 86_017, "val": 11_522}  # noqa: RUF012
    content = Frames("{:05}.jpg")
    stem = "something-something-v1"
    published = "sthv1"
