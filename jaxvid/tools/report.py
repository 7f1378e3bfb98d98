"""Write a report of a run as one HTML page: curves, metrics, classes, confusion, example clips.

    python -m jaxvid.tools.report RUN
    python -m jaxvid.tools.report runs --out compared.html

The page needs no network and no other file. During a run, it shows the curves and the config. After
`--mode eval`, it shows all parts. If several runs or a folder of runs are given, the page compares
them.
"""

import csv
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jaxvid import cli, files, provenance
from jaxvid.config import flat
from jaxvid.draw import page, plots
from jaxvid.draw.canvas import SERIES, Svg, data_uri, jpeg, png
from jaxvid.errors import UserError
from jaxvid.writers import jsonl

ROWS = 1000  # maximum number of rows of a table
PAIRS = 15  # number of the most frequent confusions that are listed
GOOD = ("recall", "ap", "precision")  # columns by which classes are sorted, the weakest first


def write(runs: Sequence[Path], out: Path | None) -> Path:
    """Write the report of one run, or a comparison of several runs, and return its path.

    Raises:
      UserError: a run does not exist, or the page cannot be written.
    """
    found = [run for folder in runs for run in runs_in(folder)]
    single = len(found) == 1
    # A comparison is written next to the first run, whose own folder has the report of this run.
    folder = found[0] if single else runs[0].parent if is_run(runs[0]) else runs[0]
    out = out or folder / "report.html"
    body = list(one(found[0]) if single else several(found))
    title = found[0].resolve().name if single else f"{len(found)} runs"
    with files.explained(out):
        files.write_text(out, page.document(title, body))
    return out


