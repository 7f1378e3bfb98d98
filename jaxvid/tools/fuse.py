"""Add the scores of several models (late fusion), and compute the metrics of the sum.

    python -m jaxvid.tools.fuse rgb.npz flow.npz --weights 1 1.5 --out fused.npz
    python -m jaxvid.tools.fuse runs/joint runs/bone --weights 2 1
    python -m jaxvid.tools.fuse stgcnpp_2d_joint_ntu60 stgcnpp_2d_bone_ntu60 --weights 2 1
    python -m jaxvid.tools.fuse RUN/eval/predictions.npz

A model is a dump, a run, or a published checkpoint. A run has its dump in eval/predictions.npz. If
it is not there, the command evaluates the run first. A published checkpoint is evaluated with its
own config, in the folder runs/NAME.

The command prints the metrics of each dump and of the fusion. With a single dump, it computes the
metrics again, without the model or the videos. If every dump has ids, samples are matched by id. If
the ids differ, as those of videos and of their optical flow do, samples are matched by the paths
below the common folder of each dump, without the endings of files. Without ids, samples are matched
by order. Their labels must be equal in any case.

A dump is an npz file with these arrays:

  score        (n, c)
  label        (n,) classes, or (n, c) with 0 or 1 for each class
  id           (n,) str, names of the samples; optional
  views        number of views that a score averages; optional
  names        (c,) str, class names; optional. With them, the hardest classes are listed
  label_mask   (n, c), 0 for classes that were not annotated; optional, for multi-label sets
  category     (c,) str, category of each class; optional, for multi-label sets
"""

import argparse
import logging
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxvid import cli, compare, files
from jaxvid.data.annotations import feature_files, lists
from jaxvid.data.video.video_files import SOUNDS, VIDEOS, numpy_reason
from jaxvid.errors import UserError, did_you_mean
from jaxvid.metrics.classification import (
    Accuracy,
    MultiLabelMAP,
    per_class_report,
    weighted_score,
)
from jaxvid.weights import zoo

logger = logging.getLogger("jaxvid.tools.fuse")

ENDINGS = (*VIDEOS, *SOUNDS, *feature_files.ENDINGS)  # of files that are forms of one sample
KEYS = ("score", "label", "id", "views", "label_mask", "category", "names")


@dataclass(frozen=True)
class Dump:
    """A dumped evaluation.

    Attributes:
      path: path of the file.
      score: float32 (n, c).
      label: (n,) classes, or (n, c) of 0 and 1.
      id: str (n,), names of the samples.
      views: number of views that a score averages.
      label_mask: bool (n, c), whether a class was annotated.
      category: str (c,), category of each class.
      names: str (c,), class names.
    """

    path: str
    score: np.ndarray
    label: np.ndarray
    id: np.ndarray | None = None
    views: int = 1
    label_mask: np.ndarray | None = None
    category: np.ndarray | None = None
    names: np.ndarray | None = None

    @property
    def class_names(self) -> list[str]:
        """Class names for a report; empty if unknown, or if samples have several labels."""
        return self.names.tolist() if self.names is not None and self.label.ndim == 1 else []

    def name(self, row: int) -> str:
        """Return the name of a sample for messages."""
        return f"sample {row}" if self.id is None else f'"{self.id[row]}"'


def dump_of(model: str, root: str = "") -> str:
    """Return the path of the dump of a model, which is evaluated if it has none.

    Args:
      model: a dump, a run, or a published checkpoint.
      root: folder of the data, if it is not that of the config.

    Raises:
      UserError: there is no such model, or its evaluation fails.
    """
    run, options = Path(model), []
    if run.is_file() or run.suffix == ".npz":
        return model
    if not run.is_dir():
        row = zoo.get(model)
        if not row.config:
            raise UserError(f"{model}: no config of jaxvid evaluates it; evaluate it on your data")
        run = Path("runs", row.name)
        options = ["--config", row.config, "--checkpoint", row.name]
    dump = run / "eval" / "predictions.npz"
    if dump.is_file():
        logger.info(f"{model}: fused as evaluated before, {dump}")
        return str(dump)
    options += [f"--config.data.root={root}"] if root else []
    command = [sys.executable, "-m", "jaxvid.main", "--mode", "eval", "--workdir", str(run)]
    if subprocess.run([*command, *options], check=False).returncode:
        raise UserError(f"{model}: its evaluation failed, see above")
    return str(dump)


