"""List the published checkpoints with their accuracy, and whether this version loads them.

    python -m jaxvid.tools.zoo [--task recognition] [--dataset k400] [--family swin]
                               [--license permissive] [--json]

On a terminal, the command prints a table. Otherwise, it prints one line per checkpoint, with fields
separated by tabs and complete links. Licenses that forbid commercial use are marked, and --license
permissive lists the weights whose license is known to allow it. Some rows name a page instead of a
license. --license unknown lists them.
"""

import json
import sys
import urllib.parse
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from jaxvid import cli, plug
from jaxvid.errors import UserError, did_you_mean
from jaxvid.weights import licences, zoo
from jaxvid.weights.zoo import Row

COLUMNS = (
    "name",
    "task",
    "data set",
    "params",
    "FLOPs",
    "metric",
    "loads",
    "licence",
    "sha256",
    "url",
)
MARK = " (non-commercial)"
RIGHT = ("params", "FLOPs", "metric")


def select(task: str = "", dataset: str = "", family: str = "", licence: str = "") -> list[Row]:
    """Return the rows of a task, a data set, a family and a license. "" selects all.

    A license is an SPDX name, or what it allows (see `licences.USES`).

    Raises:
      UserError: no row has one of these values, or all of them together.
    """
    found = list(zoo.rows())
    said = dict(kind="task", dataset="dataset", family="family")
    for key, wanted in (("kind", task), ("dataset", dataset), ("family", family)):
        if wanted:
            known = {getattr(row, key) for row in zoo.rows()}
            if wanted not in known:
                raise UserError(
                    f'no published weights of {said[key]} "{wanted}".{did_you_mean(wanted, known)}'
                )
            found = [row for row in found if getattr(row, key) == wanted]
    if licence:
        known = {*licences.USES, *(row.licence for row in zoo.rows())}
        if licence not in known:
            raise UserError(
                f'no published weights of license "{licence}".{did_you_mean(licence, known)}'
            )
        found = [row for row in found if licence in (row.licence, licences.use(row.licence))]
    if not found:
        raise UserError("no published weights match all of these options")
    return found


def loads(row: Row) -> bool:
    """Return whether this version has the model, and a table for the names in the file."""
    # Weights to start from have no recipe. For others without one, the head is not supported yet.
    if not row.recipe and not row.is_start:
        return False
    try:
        plug.spec("models", **row.model)
    except UserError:
        return False
    return row.upstream in plug.module("models", row.model["name"]).WEIGHTS


def cells(row: Row) -> tuple[str, ...]:
    """Return the values of COLUMNS."""
    return (
        row.name,
        row.kind,
        row.dataset,
        f"{row.params_m:.2f} M" if row.params_m else "",
        f"{row.flops_g:g} G" if row.flops_g else "",
        metric(row),
        "yes" if loads(row) else "not yet",
        row.licence + MARK * (licences.use(row.licence) == "non-commercial"),
        row.sha256 or "unverified",
        row.url,
    )


def metric(row: Row) -> str:
    """Return the first published metric, in percent."""
    for name, value in row.metrics.items():
        return f"{name} {value:.2%}"
    return ""


def table(rows: Sequence[Row]) -> Table:
    """Return a table for a terminal, with clickable links and without hashes."""
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        if name != "sha256":
            grid.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    for row in rows:
        *start, licence, _, url = cells(row)
        if licence.startswith(licences.UNKNOWN):
            page = licence.removeprefix(licences.UNKNOWN)
            licence = f"[link=https://{page}]see upstream[/link]"
        grid.add_row(*start, licence, f"[link={url}]{urllib.parse.urlsplit(url).hostname}[/link]")
    return grid


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.zoo", __doc__)
    parser.add_argument("--task", default="", help="such as recognition, skeleton, detection")
    parser.add_argument("--dataset", default="", help="such as k400, ssv2, ava22, ntu60")
    parser.add_argument("--family", default="", help="such as swin, slowfast, stgcn")
    parser.add_argument(
        "--license",
        "--licence",
        dest="licence",
        default="",
        help=f"{', '.join(licences.USES)}, or a name such as MIT",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per row, with all fields"
    )
    args = parser.parse_args(argv)
    return cli.guard(
        lambda: show(select(args.task, args.dataset, args.family, args.licence), args.json)
    )


def show(rows: Sequence[Row], as_json: bool) -> None:
    """Print rows as JSON objects, as a table on a terminal, or separated by tabs."""
    if as_json:
        for row in rows:
            print(json.dumps(asdict(row) | {"loads": loads(row), "use": licences.use(row.licence)}))
    elif sys.stdout.isatty():
        grid = table(rows)
        Console(highlight=False, width=1000).print(grid, crop=False)
        ready = sum(map(loads, rows))
        print(f"{len(rows)} published, {ready} of them load in this version; | cat shows the links")
    else:
        print("\t".join(COLUMNS))
        for row in rows:
            print("\t".join(cells(row)))


if __name__ == "__main__":
    sys.exit(main())
