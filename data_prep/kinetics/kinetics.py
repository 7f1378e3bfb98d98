"""Kinetics-400, 600 and 700, and 710, which joins the three (see README.md for sources)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorflow_datasets as tfds

from data_prep import layout
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names
from jaxvid.data.annotations import lists
from jaxvid.errors import UserError

COLUMNS = ("label", "youtube_id", "time_start", "time_end")
PARTS = ("kinetics400", "kinetics600", "kinetics700")

# Classes of the three sets that have another name in Kinetics-710.
RENAMED = {
    "balloon blowing": "inflating balloons",
    "changing wheel": "changing wheel (not on bike)",
    "cooking sausages": "cooking sausages (not on barbeque)",
    "drinking": "sipping cup",
    "dying hair": "dyeing hair",
    "garbage collecting": "person collecting garbage",
    "hugging": "hugging (not baby)",
    "making bed": "making the bed",
    "opening bottle": "opening bottle (not wine)",
    "passing american football (not in game)": "passing American football (not in game)",
    "picking fruit": "picking apples",
    "skiing (not slalom or crosscountry)": "skiing mono",
    "sniffing": "smelling feet",
    "throwing ball (not baseball or American football)": "throwing ball",
    "tying tie": "tying necktie",
}


class Kinetics(VideoBuilder):
    """The variants k400, k600, k700 (both editions) and k710.

    The source folder of k710 contains the other three as kinetics400, kinetics600 and kinetics700.
    """

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=f"k{n}", description=f"Kinetics-{n}")
        for n in (400, 600, 700, 710)
    ]
    title = "Kinetics: ten-second clips of human actions from YouTube"
    homepage = "https://github.com/cvdfoundation/kinetics-dataset"
    licence = "annotations: CC BY 4.0 (Google); the videos belong to those who uploaded them"
    citation = """@article{kay2017kinetics,
  title={The Kinetics Human Action Video Dataset},
  author={Kay, Will and Carreira, Joao and Simonyan, Karen and Zhang, Brian and others},
  journal={arXiv:1705.06950}, year={2017}
}"""

    @property
    def names(self):
        return class_names.of(self.variant)

    @property
    def expected(self):
        train, val = {
            "k400": (240_436, 19_796),
            "k600": (383_393, 27_910),
            "k700": (542_357, 34_824),
            "k710": (658_340, 66_803),
        }[self.variant]
        return {"train": train, "val": val}

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        if self.variant == "k710":
            return {split: self._union(source, split) for split in ("train", "val")}
        return {split: list(self._part(source, split)) for split in ("train", "val")}

    def list_files(self, split, kind, clips):
        if self.variant != "k710":
            return {f"kinetics{self.variant[1:]}_{split}_list_{kind}.txt": clips}
        files: dict[str, list[Clip]] = {}
        for clip in clips:  # kinetics400/videos_train/PATH: each list is relative to its own folder
            part, videos, path = clip.path.split("/", 2)
            name = f"kinetics710/k{part[-3:]}_{split}_list_{kind}.txt"
            files.setdefault(name, []).append(
                Clip(f"{clip.folder}/{part}/{videos}", path, clip.labels)
            )
        return files

    @property
    def label_file(self):
        folder = "kinetics710/" if self.variant == "k710" else ""
        return f"{folder}label_map_{self.variant}.txt"

    def prefix(self, name):
        folder, _, file = name.rpartition("/")
        stem, split, _, kind = file.removesuffix(".txt").split("_")
        return f"kinetics{stem[1:]}/{kind}_{split}" if folder else f"{kind}_{split}"

    def _part(self, source: Path, split: str) -> Iterator[Clip]:
        """Yield the clips of one of the three sets, with the labels of this variant."""
        videos = video_folder(source, split)
        found = layout.stems(videos)
        mended = source / "replacement"  # CVDF's, for files of Kinetics-400 that are corrupt
        better = layout.stems(mended) if mended.is_dir() else {}
        for row in rows(source, split):
            start, end = (int(float(row[key])) for key in ("time_start", "time_end"))
            name = f"{row['youtube_id']}_{start:06}_{end:06}"
            stem = name if name in found or name in better else row["youtube_id"]
            folder, path = (mended, better[stem]) if stem in better else (videos, found.get(stem))
            label = row["label"]
            if self.variant == "k710":
                label = RENAMED.get(label, label)
            yield Clip(str(folder), path or f"{name}.mp4", (self.label(label),))

    def _union(self, source: Path, split: str) -> list[Clip]:
        """Return the clips of the published lists, or the union of the sets (see README.md)."""
        lists = [source / f"kinetics710/k{p[-3:]}_{split}_list_videos.txt" for p in PARTS]
        if all(path.is_file() for path in lists):
            self.inputs += lists
            return [
                clip
                for part, path in zip(PARTS, lists, strict=True)
                for clip in self._listed(source, part, path, split)
            ]
        held_out = set()
        if split == "train":
            held_out = {row["youtube_id"] for p in PARTS for row in rows(source / p, "val")}
        clips, seen = [], set()
        for part in PARTS:
            if not (source / part).is_dir():
                raise UserError(f"{source}: there is no {part} in it")
            for clip in self._part(source / part, split):
                video = Path(clip.path).stem[:11]  # the length of a YouTube id
                if video not in seen and video not in held_out:
                    seen.add(video)
                    clips.append(_below(source, clip))
        return clips

    def _listed(self, source: Path, part: str, path: Path, split: str) -> Iterator[Clip]:
        videos = video_folder(source / part, split)
        for _, (name, label) in lists.rows(path):
            yield _below(source, Clip(str(videos), name, (int(label),)))


def video_folder(source: Path, split: str) -> Path:
    """Return the folder of the videos of a split."""
    return layout.first_existing(source, f"videos_{split}", f"videos/{split}", split, "videos")


def rows(source: Path, split: str) -> Iterator[Mapping[str, str]]:
    """Yield the rows of the official csv file."""
    names = {"train": ("train",), "val": ("val", "validate", "validation")}[split]
    files = [
        f"{f}{p}{n}.csv" for n in names for p in ("", "kinetics_") for f in ("annotations/", "")
    ]
    return layout.records(layout.first_existing(source, *files), *COLUMNS)


def _below(source: Path, clip: Clip) -> Clip:
    """Return the same clip, with its path relative to `source`."""
    return Clip(str(source), str(Path(clip.file).relative_to(source)), clip.labels)
