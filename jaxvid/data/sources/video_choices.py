"""Videos with several captions of which one is right, as MSR-VTT-MC is prepared for VindLU.

`file` is a json, [{"video": "video7.mp4", "caption": ["a man sings", ...], "answer": 0}, ...].
"answer" is the number of the right caption, from 0. All videos have the same number of captions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import entry, is_whole
from jaxvid.data.sample import Sample, Source
from jaxvid.data.video.video_files import with_ending
from jaxvid.errors import UserError


@dataclass(frozen=True, repr=False)
class Choices(Source):
    """Videos with captions to choose from, one video per row.

    Attributes:
      paths: path of the video of each row.
      captions: captions of each row.
      origin: the file.
      labels: number of the right caption of each row.
      names: names of the captions by their number.
    """

    paths: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    origin: str
    labels: np.ndarray
    names: tuple[str, ...]

    def __getitem__(self, index: int) -> Sample:
        captions, label = self.captions[index], self.labels[index]
        return {"path": self.paths[index], "captions": captions, "label": label}

    def id(self, index: int) -> str:
        return f"{self.paths[index]}#{index}"

    def where(self, index: int) -> str:
        return f"{self.origin}: [{index}]"


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    suffix: str = ".mp4",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Choices:
    """Read videos and the captions to choose from.

    Args:
      split: name of the split.
      root: folder that contains `file` and `prefix`.
      file: The json file. "{split}" in its name stands for the name of the split.
      prefix: Folder of the videos.
      suffix: File extension that is added to names without the extension of a video.
      names, num_classes: not used.

    Raises:
      UserError: the file does not exist or is invalid; the message has file and place.
    """
    del names, num_classes
    path = lists.file_of(root, file, split, "captions to choose from")
    content = lists.parse_json(lists.read_text(path), path)
    if not isinstance(content, list) or not content:
        raise UserError(
            f'{path}: expected [{{"video": "a.mp4", "caption": ["...", ...], "answer": 0}}, ...]'
        )
    paths, captions, labels = [], [], []
    for number, values in enumerate(content):
        row = entry(values, f"{path}: [{number}]")
        texts = tuple(row.items("caption", '["CAPTION", ...]'))
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise row.wrong("caption", "captions that are text")
        if len(texts) < 2 or len(texts) != len(captions[0] if captions else texts):
            raise UserError(
                f"{row.where}: {len(texts)} captions; all videos have the same number, 2 or more"
            )
        answer = row.get("answer")
        if not is_whole(answer) or not 0 <= int(answer) < len(texts):
            raise row.wrong("answer", f"the number of a caption, 0 to {len(texts) - 1}")
        paths.append(with_ending(str(Path(root, prefix) / row.name("video")), suffix))
        captions.append(texts)
        labels.append(int(answer))
    names = tuple(f"caption {i + 1}" for i in range(len(captions[0])))
    return Choices(tuple(paths), tuple(captions), str(path), np.array(labels, np.int32), names)
