"""Charades-STA: sentences with their times in videos of daily life (Gao et al., 2017)."""

import json
import re
from pathlib import Path

from data_prep import layout
from data_prep.captions import CaptionBuilder
from jaxvid.errors import UserError

LINE = re.compile(r"(\S+)\s+([\d.]+)\s+([\d.]+)\s*##(.+)")
DURATIONS = "Charades_duration.json"


class Charades(CaptionBuilder):
    """Each caption has its start and end in seconds.

    Attributes:
      lengths: length of each video in seconds, where Charades' own csv files are there.
    """

    title = "Charades-STA: sentences with their times in videos of daily life"
    homepage = "https://github.com/jiyanggao/TALL"
    licence = "of Charades: for non-commercial use"
    citation = """@inproceedings{gao2017tall,
  title={TALL: Temporal Activity Localization via Language Query},
  author={Gao, Jiyang and Sun, Chen and Yang, Zhenheng and Nevatia, Ram},
  booktitle={ICCV}, year={2017}
}"""
    expected = {"train": 5_336, "val": 1_334}  # noqa: RUF012
    folders = ("Charades_v1_480", "Charades_v1", "videos")
    companions = (
        "C3D_unit16_overlap0.5_merged",
        "Charades_fps_dict.json",
        "Charades_frames_info.json",
        "Charades_word2id.json",
        DURATIONS,
    )

    def captions(self, source):
        self.lengths = {
            row["id"]: float(row["length"])
            for table in (source / f"Charades_v1_{split}.csv" for split in ("train", "test"))
            if table.is_file()
            for row in layout.records(table, "id", "length")
        }
        return {"train": self._read(source, "train"), "val": self._read(source, "test")}

    def _read(self, source: Path, split: str) -> dict[str, list[dict]]:
        path = layout.first_existing(
            source, f"Charades_sta_{split}.txt", f"charades_sta_{split}.txt"
        )
        self.inputs.append(path)
        found: dict[str, list[dict]] = {}
        for number, line in enumerate(layout.lines(path), 1):
            match = LINE.fullmatch(line.strip())
            if not match:
                raise UserError(
                    f'{path}:{number}: expected "VIDEO START END##SENTENCE", found "{line}"'
                )
            video, start, end, sentence = match.groups()
            caption = {"sentence": sentence, "segment": [float(start), float(end)]}
            found.setdefault(video, []).append(caption)
        return found

    def list_files(self, split, kind, clips):
        del kind
        lists = {f"Charades_sta_{'train' if split == 'train' else 'test'}.txt": clips}
        return lists | ({DURATIONS: clips} if self.lengths else {})

    def prefix(self, name):
        del name
        return ""

    def list_text(self, name, clips, counts):
        del counts
        if name == DURATIONS:
            return json.dumps(self.lengths) + "\n"
        return "".join(
            f"{Path(clip.path).stem} {start} {end}##{caption['sentence']}\n"
            for clip in clips
            for caption in json.loads(clip.annotation)["captions"]
            for start, end in [caption["segment"]]
        )
