"""HACS Segments: untrimmed videos with the classes of ActivityNet (Zhao et al., 2019)."""

from data_prep import layout
from data_prep.untrimmed import UntrimmedBuilder, by_split, database
from jaxvid import class_names

FPS = 30  # by which MMAction2 estimates numbers of frames


class Hacs(UntrimmedBuilder):
    """HACS Segments v1.1.1."""

    title = "HACS Segments: untrimmed videos with segments of 200 activities"
    homepage = "http://hacs.csail.mit.edu/"
    licence = "annotations: BSD 3-Clause; the videos belong to those who uploaded them"
    citation = """@inproceedings{zhao2019hacs,
  title={HACS: Human Action Clips and Segments Dataset for Recognition and Temporal Localization},
  author={Zhao, Hang and Torralba, Antonio and Torresani, Lorenzo and Yan, Zhicheng},
  booktitle={ICCV}, year={2019}
}"""
    names = class_names.of("activitynet")
    expected = {"train": 37_613, "val": 5_981}  # noqa: RUF012
    folders = {  # noqa: RUF012
        "features": ("slowonly_feature", "features"),
        "videos": ("data", "videos"),
    }
    companions = ("slowonly_feature", "features")
    stem, before = "hacs", "v_"

    def videos(self, source, files):
        del files
        name = "HACS_segments_v1.1.1.json"
        path = layout.first_existing(source, name, f"HACS_v1.1.1/{name}", f"annotations/{name}")
        splits = by_split(database(path), {"train": "training", "val": "validation"})
        for videos in splits.values():
            for video in videos.values():
                frames = int(video["duration_second"] * FPS)
                video |= {"duration_frame": frames, "feature_frame": frames}
        return splits
