"""Divide a folder of videos, with one sub-folder per class, into training and validation lists.

    python -m jaxvid.tools.split CLIPS [--val 0.2] [--test 0.1] [--seed 0] [--group REGEX]

The command writes CLIPS/train.csv, val.csv and optionally test.csv, with a line `path,class` for
each video. configs/finetune.py reads these lists, and evaluations use test.csv if it exists. Every
class is divided by the same shares, and has a video in each list if it has enough videos. If the
names of classes are numbers, they are written to classes.txt, and the lists contain their line
number in it, from 0.

Videos of the same recording or the same person must be in the same list. The regular expression
--group matches the part of the path below CLIPS that these videos have in common. For the names of
UCF101, such as v_Archery_g03_c01.avi, it is 'v_.*_g[0-9]+'. If S001P007.mp4 shows person 7, it is
'P[0-9]+'.
"""

import csv
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxvid import cli, files
from jaxvid.data.annotations.lists import NUMBER
from jaxvid.data.sources import class_folders
from jaxvid.data.sources.user_clips import CLASSES
from jaxvid.errors import UserError


def assign(
    labels: np.ndarray, groups: Sequence[Hashable], shares: Sequence[float], seed: int
) -> np.ndarray:
    """Assign each video to a split, so that groups stay together.

    Groups are assigned in random order, large groups first. Each group goes to the split that lacks
    most videos of its classes. This greedy step minimizes the squared distance to the shares.

    Args:
      labels: int (n,), class of each video.
      groups: group of each video.
      shares: share of each split. The first split gets the remaining videos after rounding.
      seed: seed of the random order.

    Returns:
      int (n,), number of the split of each video.
    """
    total = np.bincount(labels)
    need = np.maximum(np.round(np.outer(shares, total)), 1)
    need[1:] *= total >= len(shares)  # a class with too few videos is only in the first split
    need[0] = total - need[1:].sum(0)
    members: dict[Hashable, list[int]] = {}
    for row in np.random.default_rng(seed).permutation(len(labels)).tolist():
        members.setdefault(groups[row], []).append(row)
    split = np.zeros(len(labels), np.int64)
    for rows in sorted(members.values(), key=len, reverse=True):
        lacking = (need[:, labels[rows]] / total[labels[rows]]).sum(1)
        split[rows] = chosen = lacking.argmax()
        np.subtract.at(need[chosen], labels[rows], 1)
    return split


def groups_of(paths: Sequence[str], pattern: str) -> list[str]:
    """Return the group of each path: the groups of the match of `pattern`, or the whole match.

    Raises:
      UserError: `pattern` is not a regular expression, or does not match a path.
    """
    if not pattern:
        return list(paths)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group={pattern}: not a regular expression ({error})") from None
    found = []
    for path in paths:
        match = expression.search(path)
        if match is None:
            raise UserError(f'{path}: --group="{pattern}" does not match this path')
        found.append(" ".join(map(str, match.groups())) or match[0])
    return found


def run(
    folder: Path,
    *,
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    group: str = "",
    out: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Counter[str]]:
    """Write the lists, as described above.

    Returns:
      {list: {class: number of videos}}.

    Raises:
      UserError: the folders do not exist, the shares leave nothing to train on, or a list already
        exists.
    """
    if not (val > 0 and test >= 0 and val + test < 1):
        raise UserError(f"--val={val} --test={test}: shares are above 0 and leave some to train on")
    out = out or folder
    shares = {"train": 1 - val - test, "val": val} | ({"test": test} if test else {})
    lists = {name: out / f"{name}.csv" for name in shares}
    files.probe(out)
    videos = class_folders.build("train", root=str(folder))
    numbered = all(map(NUMBER.fullmatch, videos.names))  # in a list, these would be class numbers
    if numbered:
        lists[CLASSES] = out / CLASSES
    if not len(videos):
        raise UserError(f"{folder}: no videos in its sub-folders")
    for file in lists.values():
        if file.exists() and not overwrite:
            raise UserError(f"{file} already exists; --overwrite replaces it")
    below = [Path(path).relative_to(folder).as_posix() for path in videos.paths]
    split = assign(videos.labels, groups_of(below, group), list(shares.values()), seed)
    with files.explained(out):
        out.mkdir(parents=True, exist_ok=True)
    if numbered:
        files.write_text(lists[CLASSES], "".join(f"{name}\n" for name in videos.names))
    counts = {}
    for number, name in enumerate(shares):
        chosen = np.flatnonzero(split == number).tolist()
        labels = videos.labels[chosen].tolist()
        classes = [videos.names[label] for label in labels]
        paths = [_listed(videos.paths[i], out) for i in chosen]
        rows = zip(paths, labels if numbered else classes, strict=True)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("path", "label"), *rows])
        files.write_text(lists[name], text.getvalue())
        counts[name] = Counter(dict.fromkeys(videos.names, 0))
        counts[name].update(classes)
    return counts


def _listed(path: str, out: Path) -> str:
    """Return a path relative to the list in `out`."""
    name = Path(os.path.relpath(path, out)).as_posix()
    return f"./{name}" if name[0] in "# " else name  # a line that starts with # is a comment


def table(counts: dict[str, Counter[str]]) -> Table:
    """Return a table with one row for each list."""
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for header in ("list", "videos", "share", "smallest class", "largest class"):
        grid.add_column(header, justify="left" if header == "list" else "right")
    total = sum(each.total() for each in counts.values())
    for name, each in counts.items():
        ranked = [f"{count:,} ({label})" for label, count in each.most_common()]
        share = f"{each.total() / total:.1%}"
        grid.add_row(f"{name}.csv", f"{each.total():,}", share, ranked[-1], ranked[0])
    return grid


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.split", __doc__)
    parser.add_argument("folder", metavar="CLIPS", type=Path, help="with a folder for each class")
    parser.add_argument("--val", type=float, default=0.2, help="share of validation (%(default)s)")
    parser.add_argument("--test", type=float, default=0.0, help="share of a test set (none)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the random order (%(default)s)"
    )
    parser.add_argument("--group", metavar="REGEX", default="", help="videos that stay together")
    parser.add_argument("--out", type=Path, help="folder of the lists (default: CLIPS)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing lists")
    args = vars(parser.parse_args(argv))
    return cli.guard(lambda: show(run(**args), args["out"] or args["folder"]))


def show(counts: dict[str, Counter[str]], out: Path):
    Console(highlight=False).print(table(counts))
    print(f"wrote {', '.join(f'{name}.csv' for name in counts)} in {out}")


if __name__ == "__main__":
    sys.exit(main())
