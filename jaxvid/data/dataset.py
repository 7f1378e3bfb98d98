"""The data of a run: the sources, the class names, and the checks before anything compiles."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import class_names, compare, errors, plug
from jaxvid.config.values import Count, Natural
from jaxvid.data import source_checks
from jaxvid.data import sources as formats
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.labels import MultiLabels
from jaxvid.data.identity import identity
from jaxvid.data.sample import Sample, Source, Transform
from jaxvid.data.source_checks import CHECKS, Check
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Attributes:
    splits: sources by "train" and "val".
    num_classes: number of classes.
    names: class names by label; numbers as text when the data has no names.
    root: folder of the data.
    """

    splits: dict[str, Source]
    num_classes: int
    names: tuple[str, ...]
    root: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """Facts about the training data that are stored in checkpoints, see `Source`."""
        source = self.splits["train"]
        facts = {"longest": source.longest, "channels": source.channels}
        return dict(source.about) | {key: value for key, value in facts.items() if value}

    @property
    def identity(self) -> dict[str, Any]:
        """Hashes of each split, by which a resumed run recognizes its data, see `data.identity`."""
        return {split: identity(source, self.root) for split, source in self.splits.items()}

    def summary(self) -> Iterator[str]:
        """Yield one line for each split: numbers of videos and classes, smallest and largest class.

        Example: "train: 1,600 videos, 8 classes of 200 each".
        """
        for split, source in self.splits.items():
            if split == "images":
                yield f"images: {len(source):,}, {_largest(source.labels):,} classes"
                continue
            each = source_checks.counts(source.labels, self.num_classes)
            low, high = int(each.argmin()), int(each.argmax())
            spread = f"{each[low]:,} ({self.names[low]}) to {each[high]:,} ({self.names[high]})"
            each = f"{each[low]:,} each" if each[low] == each[high] else spread
            yield f"{split}: {len(source):,} videos, {self.num_classes} classes of {each}"


def build(
    *,
    root: str,
    num_classes: Count | None = None,
    names: str = "",
    splits: tuple[str, ...] = ("train", "val"),
    checks: tuple[Check, ...] = CHECKS,
    known_names: tuple[str, ...] = (),
    task: Mapping | None = None,
    image_batch: Natural = 0,
    **specs: Mapping,
) -> Dataset:
    """Read the annotations and check them.

    Args:
      root: Folder of the data; "~" is expanded.
      num_classes: Number of classes. None derives it from the class names, or from the largest
        training label.
      names: File with one class name per line, relative to `root`, or a data set whose class names
        come with jaxvid, such as "ntu60". "" uses the class names of the annotations.
      splits: names of the splits to read.
      checks: Checks before anything compiles. "labels": labels are in range. "empty": every class
        has a training sample. "missing": all files exist. "duplicates": no file is twice in a
        split. "overlap": no file is in two splits.
      known_names: class names of a checkpoint, if it determines them.
      task: `config.task`. It determines whether samples need one label or several.
      image_batch: Images of one training step, over all devices, from the source
        `config.data.images`. They have classes of their own (see the task "omnisource").
      **specs: the spec of a source for each split.

    Raises:
      UserError: the data has problems; the message lists them, each with file and line.
    """
    root = os.path.expanduser(root)
    if root and not os.path.isdir(root):
        raise UserError(f"config.data.root={root}: no such folder")
    listed = tuple(known_names)
    if names and not listed:
        listed = read_class_names(root, names)
    kind = sample_labels(task)
    several = kind == "several"
    sources: dict[str, Source] = {}
    for split in splits:
        if not specs.get(split):
            raise UserError(
                f'config.data.{split} is missing: the spec of a source, with its "name"'
            )
        known: dict[str, Any] = dict(root=root, names=listed, num_classes=num_classes)
        sources[split] = formats.read(specs[split], split, several, **known)
        if not len(sources[split]):
            raise UserError(f"{sources[split].origin}: there are no videos for {split} in it")
        source_checks.check_kind(sources[split], kind)
        if sources[split].names and not listed and split != splits[0]:
            raise UserError(
                f"{sources[split].origin}: labels are names here, but numbers in"
                f" {sources[splits[0]].origin}; set config.data.names"
            )
        listed = listed or sources[split].names  # the first split, training, settles the names
        if several and num_classes is None:  # and the number of classes of 0/1
            num_classes = len(listed) or _largest(sources[split].labels)
        source_checks.check_about(sources[split], sources[splits[0]].about)
        first = sources[splits[0]]
        source_checks.check_width(sources[split], first.channels, f"those of {first.origin}")
    if num_classes is None:
        num_classes = len(listed) or _largest(sources[splits[0]].labels)
    if listed and len(listed) != num_classes:
        where = Path(root, names) if names else f"the {splits[0]} set"
        raise UserError(
            f"{where} has {len(listed)} class names, but config.data.num_classes={num_classes}"
        )
    if unknown := set(checks) - set(CHECKS):
        raise UserError(f"config.data.checks: {unknown.pop()} is none of {', '.join(CHECKS)}")
    given = sources, num_classes, listed
    problems = [p for name in checks for p in getattr(source_checks, f"check_{name}")(*given)]
    if problems:
        raise errors.problems("the data has problems:", problems)
    listed = listed or tuple(map(str, range(num_classes)))
    return Dataset(sources, num_classes, listed, root)


