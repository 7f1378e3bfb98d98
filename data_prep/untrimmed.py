"""The base class of data sets of untrimmed videos with segments, such as ActivityNet.

Their lists are json files, which `jaxvid/data/sources/activitynet.py` reads. A built data set
stores each video, or its features, with the classes of its segments and with the segments as JSON.
"""

import abc
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.clips import Annotated, Clip, Features, Videos
from data_prep.video_builder import VideoBuilder
from jaxvid.data.annotations import feature_files
from jaxvid.data.video import video_files
from jaxvid.errors import UserError

Video = dict[str, Any]  # duration_second, annotations and others, as the json has them


class UntrimmedBuilder(VideoBuilder):
    """The variants features and videos.

    Attributes:
      folders: places of the files of each variant.
      stem: beginning of the names of the lists.
      before: what the names of files have before the name of a video.
    """

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"Untrimmed videos as {name}")
        for name in ("features", "videos")
    ]
    multi_label = True
    folders: Mapping[str, tuple[str, ...]]
    stem: str
    before = ""

    @cached_property
    def content(self):
        return Annotated(Features() if self.variant == "features" else Videos())

    @abc.abstractmethod
    def videos(self, source: Path, files: Mapping[str, Path]) -> Mapping[str, Mapping[str, Video]]:
        """Return the videos of each split by name.

        Args:
          files: the file of each video that exists, by its name without extension.

        Raises:
          UserError: annotations are missing or cannot be read.
        """

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        folder = layout.first_existing(source, *self.folders[self.variant])
        features = self.variant == "features"
        endings = feature_files.ENDINGS if features else video_files.VIDEOS
        paths = layout.stems(folder, endings)
        files = {stem: folder / path for stem, path in paths.items()}
        return {
            split: [self._clip(folder, paths, name, video) for name, video in videos.items()]
            for split, videos in self.videos(source, files).items()
        }

    def _clip(self, folder: Path, paths: Mapping[str, str], name: str, video: Video) -> Clip:
        name = name if name.startswith(self.before) else self.before + name
        labels = dict.fromkeys(self.label(segment["label"]) for segment in video["annotations"])
        path = paths.get(name, name + (".csv" if self.variant == "features" else ".mp4"))
        return Clip(str(folder), path, tuple(labels), annotation=json.dumps({name: video}))

    def list_files(self, split, kind, clips):
        del kind
        return {f"{self.stem}_anno_{split}.json": clips}

    def list_text(self, name, clips, counts):
        del name, counts
        videos = {k: v for clip in clips for k, v in json.loads(clip.annotation).items()}
        return json.dumps(videos, indent=1) + "\n"


def database(path: Path) -> Iterator[tuple[str, str, Video]]:
    """Yield (name, subset in small letters, video) of a file in ActivityNet's own format.

    Raises:
      UserError: the file is not such a json, or a value is missing; the message names the video.
    """
    content = layout.json_file(path)
    found = content.get("database") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise UserError(f'{path}: there is no "database" of videos in it')
    for name, video in found.items():
        for key in ("subset", "duration", "annotations"):
            if not isinstance(video, dict) or key not in video:
                raise UserError(f'{path}: video "{name}" has no "{key}"')
        segments = [{k: a[k] for k in ("segment", "label")} for a in video["annotations"]]
        about = {"duration_second": float(video["duration"]), "annotations": segments}
        yield name, video["subset"].lower(), about


def by_split(
    videos: Iterable[tuple[str, str, Video]], splits: Mapping[str, str]
) -> dict[str, dict[str, Video]]:
    """Return {split: {name: video}} of videos with subsets.

    Args:
      splits: the subset of each split. Videos of other subsets are left out.
    """
    found: dict[str, dict[str, Video]] = {split: {} for split in splits}
    names = {subset: split for split, subset in splits.items()}
    for name, subset, video in videos:
        if subset in names:
            found[names[subset]][name] = video
    return found
