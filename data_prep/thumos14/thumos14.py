"""THUMOS14: untrimmed videos with segments of 20 sports (Jiang et al., 2014)."""

from collections.abc import Mapping
from pathlib import Path

from data_prep import layout
from data_prep.untrimmed import UntrimmedBuilder, Video, by_split, database
from jaxvid import class_names
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.errors import UserError

# Split: subset, and folders of the official text files.
OFFICIAL = {
    "train": ("val", "TH14_Temporal_annotations_validation/annotation", "annotations_val"),
    "val": ("test", "TH14_Temporal_Annotations_Test/annotations/annotation", "annotations_test"),
}


class Thumos14(UntrimmedBuilder):
    """Training uses the validation set, and evaluation the test set, as in all publications."""

    title = "THUMOS Challenge 2014: untrimmed videos with segments of 20 sports"
    homepage = "https://www.crcv.ucf.edu/THUMOS14/"
    licence = "for research; the videos are from YouTube"
    citation = """@misc{jiang2014thumos,
  title={THUMOS Challenge: Action Recognition with a Large Number of Classes},
  author={Jiang, Y.-G. and Liu, J. and Roshan Zamir, A. and Toderici, G. and Laptev, I. and
    Shah, M. and Sukthankar, R.},
  howpublished={http://crcv.ucf.edu/THUMOS14/}, year={2014}
}"""
    names = class_names.of("thumos14")
    expected = {"train": 200, "val": 213}  # noqa: RUF012
    folders = {  # noqa: RUF012
        "features": ("i3d_features", "features"),
        "videos": ("videos", "."),
    }
    companions = ("i3d_features", "features")
    stem = "thumos14"

    def videos(self, source, files):
        published = [source / name for name in ("annotations/thumos14.json", "thumos14.json")]
        for path in filter(Path.is_file, published):
            splits = by_split(database(path), {"train": "validation", "val": "test"})
            for video in (video for videos in splits.values() for video in videos.values()):
                kept = [a for a in video["annotations"] if a["label"] != "Ambiguous"]
                video["annotations"] = kept
            return splits
        if self.variant == "features":
            raise UserError(
                f"{source}: there is no annotations/thumos14.json in it; see the README"
            )
        return {split: self._official(source, files, *where) for split, where in OFFICIAL.items()}

    def _official(
        self, source: Path, files: Mapping[str, Path], subset: str, *folders: str
    ) -> dict[str, Video]:
        """Return the videos of the official text files, with the durations of the video files."""
        folder, segments = layout.first_existing(source, *folders), {}
        for label in self.names:
            path = folder / f"{label}_{subset}.txt"
            for number, line in enumerate(layout.lines(path), 1):
                try:
                    video, start, end = line.split()
                    segment = [float(start), float(end)]
                except ValueError:
                    raise UserError(
                        f'{path}:{number}: expected "video start end", found "{line}"'
                    ) from None
                segments.setdefault(video, []).append({"segment": segment, "label": label})
        return {
            name: {"duration_second": duration(files[name]) if name in files else 0.0}
            | {"annotations": segments[name]}
            for name in sorted(segments)
        }


def duration(path: Path) -> float:
    """Return the length of a video in seconds. Raises UserError if the file cannot be read."""
    try:
        with VideoReader(path) as reader:
            return round(reader.duration, 3)
    except VideoError as error:
        raise UserError(str(error)) from None
