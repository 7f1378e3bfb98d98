"""The base class of data sets of videos with captions.

Their lists are json files, which `jaxvid/data/sources/video_text.py` reads: {"VIDEO": ["CAPTION",
...]}, as MMAction2 writes them, and in the folder `annotations` [{"video": "VIDEO", "caption":
"CAPTION"}, ...], as VindLU publishes them. A built data set stores each video with its captions as
JSON.
"""

import abc
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep import layout
from data_prep.clips import Annotated, Clip, Videos
from data_prep.video_builder import VideoBuilder

SMALL = "videos_2fps_224"  # folder of the small videos that VindLU reads


class CaptionBuilder(VideoBuilder):
    """A builder whose clips have captions and a single class.

    Attributes:
      folders: places of the videos.
      suffix: extension of videos that are missing.
      lists: names of the lists of each split, the one in MMAction2's format first.
    """

    names = ("text",)
    folders: tuple[str, ...]
    suffix = ".mp4"
    lists: Mapping[str, tuple[str, ...]]
    companions = (SMALL,)

    @cached_property
    def content(self):
        return Annotated(Videos())

    @abc.abstractmethod
    def captions(self, source: Path) -> Mapping[str, Mapping[str, Iterable[Any]]]:
        """Return {split: {video without extension: captions}}.

        Raises:
          UserError: annotations are missing or cannot be read.
        """

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        self.small = (source / SMALL).is_dir()
        folder = layout.first_existing(source, *self.folders)
        found = layout.stems(folder)
        return {
            split: [
                Clip(
                    str(folder),
                    found.get(video, video + self.suffix),
                    (0,),
                    annotation=json.dumps({"captions": list(captions)}),
                )
                for video, captions in videos.items()
            ]
            for split, videos in self.captions(source).items()
        }

    def list_files(self, split, kind, clips):
        del kind
        return dict.fromkeys(self.lists[split], clips)

    def prefix(self, name):
        if "/" not in name:
            return "videos"
        return "" if self.small else SMALL

    def list_text(self, name, clips, counts):
        del counts
        found = {clip.path: json.loads(clip.annotation)["captions"] for clip in clips}
        content: Any = found
        if "/" in name:
            pairs = ((video, caption) for video, each in found.items() for caption in each)
            content = [{"video": video, "caption": caption} for video, caption in pairs]
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
