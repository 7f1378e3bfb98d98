"""HVU: Kinetics-like videos with tags of six categories (Diba et al., 2020)."""

import json
from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names
from jaxvid.data.annotations.labels import by_category
from jaxvid.errors import UserError, did_you_mean


class Hvu(VideoBuilder):
    """Multi-label videos, with classes "category/tag" such as "scene/beach".

    A video was annotated in some of the categories only, so train with `category_mask=True`.
    """

    title = "HVU: holistic video understanding, with tags of actions, objects, scenes and more"
    homepage = "https://github.com/holistic-video-understanding/HVU-Dataset"
    licence = "not stated; the videos are from YouTube"
    citation = """@inproceedings{diba2020hvu,
  title={Large Scale Holistic Video Understanding},
  author={Diba, Ali and Fayyaz, Mohsen and Sharma, Vivek and Paluri, Manohar and others},
  booktitle={ECCV}, year={2020}
}"""
    names = class_names.of("hvu")
    expected = {"val": 31_171}  # noqa: RUF012
    multi_label = True

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        tags = {name.partition("/")[2]: number for number, name in enumerate(self.names)}

        def read(split, name):
            videos = layout.first_existing(source, f"videos_{split}", split)
            file = layout.first_existing(source, f"{name}.csv", f"annotations/hvu_{split}.csv")
            for row in layout.records(file, "Tags", "youtube_id", "time_start", "time_end"):
                start, end = (int(float(row[key]) * 10) for key in ("time_start", "time_end"))
                path = f"{row['youtube_id']}_{start:06}_{end:06}.mp4"
                for tag in (found := row["Tags"].split("|")):
                    if tag not in tags:
                        raise UserError(f'{file}: no such tag: "{tag}".{did_you_mean(tag, tags)}')
                yield Clip(str(videos), path, tuple(tags[tag] for tag in found))

        return {
            "train": list(read("train", "HVU_Train_V1.0")),
            "val": list(read("val", "HVU_Val_V1.0")),
        }

    def list_files(self, split, kind, clips):
        return {f"hvu_{split}{'_video' if kind == 'videos' else ''}.json": clips}

    def list_text(self, name, clips, counts):
        """The list as MMAction2 writes it: tags by category, which are numbered within it."""
        tags = {
            number: (category, tag)
            for category, numbers in by_category(self.names).items()
            for tag, number in enumerate(numbers)
        }
        entries = []
        for clip, count in zip(clips, counts or [0] * len(clips), strict=True):
            label: dict[str, list[int]] = {}
            for category, tag in (tags[number] for number in clip.labels):
                label.setdefault(category, []).append(tag)
            about = (
                {"frame_dir": clip.path, "total_frames": count}
                if count
                else {"filename": clip.path}
            )
            entries.append(about | {"label": label})
        return json.dumps(entries)
