"""The base class of all data sets: it writes clips to ArrayRecord files with TFDS.

A data set is a subclass with a description and a method `clips`, which reads the annotations. The
command line of TFDS can run it as well (see README.md), and Apache Beam can distribute the work.
TFDS's GeneratorBasedBuilder is not used, because it shuffles a data set in memory or in temporary
files, and needs TensorFlow beyond 1 GB. Here the order is known before any clip is read.
"""

import abc
import functools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from data_prep import shards
from data_prep.clips import Clip, Content, Videos
from jaxvid import files, provenance
from jaxvid.data.sources.tfds import unique
from jaxvid.errors import UserError, did_you_mean

SOURCE = "source.json"  # file in a built data set that describes what it was built from


class VideoBuilder(FileReaderBuilder):
    """Stores each clip with its name (`id`), label and content.

    Attributes:
      VERSION: version of the stored data.
      BUILDER_CONFIGS: the variants of the data set, if it has several.
      MANUAL_DOWNLOAD_INSTRUCTIONS: message of TFDS if the source folder is missing.
      title, homepage, licence, citation: description of the data set.
      names: class names in the order of the labels.
      expected: number of clips of each split if no file is missing, as far as it is known.
      content: what is stored for a clip.
      multi_label: whether a clip can have any number of labels.
      label_file: file of class names that the configs of this data set read; "" if there is none.
      companions: files and folders of the source that configs read as they are, if they exist.
      inputs: lists that `clips` has read and that `data_prep.lists` must not replace.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "See the README.md beside the builder."
    url_infos = None  # nothing is downloaded
    title: str
    homepage: str
    licence: str
    citation: str
    names: tuple[str, ...]
    expected: Mapping[str, int] = {}
    content: Content = Videos()
    multi_label = False
    label_file = ""
    companions: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs):
        # TFDS has data sets of the same names; these are found by their files, not by registration.
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(self, *, file_format: str = "array_record", **kwargs):
        if file_format != "array_record":
            raise UserError(f'file_format="{file_format}": only array_record can be read back')
        super().__init__(file_format=file_format, **kwargs)
        self.inputs: list[Path] = []

    @property
    def variant(self) -> str:
        """Return the name of the variant; "" if the data set has only one."""
        return self.builder_config.name if self.builder_config else ""

    @abc.abstractmethod
    def clips(self, source: Path) -> Mapping[str, Iterable[Clip]]:
        """Return the clips of each split, including those whose files are missing.

        Args:
          source: folder into which the original archives were unpacked.

        Raises:
          UserError: annotations are missing or cannot be read.
        """

    def list_files(self, split: str, kind: str, clips: list[Clip]) -> dict[str, list[Clip]]:
        """Return the clips of each list of a split, by the name that MMAction2 gives the list.

        Args:
          kind: "videos" or "rawframes".
        """
        raise UserError(
            f"{self.name}: there are no lists to write; its pickles are read as they are"
        )

    def prefix(self, name: str) -> str:
        """Return the folder, relative to the lists, in which configs expect the files of a list.

        Args:
          name: name of the list.

        Returns:
          "" if no config reads the list.
        """
        del name
        return ""

    def frames_of(self, clip: Clip, folder: str) -> Clip:
        """Return the folder of the frames of a video as a clip, in the folder of all frames."""
        return replace(clip, folder=folder, path=os.path.splitext(clip.path)[0])

    def list_text(self, name: str, clips: list[Clip], counts: list[int]) -> str:
        """Return the text of a list.

        Paths are quoted if they contain spaces or quotes, or begin like a comment.

        Args:
          name: name of the list.
          counts: number of frames of each clip in lists of folders of frames; else empty.
        """
        del name
        about = [[count] for count in counts] or [[]] * len(clips)
        rows = [(_word(c.path), *a, *c.labels) for c, a in zip(clips, about, strict=True)]
        return "".join(" ".join(map(str, row)) + "\n" for row in rows)

    def label(self, name: str) -> int:
        """Return the number of a class, or raise a UserError that suggests the nearest name."""
        if name not in self._numbers:
            raise UserError(
                f'{self.name}: no such class: "{name}".{did_you_mean(name, self.names)}'
            )
        return self._numbers[name]

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def found(self, listed: Mapping[str, Iterable[Clip]]) -> dict[str, shards.Split]:
        """Return the clips of each split whose files exist, and print how many are missing.

        Raises:
          UserError: a split has no clips, or a label is out of range.
        """
        splits = {}
        for name, clips in listed.items():
            split = splits[name] = shards.existing(clips, self.content)
            for clip in split.clips:
                if not all(0 <= label < len(self.names) for label in clip.labels):
                    labels, last = ", ".join(map(str, clip.labels)), len(self.names) - 1
                    raise UserError(f"{clip.file}: label {labels} is outside 0..{last}")
            of = f" of {self.expected[name]:,}" if name in self.expected else ""
            print(f"{name}: {len(split.clips):,} clips{of}, {sum(split.sizes) / 1e9:.2f} GB")
            if split.twice:
                print(f"  {len(split.twice):,} listed twice, such as {split.twice[0]}")
            if split.missing:
                print(f"  {len(split.missing):,} missing, such as {split.missing[0]}")
            if not split.clips:
                raise UserError(f"no clip of {name} is there; see the README for --source")
        return splits

    def _info(self) -> tfds.core.DatasetInfo:
        label = tfds.features.ClassLabel(names=unique(self.names))
        features = {
            "id": tfds.features.Text(),
            "label": tfds.features.Sequence(label) if self.multi_label else label,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.title,
            features=tfds.features.FeaturesDict(features | self.content.features()),
            homepage=self.homepage,
            citation=self.citation,
            license=self.licence,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        """Build the data set in `data_path`, a new folder that TFDS renames afterwards."""
        home = self.data_path.parent
        lock = Path(home, f".{self.version}.lock")
        with files.locked(lock, Path(home, str(self.version)), fix="wait for that build"):
            self._build(dl_manager, download_config)

    def check_source(self, source: Path) -> None:
        """Compare the files from which the data set was built with those in `source` now.

        Raises:
          UserError: clips, labels or sizes of a split differ.
        """
        built = provenance.read_settings(Path(self.data_path, SOURCE))
        if built is None:  # by an older release
            return
        now = shards.contents(self.found(self.clips(source)))
        for name in built.keys() | now.keys():
            one, two = (found.get(name, {"clips": 0}) for found in (built, now))
            if one != two:
                raise UserError(
                    f"{self.data_path}: was built from other files than are in {source}: {name} had"
                    f" {one['clips']:,} clips ({one.get('sha256')}), now {two['clips']:,}"
                    f" ({two.get('sha256')}); delete it to build it again"
                )

    def _build(self, dl_manager: Any, download_config: Any) -> None:
        splits = self.found(self.clips(Path(dl_manager.manual_dir)))
        name = f"incomplete.{shards.digest(splits)}.shards_{self.version}"
        folder = Path(self.data_path.parent, name)
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*.part"):
            part.unlink()
        templates = {name: self._get_filename_template(name) for name in splits}
        plan = {name: self._plan(splits[name], templates[name], folder) for name in splits}
        task = functools.partial(
            shards.write,
            content=self.content,
            features=self.info.features,
            multi_label=self.multi_label,
        )
        todo = [shard for part in plan.values() for shard in part]
        if download_config and (download_config.beam_runner or download_config.beam_options):
            _on_beam(todo, task, download_config)
        else:
            _here(todo, task)
        infos = []
        for name, part in plan.items():
            moved = [self.data_path / os.path.basename(shard.path) for shard in part]
            for shard, path in zip(part, moved, strict=True):
                os.replace(shard.path, path)
            self._write_index(name, splits[name])
            infos.append(
                tfds.core.SplitInfo(
                    name=name,
                    shard_lengths=[len(shard.clips) for shard in part],
                    num_bytes=sum(os.path.getsize(path) for path in moved),
                    filename_template=templates[name],
                )
            )
        files.write_text(Path(self.data_path, SOURCE), json.dumps(shards.contents(splits)) + "\n")
        self.info.set_splits(tfds.core.SplitDict(infos))
        shutil.rmtree(folder)

    def _plan(self, split: shards.Split, template: Any, folder: Path) -> list[shards.Shard]:
        cuts = split.cuts(shards.BYTES)
        return [
            shards.Shard(
                str(folder / template.sharded_filepath(shard_index=i, num_shards=len(cuts)).name),
                split.clips[start:end],
                sum(split.sizes[start:end]),
            )
            for i, (start, end) in enumerate(cuts)
        ]

    def _write_index(self, name: str, split: shards.Split) -> None:
        """Write names and labels, which training reads without reading the videos."""
        counts = [len(clip.labels) for clip in split.clips]
        index = {
            "id": np.array([clip.path.encode() for clip in split.clips]),
            "label": np.array([n for clip in split.clips for n in clip.labels], np.int32),
            **({"end": np.cumsum(counts)} if self.multi_label else {}),
        }
        for key, array in index.items():
            np.save(self.data_path / f"index-{name}.{key}.npy", array)
        if split.missing:
            text = "".join(f"{path}\n" for path in split.missing)
            (self.data_path / f"missing-{name}.txt").write_text(text, encoding="utf-8")

    def _post_download_and_prepare_hook(self) -> None:
        """Remove the folders that stopped builds have left behind."""
        for folder in self.data_path.parent.glob(f"incomplete.*_{self.version}"):
            folder.rmtree()


def _word(path: str) -> str:
    """Return a path as one cell of a list, with quotes if it needs them."""
    plain = not re.search(r'[\s"]', path) and not path.startswith("#")
    return path if plain else '"' + path.replace('"', '""') + '"'


def _here(todo: list[shards.Shard], task: Callable[[shards.Shard], None]) -> None:
    total, done, written, began = sum(shard.size for shard in todo), 0, 0, time.monotonic()
    for number, shard in enumerate(todo, 1):
        kept = os.path.exists(shard.path)
        task(shard)
        done += shard.size
        written += 0 if kept else shard.size
        rate = written / (time.monotonic() - began)
        pace = "from before" if kept else f"{rate / 1e6:.0f} MB/s, {_left(total - done, rate)} left"
        print(f"shard {number} of {len(todo)}: {done / 1e9:.2f} of {total / 1e9:.2f} GB, {pace}")


def _left(size: int, rate: float) -> str:
    minutes, seconds = divmod(round(size / max(rate, 1)), 60)
    return f"{minutes}:{seconds:02}"


def _on_beam(todo: list[shards.Shard], task: Callable[[shards.Shard], None], config: Any) -> None:
    import apache_beam as beam  # type: ignore

    with beam.Pipeline(runner=config.beam_runner, options=config.beam_options) as pipeline:
        _ = pipeline | beam.Create(todo) | beam.Reshuffle() | beam.Map(task)
