"""Something-Something v1: folders of frames, at 12 a second (Goyal et al., 2017)."""

from data_prep import twentybn
from data_prep.clips import Frames
from jaxvid import class_names


class Ssv1(twentybn.FrameSet):
    """Folders of frames, and csv lists with lines "id;class"."""

    title = "Something-Something v1: people do things with everyday objects"
    homepage = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset"
    licence = twentybn.LICENCE
    citation = twentybn.SOMETHING_SOMETHING
    names = class_names.of("ssv1")
    expected = {"train": 86_017, "val": 11_522}  # noqa: RUF012
    content = Frames("{:05}.jpg")
    stem = "something-something-v1"
    published = "sthv1"

    def prefix(self, name):
        del name
        return "rawframes"
