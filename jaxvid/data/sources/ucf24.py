"""UCF101-24: tubes of people in 24 classes of UCF101, as Singh et al. (2017) corrected them.

The pickle `UCF101v2-GT.pkl` of ACT and MOC has the form of that of MultiSports (see
`sources/multisports.py`), and in addition "nframes", {video: number of frames}. The published
evaluation counts boxes in all frames of the test videos, so that all of them are key frames there.
A csv VIDEO,FRAME,x1,y1,x2,y2,CLASS,PERSON with the number of the frame, shares of its size and the
number of the tube is read as well. There only frames with boxes are key frames.
"""

from jaxvid.config.values import Natural, Probability
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.key_frames import KeyFrames
from jaxvid.data.sources import ava, multisports
from jaxvid.errors import UserError


def build(
    split: str,
    *,
    root: str,
    file: str = "UCF101v2-GT.pkl",
    part: Natural = 1,
    proposals: str = "",
    prefix: str = "",
    suffix: str = ".avi",
    template: str = "",
    first_class: Natural = 0,
    least: Probability = 0.9,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> KeyFrames:
    """Read the tubes of a split, and the proposals for its key frames.

    Args:
      file: Annotations, a pickle or a csv, relative to `root`. "{split}" in its name stands for the
        name of the split.
      part: Number of the official split in a pickle, from 1. JHMDB has three.
      proposals: File of boxes to classify (see `data/annotations/boxes.py`), relative to `root`, in
        which videos are called VIDEO + suffix; "true" uses the annotated boxes.
      prefix: Folder of the videos, relative to `root`.
      suffix: File extension of the videos, which a pickle does not have. "" searches for the files.
      template: Pattern of the file names of frames, such as "{:05}.jpg", if each video is a folder
        of frames. Names of videos then have no `suffix`.
      first_class: Number of the first class in a csv with numbers.
      least: Minimum score of a proposal. If no proposal of a key frame reaches it, the one with the
        highest score is used.
      names: class names by label. By default, those in the file.

    Raises:
      UserError: the file does not exist or is invalid; the message has the key or the line.
    """
    path = lists.file_of(root, file, split)
    if path.suffix == ".csv":
        return ava.build(
            split,
            root=root,
            file=file,
            proposals=proposals,
            prefix=prefix,
            template=template,
            start=1.0,
            fps=1.0,
            first_class=first_class,
            least=least,
            tubes=True,
            names=names,
            num_classes=num_classes,
        )
    if part < 1:
        raise UserError(f"config.data.{split}.part={part}: official splits count from 1")
    return multisports.read(
        path,
        split,
        root,
        proposals,
        prefix,
        "" if template else suffix,
        least,
        names,
        part=part - 1,
        template=template,
        whole=split != "train",
    )
