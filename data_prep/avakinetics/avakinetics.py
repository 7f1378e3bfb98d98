"""AVA-Kinetics: AVA's boxes and actions in clips of Kinetics-700 as well (Li et al., 2020)."""

import re
from dataclasses import replace
from pathlib import Path

from data_prep import layout
from data_prep.ava.ava import Ava
from data_prep.boxes import by_video
from data_prep.clips import Clip

WINDOW = re.compile(r"(.+)_(\d+)_(\d+)")  # name of a clip: video, start and end in seconds


class Avakinetics(Ava):
    """AVA 2.2, with clips of Kinetics in the training set, as MMAction2 trains on it."""

    BUILDER_CONFIGS = []  # noqa: RUF012
    title = "AVA-Kinetics: localized human actions in movies and in clips of Kinetics-700"
    citation = """@article{li2020avakinetics,
  title={The AVA-Kinetics Localized Human Actions Video Dataset},
  author={Li, Ang and Thotakuri, Meghana and Ross, David A. and Carreira, Joao and others},
  journal={arXiv:2005.00214}, year={2020}
}"""
    expected = {"train": 141_692, "val": 64}  # noqa: RUF012

    @property
    def edition(self):
        return "v2.2"

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        movies = {split: self.movies(source, split, self.edition) for split in ("train", "val")}
        return {"train": self._kinetics(source) + movies["train"], "val": movies["val"]}

    def frames_of(self, clip: Clip, folder: str) -> Clip:
        """Return the folder of the frames of a clip, whose name has no folder of its class."""
        return replace(clip, folder=folder, path=Path(clip.path).stem)

    def _kinetics(self, source: Path) -> list[Clip]:
        """Return the clips of Kinetics whose time, in the name ID_START_END, has a key frame."""
        name = "kinetics_train_v1.0.csv"
        path = layout.first_existing(source, f"annotations/{name}", name)
        folder = layout.first_existing(source, "kinetics", "kinetics_train")
        windows: dict[str, list[tuple[int, int, str, str]]] = {}
        for stem, file in layout.stems(folder).items():
            if window := WINDOW.fullmatch(stem):
                video, start, end = window.groups()
                windows.setdefault(video, []).append((int(start), int(end), stem, file))
        clips = []
        for video, rows in by_video(path).items():
            times = {row[1] for row in rows}
            own = [
                (stem, file, [row for row in rows if start < float(row[1]) < end])
                for start, end, stem, file in sorted(windows.get(video, []))
            ]
            for stem, file, kept in own:
                # As published: times are whole seconds of the original video, persons are -1.
                lines = [(stem, str(int(float(row[1]))), *row[2:7], "-1") for row in kept]
                if lines:
                    clips.append(self.annotated(folder, file, lines, path))
            if not any(kept for _, _, kept in own):
                clips.append(Clip(str(folder), f"{video} at {min(times)} s", ()))
        return clips
