"""Jester: hand gestures in front of a camera, as folders of frames (Materzynska et al., 2019)."""

from data_prep.clips import Frames
from data_prep.twentybn import LICENCE, FrameSet
from jaxvid import class_names


class Jester(FrameSet):
    """Version 1: folders of frames, and csv lists with lines "id;class"."""

    title = "Jester: hand gestures in front of a camera"
    homepage = "https://www.qualcomm.com/developer/software/jester-dataset"
    licence = LICENCE
    citation = """@inproceedings{materzynska2019jester,
  title={The Jester Dataset: A Large-Scale Video Dataset of Human Gestures},
  author={Materzynska, Joanna and Berger, Guillaume and Bax, Ingo and Memisevic, Roland},
  booktitle={ICCV Workshops}, year={2019}
}"""
    names = class_names.of("jester")
    expected = {"train": 118_562, "val": 14_787}  # noqa: RUF012
    content = Frames("{:05}.jpg")
    stem = "jester-v1"
    published = "jester"