def read(path: str) -> Dump:
    """Read a dump. Raises UserError if the file is not a dump."""
    try:
        with np.load(path) as file:
            if "score" not in file or "label" not in file:
                missing = "score" if "score" not in file else "label"
                raise UserError(f'{path}: no key "{missing}".{did_you_mean(missing, file.files)}')
            arrays = {key: file[key] for key in KEYS if key in file}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not an npz of plain arrays ({numpy_reason(error)})") from None
    score, label, names = arrays["score"], arrays["label"], arrays.get("id")
    if score.ndim != 2 or not score.size or not np.isfinite(score).all():
        raise UserError(f'{path}: "score" must be finite, (samples, classes), not {score.shape}')
    if label.shape not in (score.shape, score.shape[:1]):
        raise UserError(f'{path}: "label" {label.shape} does not fit "score" {score.shape}')
    if label.ndim == 1:
        label = label.astype(np.int64)
        if label.min() < 0 or label.max() >= score.shape[1]:
            raise UserError(f'{path}: "label" goes beyond the {score.shape[1]} classes of "score"')
    if names is not None:
        names = names.astype(str)
        unique, counts = np.unique(names, return_counts=True)
        if names.shape != score.shape[:1]:
            raise UserError(f'{path}: "id" {names.shape} does not fit "score" {score.shape}')
        if len(unique) < len(names):
            raise UserError(f'{path}: id "{unique[counts.argmax()]}" occurs more than once')
    known, category = arrays.get("label_mask"), arrays.get("category")
    for key, array, shape in (
        ("label_mask", known, label.shape if label.ndim == 2 else None),
        ("category", category, score.shape[1:]),
        ("names", arrays.get("names"), score.shape[1:]),
    ):
        if array is not None and array.shape != shape:
            raise UserError(f'{path}: "{key}" {array.shape} does not fit "label" {label.shape}')
    known = None if known is None else known > 0
    views = int(np.max(arrays.get("views", 1)))
    classes = arrays.get("names")
    return Dump(path, score.astype(np.float32), label, names, views, known, category, classes)


def match(dumps: Sequence[Dump]) -> list[Dump]:
    """Return the dumps with samples in the order of the first. Raises UserError if they differ."""
    first, *others = dumps
    by_id = all(d.id is not None for d in dumps)
    dumps = [first, *(_match(first, other, by_id) for other in others)]
    called = [(dump.path, dump.names) for dump in dumps if dump.names is not None]
    for path, names in called[1:]:
        if found := compare.classes(called[0][1].tolist(), names.tolist()):
            raise UserError(f"{called[0][0]} (there) and {path} (here) differ: {found}")
    dumps = [replace(dump, names=called[0][1] if called else None) for dump in dumps]
    # All dumps get the label mask and categories of any dump, so that their metrics are comparable.
    told = {}
    for key in ("label_mask", "category"):
        found = [d for d in dumps if getattr(d, key) is not None]
        for dump in found[1:]:
            if not np.array_equal(getattr(dump, key), getattr(found[0], key)):
                raise UserError(f'{found[0].path} and {dump.path} have another "{key}"')
        told[key] = getattr(found[0], key) if found else None
    return [replace(dump, **told) for dump in dumps]


def _match(first: Dump, other: Dump, by_id: bool) -> Dump:
    if first.score.shape[1] != other.score.shape[1] or first.label.ndim != other.label.ndim:
        raise UserError(
            f"{first.path} has {_classes(first)}, {other.path} {_classes(other)}: "
            "fuse evaluations of one data set"
        )
    if by_id:
        one, two = _common_ids(first, other)
        order = np.argsort(two)[np.argsort(np.argsort(one))]
        ordered = ("score", "label", "id", "label_mask")
        found = {key: getattr(other, key) for key in ordered}
        other = replace(other, **{k: v[order] for k, v in found.items() if v is not None})
    elif len(first.score) != len(other.score):
        raise UserError(
            f"{first.path} has {len(first.score)} samples, {other.path} {len(other.score)}: "
            'without an "id" in both they cannot be matched'
        )
    differ = np.flatnonzero((first.label != other.label).reshape(len(first.label), -1).any(1))
    if len(differ):
        raise UserError(
            f"{first.path} and {other.path} label {first.name(differ[0])} differently "
            f"({len(differ)} of {len(first.label)} samples)"
        )
    return other


def _common_ids(first: Dump, other: Dump) -> tuple[np.ndarray, np.ndarray]:
    """Return names of the samples of two dumps that are the same in both, in their orders."""
    assert first.id is not None and other.id is not None
    short = _short(first.id), _short(other.id)
    unique = all(len(set(names)) == len(names) for names in short)
    if set(first.id) != set(other.id) and unique and set(short[0]) == set(short[1]):
        same = f'"{first.id[0]}" is "{other.id[list(short[1]).index(short[0][0])]}"'
        logger.info(f"samples of {first.path} and {other.path} are matched by name: {same}")
        return short
    for one, two in ((first, other), (other, first)):
        missing = np.setdiff1d(one.id, two.id)  # type: ignore[arg-type]
        if len(missing):
            raise UserError(f'{two.path}: no id "{missing[0]}", which {one.path} has')
    return first.id, other.id


def _short(ids: np.ndarray) -> np.ndarray:
    """Return ids below their common folder, without the endings of videos and arrays."""
    folders = {os.path.dirname(name) for name in ids.tolist()}
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # of absolute and relative paths
        common = ""
    below = [name[len(common) :].lstrip("/") for name in ids.tolist()]
    return np.array(
        [os.path.splitext(name)[0] if name.lower().endswith(ENDINGS) else name for name in below]
    )


