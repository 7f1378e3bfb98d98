"""The base class of data sets of videos with captions.

Their lists are json files {"VIDEO": ["CAPTION", ...]}, which `jaxvid/data/sources/video_text.py`
reads. A built data set stores each video with its captions as JSON.
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


class CaptionBuilder(VideoBuilder):
    """A builder whose clips have captions and a single class.

    Attributes:
      folders: places of the videos.
      suffix: extension of videos that are missing.
    """

    names = ("text",)
    folders: tuple[str, ...]
    suffix = ".mp4"

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

    def list_text(self, name, clips, counts):
        del name, counts
        found = {clip.path: json.loads(clip.annotation)["captions"] for clip in clips}
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
