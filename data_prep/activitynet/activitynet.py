"""ActivityNet v1.3: untrimmed videos with segments of activities (Caba Heilbron et al., 2015)."""

import json
from pathlib import Path

from data_prep import layout
from data_prep.untrimmed import UntrimmedBuilder, by_split, database
from jaxvid import class_names
from jaxvid.errors import UserError

SUBSETS = {"train": "training", "val": "validation"}


class Activitynet(UntrimmedBuilder):
    """The features with MMAction2's annotations, or the videos with the official annotations."""

    title = "ActivityNet v1.3: untrimmed videos with segments of 200 activities"
    homepage = "http://activity-net.org/"
    licence = "annotations: MIT; the videos belong to those who uploaded them"
    citation = """@inproceedings{caba2015activitynet,
  title={ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding},
  author={Caba Heilbron, Fabian and Escorcia, Victor and Ghanem, Bernard and Niebles, Juan Carlos},
  booktitle={CVPR}, year={2015}
}"""
    names = class_names.of("activitynet")
    folders = {  # noqa: RUF012
        "features": ("activitynet_feature_cuhk/csv_mean_100", "csv_mean_100", "features"),
        "videos": ("videos", "v1-3/train_val", "train_val"),
    }
    companions = ("activitynet_feature_cuhk", "slowonly_k700_feature", "tsp_features")
    stem, before = "anet", "v_"

    @property
    def expected(self):
        features = self.variant == "features"
        return {"train": 9_649, "val": 4_728} if features else {"train": 10_024, "val": 4_926}

    def videos(self, source, files):
        del files
        table = source / "anet_anno_action.json"
        if self.variant == "features" and table.is_file():
            return by_split(_published(source, table), SUBSETS)
        path = layout.first_existing(source, "activity_net.v1-3.min.json", "activity_net.v1-3.json")
        return by_split(database(path), SUBSETS)

    def list_files(self, split, kind, clips):
        found = super().list_files(split, kind, clips)
        if self.variant == "videos":
            found[f"anet_{split}_video.txt"] = clips
        if kind == "rawframes":
            found[f"anet_{split}_clip.txt"] = clips
        return found

    def list_text(self, name, clips, counts):
        if name.endswith("_clip.txt"):
            return "".join(map(self._segments, clips, counts))
        if name.endswith("_video.txt"):  # as published, a video has the class of its first segment
            clips = [type(c)(c.folder, c.path, c.labels[:1]) for c in clips]
            return super(UntrimmedBuilder, self).list_text(name, clips, counts)
        return super().list_text(name, clips, counts)

    def _segments(self, clip, count):
        """Return lines "folder first_frame frames label" of the segments of a folder of frames."""
        (video,) = json.loads(clip.annotation).values()
        fps, text = count / video["duration_second"], ""
        for segment in video["annotations"]:
            start, end = (int(time * fps) for time in segment["segment"])
            label = self.label(segment["label"])
            text += f"{clip.path} {start} {min(end, count - 1) - start + 1} {label}\n"
        return text


def _published(source: Path, path: Path):
    """Yield the videos of the files of BSN's authors, which MMAction2 uses."""
    videos = layout.json_file(path)
    table = layout.first_existing(source, "video_info_new.csv")
    for row in layout.records(table, "video", "subset"):
        if row["video"] not in videos:
            raise UserError(f'{path}: there is no video "{row["video"]}", which is in {table}')
        yield row["video"], row["subset"], videos[row["video"]]
