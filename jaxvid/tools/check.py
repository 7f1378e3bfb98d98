"""Check the data of a config without training: labels, classes, missing and repeated files.

    python -m jaxvid.tools.check --config configs/finetune.py:tiny --config.data.root=CLIPS
    python -m jaxvid.tools.check --config FILE --manifest CLIPS/manifest.jsonl --classes

The command prints the sizes of the splits and classes, and the problems of the data with file and
line. It makes all checks that training makes. With the manifest of `python -m jaxvid.tools.scan`,
it also lists unreadable files. If the scan used --sha256, it also lists files with the same content
under different names, within a split or in two splits. The exit code is 1 if a check fails. The
problems of checks that are not in `data.checks` of the config are listed as "allowed", and do not
change the exit code.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxvid import cli
from jaxvid.data import dataset, source_checks
from jaxvid.data.annotations import manifests
from jaxvid.data.annotations.manifests import Row
from jaxvid.data.dataset import Dataset
from jaxvid.errors import UserError, first

SPLITS = ("train", "val", "test")
MEANING = {
    "labels": "labels are classes",
    "empty": "every class has a training video",
    "missing": "files exist",
    "duplicates": "no file twice in a split",
    "overlap": "no file in two splits",
    "unreadable": "files are good, by the manifest",
    "content": "no content twice, by the manifest",
}


def run_checks(data: Dataset, manifest: Mapping[str, Row] | None = None) -> dict[str, list[str]]:
    """Return {check: problems, one line each} of the checks that can be made."""
    known = data.splits, data.num_classes, data.names
    found = {
        name: list(getattr(source_checks, f"check_{name}")(*known)) for name in source_checks.CHECKS
    }
    if manifest is not None:
        found["unreadable"] = list(unreadable(data, manifest))
        if any(row.sha256 for row in manifest.values()):
            found["content"] = list(same_content(data, manifest))
    return found


def unreadable(data: Dataset, manifest: Mapping[str, Row]) -> Iterator[str]:
    """Yield files that are bad according to the manifest."""
    for source, index, path in videos(data):
        if (row := manifest.get(path)) and not row.ok:
            yield f"{source.where(index)}: {source.id(index)}: {row.reason}"


def same_content(data: Dataset, manifest: Mapping[str, Row]) -> Iterator[str]:
    """Yield files with the content of another file."""
    seen: dict[str, str] = {}
    for source, index, path in videos(data):
        row = manifest.get(path)
        if row and row.sha256:
            first = seen.setdefault(row.sha256, path)
            if first != path:
                yield f"{source.where(index)}: {source.id(index)} has the content of {first}"


def videos(data: Dataset) -> Iterator[tuple[Any, int, str]]:
    """Yield (source, row, absolute path) of every file."""
    for source in data.splits.values():
        for index in range(len(source)):
            if path := source[index].get("path"):
                yield source, index, os.path.abspath(path)


def split_table(data: Dataset) -> Table:
    """Return a table with one row per split: number of videos, and sizes of the classes."""
    table = Table(box=None, padding=(0, 3, 0, 0))
    for name in ("split", "videos", "classes", "smallest", "median", "largest"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for split, source in data.splits.items():
        each = source_checks.counts(source.labels, data.num_classes)
        ends = (f"{each[i]:,} ({data.names[i]})" for i in (each.argmin(), each.argmax()))
        low, high = ends
        some = f"{(each > 0).sum():,} of {data.num_classes:,}"
        table.add_row(split, f"{len(source):,}", some, low, f"{np.median(each):g}", high)
    return table


def class_table(data: Dataset) -> Table:
    """Return a table with one row per class: number of its videos in each split."""
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("label", justify="right")
    table.add_column("class")
    each = [
        source_checks.counts(source.labels, data.num_classes) for source in data.splits.values()
    ]
    for split in data.splits:
        table.add_column(split, justify="right")
    for label, name in enumerate(data.names):
        table.add_row(str(label), name, *(f"{counts[label]:,}" for counts in each))
    return table


def check_table(found: Mapping[str, Sequence[str]], left_out: Collection[str] = ()) -> Table:
    """Return a table with one row per check. Problems of checks in `left_out` are allowed."""
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    for name, lines in found.items():
        verdict = f"[red]{len(lines):,} wrong[/]" if lines else "[green]ok[/]"
        if lines and name in left_out:
            verdict = f"{len(lines):,} allowed"
        table.add_row(name, MEANING[name], verdict)
    return table


def check(config: Any, manifest: Path | None, classes: bool, lines: int):
    """Print the tables and the problems of the data.

    Raises:
      UserError: the data cannot be read, or at the end, a check has failed.
    """
    given = dataset.with_test(config.data)
    splits = tuple(split for split in SPLITS if given.get(split))
    data = dataset.for_training(given, config.task, splits=splits, checks=())
    found = run_checks(data, manifests.read(manifest) if manifest else None)
    left_out = set(source_checks.CHECKS) - set(config.data.get("checks", source_checks.CHECKS))
    console = Console(highlight=False, soft_wrap=True)
    for table in (
        split_table(data),
        *([class_table(data)] if classes else []),
        check_table(found, left_out),
    ):
        console.print(table)
        console.print()
    for name, wrong in found.items():
        if wrong:
            console.print(f"{name}:", style="bold")
            for line in first(wrong, lines, "; --lines shows more"):
                console.print(f"  {line}", markup=False)
    total = sum(len(wrong) for name, wrong in found.items() if name not in left_out)
    if total:
        raise UserError(f"{total:,} problem{'s' if total > 1 else ''} in the data")


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.check", __doc__, with_config=True)
    add = parser.add_argument
    add("--manifest", metavar="FILE", type=Path, help="written by python -m jaxvid.tools.scan")
    add("--classes", action="store_true", help="list the classes with their counts")
    add("--lines", type=int, default=10, help="problems to list of each kind (%(default)s)")
    args, changes = parser.parse_known_args(argv)
    return cli.guard(
        lambda: check(cli.config(args.config, changes), args.manifest, args.classes, args.lines)
    )


if __name__ == "__main__":
    sys.exit(main())