def _classes(dump: Dump) -> str:
    return f"{dump.score.shape[1]} {'multi-label ' if dump.label.ndim == 2 else ''}classes"


def fuse(dumps: Sequence[Dump], weights: Sequence[float]) -> Dump:
    """Return the weighted sum of matched dumps, as in MMAction2. Numbers of views are added."""
    score = weighted_score([d.score for d in dumps], weights).astype(np.float32)
    names = next((d.id for d in dumps if d.id is not None), None)
    views = sum(d.views for d in dumps)
    return replace(dumps[0], path="fused", score=score, id=names, views=views)


def evaluate(dump: Dump) -> dict[str, float]:
    """Return top-1, top-5 and mean class accuracy, or the mAPs of multi-label samples."""
    preds = {"score": dump.score, "label": dump.label, "mask": np.ones(len(dump.label))}
    if dump.label_mask is not None:
        preds["label_mask"] = dump.label_mask
    classes = dump.score.shape[1]
    categories = [] if dump.category is None else Counter(dump.category.tolist()).items()
    metric = Accuracy(classes) if dump.label.ndim == 1 else MultiLabelMAP(classes, [*categories])
    metric.update(preds)
    return metric.compute()


def table(dumps: Sequence[Dump], weights: Sequence[float]) -> str:
    """Return one line of metrics for each dump. The last dump is the fusion and has no weight."""
    values = [evaluate(d) for d in dumps]
    width = max(len(d.path) for d in dumps)
    lines = [f"{'':{width}}  weight  " + "  ".join(f"{key:>10}" for key in values[0])]
    weighted = [*(f"{w:g}" for w in weights), ""][: len(dumps)]
    for dump, weight, row in zip(dumps, weighted, values, strict=True):
        cells = "  ".join(f"{value:10.4f}" for value in row.values())
        lines.append(f"{dump.path:{width}}  {weight:>6}  {cells}")
    return "\n".join(lines)


def hardest(dump: Dump, names: Sequence[str], rows: int = 10) -> str:
    """Return a table of the classes with the lowest recall, and their most frequent confusions."""
    report = [row for row in per_class_report(dump.score, dump.label, names) if row.n]
    report = sorted(report, key=lambda row: row.recall)[:rows]
    width = max(len(row.name) for row in report)
    lines = [f"{'hardest classes':{width}}  {'n':>5}  recall  precision  taken for"]
    for row in report:
        confusion = f"{row.confusion} ({row.confused})" if row.confused else "-"
        precision = "-" if np.isnan(row.precision) else f"{row.precision:.4f}"
        lines.append(
            f"{row.name:{width}}  {row.n:5}  {row.recall:.4f}  {precision:>9}  {confusion}"
        )
    return "\n".join(lines)


def _class_names(path: str, dump: Dump) -> list[str]:
    try:
        names = [name for _, name in lists.lines(Path(path))]
    except OSError as error:
        raise UserError(f"{path}: cannot read the class names ({error})") from None
    if len(names) != dump.score.shape[1]:
        raise UserError(f"{path}: {len(names)} class names for {dump.score.shape[1]} classes")
    if dump.label.ndim == 2:
        raise UserError("--names prints a report of single-label classes: leave it out here")
    return names


def _write(path: str, dump: Dump) -> None:
    arrays = {key: value for key in KEYS if (value := getattr(dump, key)) is not None}
    # Pass a file, because savez appends ".npz" to a name.
    with files.explained(path), files.replacing(Path(path)) as part, part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def report(args: argparse.Namespace):
    """Fuse dumps and print metrics, according to the arguments of the command."""
    weights = args.weights or [1.0] * len(args.dumps)
    if len(weights) != len(args.dumps):
        raise UserError(f"--weights has {len(weights)} values for {len(args.dumps)} dumps")
    files.probe_file(args.out, args.dumps)
    dumps = match([read(dump_of(model, args.root)) for model in args.dumps])
    names = _class_names(args.names, dumps[0]) if args.names else dumps[0].class_names
    fused = fuse(dumps, weights)
    without = next((dump.path for dump in dumps if dump.id is None), "")
    if without and len(dumps) > 1:
        logger.info(f"samples are matched by order, as {without} has no ids")
    print(table([*dumps, fused] if len(dumps) > 1 else dumps, weights))
    if names:
        print("\n" + hardest(fused, names))
    if args.out:
        _write(args.out, fused)


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.fuse", __doc__)
    models = "dumps, runs or published checkpoints"
    parser.add_argument("dumps", nargs="+", metavar="MODEL", help=models)
    parser.add_argument("--weights", nargs="+", type=float, help="one per model (default: 1 each)")
    parser.add_argument("--root", default="", help="folder of the data of models to evaluate")
    parser.add_argument("--names", metavar="FILE", help="class names, to list the hardest classes")
    parser.add_argument("--out", metavar="FILE", help="write the fusion as a dump")
    args = parser.parse_args(argv)
    return cli.guard(lambda: report(args))


if __name__ == "__main__":
    sys.exit(main())
