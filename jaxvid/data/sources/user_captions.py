"""A user's own videos with captions: train and val as .json, .csv or .txt beside `videos/`.

What the files hold is described in video_text.
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
    """Read the captions of one split: a row for each in training, else one for each video.

    Args:
      prefix: Folder of the videos.
      suffix: File extension that is added to names without the extension of a video.
      names, num_classes: of no use here.

    Raises:
      UserError: `root` lacks the file, or it cannot be read.
    """
    file = lists.expect_split(root, split, ENDINGS, "videos and captions")
    return video_text.build(split, root=root, file=file, prefix=prefix, suffix=suffix)


def holds(root: str, split: str) -> bool:
    """Whether there is a file of this split."""
    return bool(lists.find_split(root, split, ENDINGS))
