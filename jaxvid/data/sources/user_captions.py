"""A user's own videos with captions: train and val as .json, .csv or .txt files next to `videos/`.

`data/sources/video_text.py` describes the formats of the files.
"""

from jaxvid.data.annotations import lists
from jaxvid.data.sources import video_text

ENDINGS = (".json", ".csv", ".txt")


def build(
    split: str,
    *,
    root: str,
    prefix: str = "videos",
    suffix: str = ".mp4",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> video_text.Captioned:
    """Read the captions of one split.

    In training, each caption is a row. Otherwise, each video is a row with all its captions.

    Args:
      prefix: Folder of the videos.
      suffix: File extension that is added to names without the extension of a video.
      names, num_classes: not used.

    Raises:
      UserError: the file is missing in `root`, or cannot be read.
    """
    file = lists.expect_split(root, split, ENDINGS, "videos and captions")
    return video_text.build(split, root=root, file=file, prefix=prefix, suffix=suffix)


def holds(root: str, split: str) -> bool:
    """Return whether `root` has a file of this split."""
    return bool(lists.find_split(root, split, ENDINGS))