def images(data: Mapping, num_classes: int) -> Source:
    """Read the images that are trained on beside the videos, and check them.

    Args:
      data: `config.data`, with `images` and `image_batch`.
      num_classes: number of classes of the images.

    Raises:
      UserError: the annotations have problems, or `image_batch` is 0.
    """
    if not data.get("image_batch"):
        raise UserError("config.data.image_batch=0: set the number of images of a training step")
    root = os.path.expanduser(data["root"])
    known: dict[str, Any] = dict(root=root, names=(), num_classes=None)
    source = formats.read(data["images"], "train", **known)
    if not len(source):
        raise UserError(f"{source.origin}: there are no images in it")
    labels, wanted = source.labels, data.get("checks", CHECKS)
    problems = [
        f"{source.where(i)}: label {labels[i]} is outside 0..{num_classes - 1}"
        f" (config.model.image_classes={num_classes})"
        for i in np.flatnonzero((labels < 0) | (labels >= num_classes)).tolist()
    ]
    if "missing" in wanted:
        problems += source_checks.check_missing({"images": source}, num_classes, ())
    if problems:
        raise errors.problems("the images have problems:", problems)
    return source


def read_class_names(root: str, names: str) -> tuple[str, ...]:
    """Return class names by label, from a file below `root` or from a list that comes with jaxvid.

    Raises:
      UserError: neither exists.
    """
    path = Path(root, names)
    if path.is_file():
        return tuple(name for _, name in lists.lines(path))
    try:
        return class_names.of(names)
    except UserError as error:
        reason = f"{path}: no such file of class names (config.data.names)"
        raise UserError(f"{reason}, and {error}") from None


def for_training(data: Mapping, task: Mapping | None = None, **options: Any) -> Dataset:
    """Read both splits of `config.data`, with the kind of labels that `config.task` needs.

    Args:
      **options: arguments of `build` that replace those in `data`.
    """
    found = build(**{k: v for k, v in data.items() if k != "recipe"} | options, task=task)
    check_recipe(data.get("recipe"), found.splits)
    return found


