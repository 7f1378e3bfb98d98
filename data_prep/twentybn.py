"""What Something-Something v1 and Jester share: folders of frames and lists with "id;class"."""

from pathlib import Path

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder


class FrameSet(VideoBuilder):
    """Attributes:
    stem: of the names of its csv files and, after "20bn-", of the folder of frames.
    published: MMAction2's name for it.
    """

    stem: str
    published: str

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        frames = layout.first_existing(source, f"20bn-{self.stem}", "rawframes")
        lists = {"train": "train", "val": "validation"}
        return {split: self._read(source, frames, name) for split, name in lists.items()}

    def list_files(self, split, kind, clips):
        return {f"{self.published}_{split}_list_{kind}.txt": clips}

    def _read(self, source: Path, frames: Path, name: str) -> list[Clip]:
        file = f"{self.stem}-{name}.csv"
        rows = layout.table(
            layout.first_existing(source, file, f"annotations/{file}"), delimiter=";"
        )
        return [Clip(str(frames), row[0], (self.label(row[1]),)) for row in rows]
