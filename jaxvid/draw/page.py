"""HTML of a self-contained page for phones and desktops, in light and dark mode.

Each function returns HTML. The texts in its arguments are escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from jaxvid.draw.canvas import COLORS

DARK = {
    "paper": (22, 24, 29), "ink": (232, 234, 238), "muted": (154, 161, 172), "grid": (52, 56, 64),
    "s0": (110, 168, 254), "s1": (245, 150, 80), "s2": (90, 200, 150), "s3": (235, 130, 200),
    "s4": (215, 195, 90), "s5": (170, 150, 255),
}  # fmt: skip

STYLE = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:16px;background:var(--paper);color:var(--ink);
 font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
h1{font-size:1.5rem;margin:.3em 0}h2{font-size:1.2rem;margin:1.8em 0 .6em}
p,figcaption,summary{margin:.4em 0}.muted{color:var(--muted)}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr))}
.cards{display:flex;flex-wrap:wrap;gap:10px}
.card{border:1px solid var(--grid);border-radius:8px;padding:8px 14px;min-width:100px}
.card b{display:block;font-size:1.3rem}
.scroll{overflow:auto;max-width:100%}.scroll:has(table){max-height:34em}
.side{display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start}
table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;padding:4px 12px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
td{min-width:9em;max-width:26em;overflow-wrap:break-word}td.number{min-width:3em}
th{position:sticky;top:0;background:var(--paper);overflow-wrap:normal}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
svg{max-width:100%;height:auto;display:block}.scroll svg{max-width:none}
svg text{font-family:system-ui,sans-serif}
figure{margin:0;border:1px solid var(--grid);border-radius:8px;padding:10px}
img{max-width:100%;height:auto;display:block}figure img{width:100%}
summary{cursor:pointer;font-size:1.1rem}
"""


def document(title: str, body: Iterable[str]) -> str:
    """Return a complete page."""
    dark = "@media(prefers-color-scheme:dark){" + _variables(DARK) + "}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_variables(COLORS)}{dark}{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _variables(colors: Mapping[str, tuple[int, int, int]]) -> str:
    rows = (f"--{name}:rgb({r} {g} {b})" for name, (r, g, b) in colors.items())
    return ":root{" + ";".join(rows) + "}"


def section(title: str, *parts: str) -> str:
    """Return a heading with the parts below it; "" if all parts are empty."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>" if any(parts) else ""


def folded(title: str, *parts: str) -> str:
    """Return parts that are shown after a click."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def text(content: str, muted: bool = False) -> str:
    """Return a paragraph."""
    return f'<p dir="auto"{_class("muted" if muted else "")}>{escape(content)}</p>'


def cards(values: Mapping[str, str]) -> str:
    """Return values with their names, side by side."""
    inside = (
        f'<div class="card"><b>{escape(value)}</b><span class="muted">{escape(name)}</span></div>'
        for name, value in values.items()
    )
    return f'<div class="cards">{"".join(inside)}</div>' if values else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[bool]) -> str:
    """Return a table that scrolls within its own frame. `numbers` marks the columns of numbers."""
    kinds = ["number" if number else "" for number in numbers]

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{tag} dir="auto"{_class(kind)}>{escape(cell)}</{tag}>'
            for cell, kind in zip(row, kinds, strict=True)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{cells(header, 'th')}</tr></thead>" if any(header) else ""
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>' if body else ""


def legend(colors: Mapping[str, str]) -> str:
    """Return names in their colors, which are names of `COLORS`."""
    inside = (
        f'<b dir="auto" style="color:var(--{color})">{escape(name)}</b>'
        for name, color in colors.items()
    )
    return f'<p class="side">{"".join(inside)}</p>'


def side_by_side(parts: Iterable[str]) -> str:
    """Return parts of any width next to each other, or below each other if the page is narrow."""
    return f'<div class="side">{"".join(parts)}</div>'


def grid(parts: Iterable[str]) -> str:
    """Return parts in as many columns as fit on the screen."""
    inside = "".join(f"<div>{part}</div>" for part in parts)
    return f'<div class="grid">{inside}</div>' if inside else ""


def scroll(part: str) -> str:
    """Return a wide part that scrolls within its own frame."""
    return f'<div class="scroll">{part}</div>'


def image(uri: str, title: str) -> str:
    """Return a picture, from its `canvas.data_uri`."""
    return f'<img src="{uri}" alt="{escape(title)}">'


def figure(picture: str, lines: Iterable[str]) -> str:
    """Return a picture (HTML, or "" for none) with lines of text below it."""
    caption = "".join(f'<div dir="auto">{escape(line)}</div>' for line in lines)
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