def runs_in(folder: Path) -> list[Path]:
    """Return the folder itself if it is a run, or the runs in it."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    for found in ([folder], sorted(path for path in folder.iterdir() if path.is_dir())):
        if runs := [path for path in found if is_run(path)]:
            return runs
    raise UserError(
        f"{folder}: no run, and no folder of runs: it has no config.json or metrics.jsonl"
    )


def is_run(folder: Path) -> bool:
    """Return whether a folder contains files of a run."""
    return any((folder / name).exists() for name in ("config.json", "metrics.jsonl", "eval"))


def one(run: Path) -> Iterator[str]:
    """Yield the parts of the page of one run."""
    records = jsonl.records(run)
    config = provenance.read_settings(run / "config.json") or {}
    yield heading(run.resolve().name, about(config, records))
    yield page.section("Metrics", page.cards(metrics(run, records)))
    curves = plots.curves(records)
    main = [curve(name, lines) for name, lines in curves.items() if name not in plots.SPEED]
    speed = [curve(name, lines) for name, lines in curves.items() if name in plots.SPEED]
    folded = page.folded("Speed", page.grid(speed)) if speed else ""
    yield page.section("Curves", page.grid(main), folded)
    yield confusion(run / "eval" / "confusion.csv")
    yield from tables(run / "eval")
    yield from examples(run / "eval")
    rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in flat(config).items()]
    if rows:
        settings = page.table(("key", "value"), rows, (False, False))
        yield page.section("Config", page.folded(f"{len(rows)} keys", settings))


def several(runs: Sequence[Path]) -> Iterator[str]:
    """Yield the parts of a page that compares runs: a table of metrics, and plots of all runs."""
    yield heading(f"{len(runs)} runs", "")
    records = [jsonl.records(run) for run in runs]
    values = [metrics(run, own) for run, own in zip(runs, records, strict=True)]
    names = list(dict.fromkeys(name for row in values for name in row))
    rows = [
        (run.resolve().name, *(row.get(name, "") for name in names))
        for run, row in zip(runs, values, strict=True)
    ]
    columns = (False, *(True for _ in names))
    yield page.section("Metrics", page.table(("run", *names), rows, columns))
    names = [run.resolve().name for run in runs]
    palette = {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}
    joined: dict[str, list[plots.Curve]] = {}
    for name, own in zip(names, records, strict=True):
        for metric, lines in plots.curves(own).items():
            if metric not in plots.SPEED:  # the last curve of a run is validation, if it has any
                title = f"{lines[-1].name}/{metric}"
                joined.setdefault(title, []).append(lines[-1]._replace(name=name))
    drawn = (curve(title, lines, palette) for title, lines in joined.items())
    yield page.section("Curves", page.legend(palette), page.grid(drawn))


def heading(title: str, line: str) -> str:
    """Return the head of a page."""
    written = f"written {time.strftime('%Y-%m-%d %H:%M')}"
    shown = f"{line}, {written}" if line else written
    return f"<header><h1>{page.escape(title)}</h1>{page.text(shown, muted=True)}</header>"


def about(config: Mapping, records: Sequence[Mapping]) -> str:
    """Return a description such as 'swin tiny, recognition, step 100, epoch 2.00'."""
    values = flat(config)
    model = " ".join(values[k] for k in ("model.name", "model.variant") if values.get(k))
    parts = [model, values.get("task.name", "")]
    if records:
        last = records[-1]
        parts.append(f"step {last['step']:,}, epoch {last.get('epoch', 0):.2f}")
    return ", ".join(part for part in parts if part)


def metrics(run: Path, records: Sequence[Mapping]) -> dict[str, str]:
    """Return the metrics of the evaluation as text, or else those of the last validation."""
    manifest = provenance.read_settings(run / "eval" / "manifest.json") or {}
    found: Mapping[str, Any] = manifest.get("metrics") or {}
    for record in reversed(records) if not found else ():
        if found := {key: v for key, v in record.items() if key.startswith("val/")}:
            break
    return {key: shown(key, str(value)) for key, value in found.items()}


def shown(name: str, value: str) -> str:
    """Format a value: shares as percent, whole numbers in full, and others with four digits."""
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number):
        return "\N{EN DASH}"
    if value.lstrip("-").isdigit():
        return f"{int(value):,}"
    share = 0 <= number <= 1 and "rank" not in name and "loss" not in name
    return f"{number:.1%}" if share else f"{number:.4g}"


def curve(name: str, lines: Sequence[plots.Curve], palette: Mapping[str, str] | None = None) -> str:
    """Return a plot as SVG."""
    svg = Svg(plots.WIDTH, plots.HEIGHT, name)
    plots.draw_curves(svg, name, lines, palette=palette)
    return str(svg)


def confusion(path: Path) -> str:
    """Return the confusion matrix and the most frequent confusions as HTML."""
    if not path.exists():
        return ""
    (_, *names), *rows = read_rows(path)
    counts = np.array([row[1:] for row in rows], int).reshape(len(rows), len(names))
    matrix = plots.Matrix(counts, names)
    if len(names) <= plots.LABELED:
        svg = Svg(*matrix.size, "confusion matrix")
        matrix.draw(svg)
        drawn = str(svg)
    else:
        drawn = page.image(data_uri(png(matrix.picture())), "confusion matrix")
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(i), len(names)) for i in order]
    listed = [(names[i], names[j], str(wrong[i, j])) for i, j in pairs if wrong[i, j]]
    frequent = page.table(("true", "predicted", "clips"), listed, (False, False, True))
    return page.section("Confusion matrix", page.side_by_side([page.scroll(drawn), frequent]))


def tables(folder: Path) -> Iterator[str]:
    """Yield the tables of an evaluation as HTML, such as that of the classes."""
    for path in sorted(folder.glob("*.csv")):
        if path.name == "confusion.csv":
            continue
        header, *rows = read_rows(path)
        if good := [header.index(name) for name in GOOD if name in header]:
            rows.sort(key=lambda row, column=good[0]: _rank(row[column]))
        numbers = [all(_is_number(row[i]) for row in rows) for i in range(len(header))]
        texts = [[shown(n, cell) for n, cell in zip(header, row, strict=True)] for row in rows]
        title = "Classes" if path.name == "report.csv" else path.stem.replace("_", " ").capitalize()
        more = f"The first {ROWS:,} of {len(rows):,} rows." if len(rows) > ROWS else ""
        note = page.text(more, muted=True) if more else ""
        names = [name.replace("_", " ") for name in header]
        yield page.section(title, page.table(names, texts[:ROWS], numbers), note)


def examples(folder: Path) -> Iterator[str]:
    """Yield clips with their predictions, cropped from the sheets of an evaluation."""
    entries = provenance.read_settings(folder / "examples.json") or {}
    for name, title in (("worst", "Worst clips"), ("best", "Best clips")):
        sheet = (
            cv2.imread(str(folder / f"{name}.png")) if (folder / f"{name}.png").exists() else None
        )
        shown = (figure(entry, sheet) for entry in entries.get(name, ()))
        yield page.section(title, page.grid(shown))


def figure(entry: Mapping, sheet: np.ndarray | None) -> str:
    """Return one clip as HTML: its frames, and its true and predicted class."""
    picture = ""
    if sheet is not None and "box" in entry:
        x, y, w, h = entry["box"]
        frames = sheet[y : y + h, x : x + w, ::-1]
        picture = page.image(data_uri(jpeg(frames)), Path(entry["id"]).name)
    right = "\N{CHECK MARK}" if entry["true"] == entry["predicted"] else ""
    predicted = f"predicted: {entry['score']:.0%} {entry['predicted']} {right}"
    return page.figure(picture, (f"true: {entry['true']}", predicted, Path(entry["id"]).name))


def read_rows(path: Path) -> list[list[str]]:
    """Return all rows of a csv file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) or True
    except ValueError:
        return False


def _rank(cell: str) -> float:
    """Return the value of a cell for sorting. Cells that are not numbers come last."""
    return float(cell) if _is_number(cell) and math.isfinite(float(cell)) else math.inf


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.report", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="workdir of a run")
    parser.add_argument(
        "--out",
        type=Path,
        help="file to write (RUN/report.html; for several runs, in the folder of RUN)",
    )
    args = parser.parse_args(argv)
    return cli.guard(lambda: print(f"wrote {write(args.runs, args.out)}"))


if __name__ == "__main__":
    sys.exit(main())
