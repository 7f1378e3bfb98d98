"""Keep the videos and images of a list that a trained model, the teacher, recognizes.

    python -m jaxvid.tools.filter --predictions PREDICTIONS.npz --threshold 0.5 --out kept.csv
    python -m jaxvid.tools.filter --list web.csv --root DIR --checkpoint MODEL \\
        --threshold 0.5 --out kept.csv

OmniSource (Duan et al., 2020) selects data from the web in this way. The scores come from
predictions.npz of an evaluation of the list, or a checkpoint computes them. A sample is kept if the
score of its own class is at least the threshold. With --labels predicted, the class of a sample is
the one with the highest score, whatever the list says.

The command writes a list with a line `path,class` for each sample that is kept, and beside it
kept_scores.txt with their scores, one per line. The key `weights` of the source video_list can read
this file. It prints how many samples were kept, of all and of the classes that lost most.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from jaxvid import cli, files
from jaxvid.data.sources import video_list
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.inference.model import load
from jaxvid.tools import fuse

SHOWN = 5  # classes in the report


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.filter", __doc__)
    add = parser.add_argument
    add("--predictions", help="scores of the list: predictions.npz of an evaluation")
    add("--list", help="list of videos or images, path and class per line")
    add("--root", default="", help="folder of the files of --list")
    add("--checkpoint", help="the teacher: workdir, file or name of the zoo")
    add("--threshold", type=float, required=True, help="smallest score that is kept, 0 to 1")
    add("--labels", choices=("own", "predicted"), default="own", help="default: %(default)s")
    add("--out", type=Path, required=True, help="the new list, a csv file")
    args = parser.parse_args(argv)
    return cli.guard(lambda: run(args))


def run(args: argparse.Namespace):
    """Write the list of the samples that are kept, and their scores.

    Raises:
      UserError: a wrong combination of arguments, wrong files, or nothing is kept.
    """
    if not 0 <= args.threshold <= 1:
        raise UserError(f"--threshold={args.threshold:g}: it must be from 0 to 1")
    if bool(args.predictions) == bool(args.list and args.checkpoint):
        raise UserError("give either --predictions, or --list and --checkpoint")
    files.probe(args.out.parent)
    dump = of_dump(args.predictions) if args.predictions else of_teacher(args)
    label, score = select(dump, args.labels)
    kept = score >= args.threshold
    for line in summary(dump, label, kept):
        print(line)
    if not kept.any():
        raise UserError(
            f"no sample has a score of {args.threshold:g}; the highest is {score.max():.3f}"
        )
    text, ids = io.StringIO(), np.asarray(dump.id)
    names = label.astype(str) if dump.names is None else dump.names[label]
    csv.writer(text, lineterminator="\n").writerows(zip(ids[kept], names[kept], strict=True))
    scores = args.out.with_name(f"{args.out.stem}_scores.txt")
    files.write_text(args.out, text.getvalue())
    files.write_text(scores, "".join(f"{value:.6f}\n" for value in score[kept]))
    print(f"wrote {args.out} and {scores}")


def of_dump(path: str) -> fuse.Dump:
    """Read the scores of an evaluation. Raises a UserError for several labels, or without ids."""
    dump = fuse.read(path)
    if dump.label.ndim == 2 or dump.id is None:
        lacks = "one label per sample" if dump.label.ndim == 2 else 'the key "id"'
        raise UserError(f"{path}: the filter needs {lacks}")
    return dump


def of_teacher(args: argparse.Namespace) -> fuse.Dump:
    """Return the scores that a checkpoint gives the samples of a list.

    Files that cannot be read are left out and printed.

    Raises:
      UserError: no file can be read.
    """
    teacher = load(args.checkpoint)
    root, names = os.path.expanduser(args.root), teacher.names
    source = video_list.build(
        "train",
        root=root,
        file=os.path.abspath(args.list),
        names=names,
        num_classes=len(names),
    )
    scores, rows, bad = [], [], []
    for row in track(range(len(source)), "samples", transient=True, console=Console(stderr=True)):
        try:
            scores.append(teacher.scores(source[row]["path"]))
            rows.append(row)
        except VideoError as error:
            bad.append(str(error))
    for line in bad:
        print(f"left out: {line}")
    if not rows:
        raise UserError(f"{args.list}: none of its {len(source)} files can be read")
    label, paths = np.asarray(source.labels)[rows], np.array([source.id(row) for row in rows])
    return fuse.Dump(args.list, np.stack(scores), label, paths, names=np.array(names))


def select(dump: fuse.Dump, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each sample, and its score."""
    label = dump.label if labels == "own" else dump.score.argmax(1)
    return label, dump.score[np.arange(len(label)), label]


def summary(dump: fuse.Dump, label: np.ndarray, kept: np.ndarray) -> Sequence[str]:
    """Return lines on the numbers of samples that are kept."""
    total = np.bincount(label, minlength=dump.score.shape[1])
    left = np.bincount(label[kept], minlength=len(total))
    share = np.where(total > 0, left / np.maximum(total, 1), np.inf)
    order = [i for i in np.argsort(share, kind="stable")[:SHOWN].tolist() if share[i] < 1]
    names = np.arange(len(total)).astype(str) if dump.names is None else dump.names
    worst = ", ".join(f"{names[i]} {left[i]} of {total[i]}" for i in order)
    empty = int(((left == 0) & (total > 0)).sum())
    return [
        f"kept {kept.sum():,} of {len(kept):,} samples ({kept.mean():.1%})",
        *([f"fewest: {worst}"] if worst else []),
        *([f"{empty} classes have no sample left"] if empty else []),
    ]


if __name__ == "__main__":
    sys.exit(main())