def check_recipe(recipe: Mapping | None, sources: Mapping[str, Source]) -> None:
    """Apply the recipe to the first sample of each source that asks for it, see `Source.tried`.

    Raises:
      UserError: the recipe cannot use the arrays of the sample, or gives arrays of another shape
        than the model takes.
    """
    tried = [source for source in sources.values() if source.tried]
    if not recipe or not tried:
        return
    transforms = plug.load("data.recipes", recipe, split="val")
    expected = _transformed(plug.load("data.recipes", recipe, "example"), transforms)
    for source in tried:
        try:
            found = _transformed(source[0], transforms)
        except (VideoError, OSError):
            continue  # "missing" names files that do not exist; the loader skips unreadable ones
        except UserError as error:
            raise UserError(f"{source.where(0)}: {error}") from None
        for key, array in expected.items():
            if array.shape != found[key].shape:
                raise UserError(
                    f'{source.where(0)}: "{key}" becomes {found[key].shape}; the model takes'
                    f" {array.shape}"
                )


def _transformed(sample: Sample, transforms: Sequence[Transform]) -> dict[str, np.ndarray]:
    """Return the arrays that the model gets of a sample."""
    rng = np.random.default_rng(0)
    for transform in transforms:
        sample = transform(sample, rng)
    return {key: np.asarray(sample[key]) for key in ("keypoint", "heatmap") if key in sample}


def with_test(data: Mapping) -> Mapping:
    """Return `config.data` with a test set added, if one exists next to the validation set.

    Either the source of the validation set searches for it, or `file` contains "{split}" and the
    file of the test set exists.
    """
    spec = data.get("val") or {}
    if data.get("test") or "name" not in spec:
        return data
    root, file = os.path.expanduser(data["root"]), spec.get("file", "")
    if "{split}" in file:
        found = Path(root, lists.of_split(file, "test")).is_file()
    else:
        holds = getattr(plug.module("data.sources", spec["name"]), "holds", None)
        found = holds is not None and holds(root, "test")
    return {**data, "test": spec} if found else data


def for_evaluation(
    data: Mapping,
    names: tuple[str, ...],
    about: Mapping | None = None,
    task: Mapping | None = None,
) -> Source:
    """Read the split to evaluate on: "test" if there is one, otherwise "val".

    The training split is not read.

    Args:
      names: class names of the model.
      about: facts about the training data, from the checkpoint (see `Source.about`).

    Raises:
      UserError: the classes of the data differ from those of the model, or the data has problems.
    """
    data = with_test(data)
    split = "test" if data.get("test") else "val"
    given = {k: v for k, v in data.items() if k not in ("recipe", "num_classes", "names")}
    own = (
        read_class_names(os.path.expanduser(data["root"]), data["names"])
        if data.get("names")
        else ()
    )
    if found := compare.classes(names, own) if own else "":
        raise UserError(
            f"config.data.names={data['names']}: other classes than those of the checkpoint:"
            f" {found}. --config.data.names= reads the labels as class numbers of the checkpoint"
        )
    given |= dict(splits=(split,), checks=("labels", "missing"), known_names=names, task=task)
    source = build(num_classes=len(names), **given).splits[split]
    check_recipe(data.get("recipe"), {split: source})
    source_checks.check_about(source, about or {})
    source_checks.check_width(source, (about or {}).get("channels", 0), "those of training")
    found = _own_names(data, split, len(names), sample_labels(task) == "several")
    if not own and compare.named(names) and not compare.named(found):
        said = f'{found[0] if found else 0} counts as "{names[0]}", as in the checkpoint'
        logger.info(f"{source.origin}: labels are numbers; {said}")
    return source


def _own_names(data: Mapping, split: str, num_classes: int, multi_label: bool) -> tuple[str, ...]:
    """Return the class names of a split when the config does not specify any."""
    root = os.path.expanduser(data["root"])
    known: dict[str, Any] = dict(root=root, names=(), num_classes=num_classes)
    return formats.read(data[split], split, multi_label, **known).names


def sample_labels(task: Mapping | None) -> str:
    """Return the kind of labels that `config.task` needs, see `jaxvid.tasks.base.Task`."""
    name = (task or {}).get("name")
    return plug.module("tasks", name).build.sample_labels if name else "other"


def _largest(labels: Any) -> int:
    if isinstance(labels, MultiLabels):
        return labels.num_classes
    return labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
