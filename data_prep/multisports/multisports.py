"""MultiSports: tubes of athletes and their actions in four sports (Li et al., 2021)."""

from data_prep.boxes import TubeBuilder
from jaxvid import class_names


class Multisports(TubeBuilder):
    """The training and validation sets. The annotations of the test set are not public."""

    title = "MultiSports: tubes of athletes and their actions in four sports"
    homepage = "https://deeperaction.github.io/datasets/multisports.html"
    licence = "CC BY-NC 4.0"
    citation = """@inproceedings{li2021multisports,
  title={MultiSports: A Multi-Person Video Dataset of Spatio-Temporally Localized Sports Actions},
  author={Li, Yixuan and Chen, Lei and He, Runyu and Wang, Zhenzhi and others},
  booktitle={ICCV}, year={2021}
}"""
    names = class_names.of("multisports")
    expected = {"train": 1_574, "val": 555}  # noqa: RUF012
    pickle = ("annotations/multisports_GT.pkl", "trainval/multisports_GT.pkl", "multisports_GT.pkl")
    folders = ("trainval",)
    stem = "annotations/multisports"
    suffix = ".mp4"
    companions = (
        "annotations/multisports_GT.pkl",
        "annotations/multisports_proposals_train.pkl",
        "annotations/multisports_proposals_val.pkl",
        "trainval",
    )
