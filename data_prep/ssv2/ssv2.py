"""Something-Something v2: webm videos of people doing things with objects (Goyal et al., 2017)."""

from pathlib import Path

from data_prep import layout, twentybn
from data_prep.clips import Clip
from data_prep.video_builder import VideoBuilder
from jaxvid import class_names


class Ssv2(VideoBuilder):
    """The class of a video is its template, without the square brackets."""

    title = "Something-Something v2: people do things with everyday objects"
    homepage = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset"
    licence = twentybn.LICENCE
    citation = twentybn.SOMETHING_SOMETHING
    names = class_names.of("ssv2")
    expected = {"train": 168_913, "val": 24_777}  # noqa: RUF012

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        videos = layout.first_existing(source, "20bn-something-something-v2", "videos")
        found = layout.stems(videos)

        def read(name):
            old = f"something-something-v2-{name}.json"
            file = layout.first_existing(source, f"labels/{name}.json", f"annotations/{old}", old)
            for item in layout.json_file(file):
                label = self.label(item["template"].replace("[", "").replace("]", ""))
                path = found.get(item["id"], f"{item['id']}.webm")
                yield Clip(str(videos), path, (label,))

        return {"train": list(read("train")), "val": list(read("validation"))}

    label_file = "label_map.txt"

    def prefix(self, name):
        return "videos" if name.endswith("_videos.txt") else "rawframes"

    def list_files(self, split, kind, clips):
        return {f"sthv2_{split}_list_{kind}.txt": clips}
