"""The pages of documentation: links, paths, modules and configs that they name exist."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxvid.config import loading

ROOT = Path(__file__).parents[1]
GUIDES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("configs", "launch", "data_prep")),
]
DATA_SETS = sorted((ROOT / "data_prep").glob("*/README.md"))

LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"python3? -m ((?:jaxvid|data_prep|tests|benchmarks)[\w.]*)")
CONFIG = re.compile(r"(?:jaxvid|launch)[^\n]*?--config[ =]([\w./]+)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FILE = re.compile(r"(?<![\w./<-])[a-z_][\w/]*\.(?:py|sh|json|sbatch|yaml|env)\b")
QUOTE = re.compile(r"```python\n# ([\w/]+\.py)\n(.*?)```", re.DOTALL)
SHIPPED = {row.name for row in loading.shipped()}
# Files that a run, a user or another project has.
OTHERS = re.compile(
    r"(config|metrics|train|val|test|manifest|examples|labels|\w+_anno_\w+|test_JSFUSION)\.json"
)


def links(page: Path, text: str) -> Iterator[str]:
    """Links that lead nowhere."""
    for link in LINK.findall(text):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith(("http:", "https:")):
            continue
        if not target.exists() or (heading and heading not in headings(target)):
            yield f"link {link}"


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def modules(text: str) -> Iterator[str]:
    """Modules after `python -m` that do not exist; NAME stands for any."""
    for name in MODULE.findall(text):
        module = name.rstrip(".")
        if not module.endswith(".NAME") and not exists(module):
            yield f"python -m {module}"


def exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def configs(text: str) -> Iterator[str]:
    """Configs in commands that are neither a shipped name nor a file; capitals stand for any."""
    for name in CONFIG.findall(text):
        known = name in SHIPPED or (ROOT / name).is_file()
        if not known and not name.isupper():
            yield f"--config {name}"


def paths(page: Path, text: str) -> Iterator[str]:
    """Files in code that are neither in the repository, in jaxvid/ nor beside the page."""
    for code in CODE.findall(text):
        for name in FILE.findall(code):
            places = (ROOT, ROOT / "jaxvid", page.parent)
            if not OTHERS.fullmatch(name) and not any((p / name).exists() for p in places):
                yield f"path {name}"


def quotes(text: str) -> Iterator[str]:
    """Lines of code blocks that begin with `# FILE` and are not in the file, in that order."""
    for name, block in QUOTE.findall(text):
        rest = iter((ROOT / name).read_text(encoding="utf-8").splitlines())
        for line in block.splitlines():
            if line.strip() not in ("", "...") and line not in rest:
                yield f"{name}: {line.strip()}"


def wrong(page: Path, text: str) -> list[str]:
    """All that a page names and that does not exist."""
    return [*links(page, text), *modules(text), *configs(text), *paths(page, text), *quotes(text)]


@pytest.mark.parametrize("page", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_page_names_exists(page):
    assert wrong(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", DATA_SETS, ids=lambda p: p.parent.name)
def test_links_and_commands_of_a_data_set_exist(page):
    text = page.read_text(encoding="utf-8")
    assert [*links(page, text), *modules(text)] == []


def test_the_readme_leads_to_every_page():
    page = ROOT / "README.md"
    linked = {(ROOT / link).resolve() for link in LINK.findall(page.read_text(encoding="utf-8"))}
    assert [str(p) for p in GUIDES[1:] if p not in linked] == []


@pytest.mark.parametrize(
    "text,found",
    [
        ("[a](docs/nowhere.md)", ["link docs/nowhere.md"]),
        ("[a](README.md#no-such-heading)", ["link README.md#no-such-heading"]),
        ("[a](docs/config.md#optimizer), [b](https://example.org/x)", []),
        ("`python -m jaxvid.tools.skan`", ["python -m jaxvid.tools.skan"]),
        ("```\npython -m jaxvid.tools.scan A\npython -m jaxvid.tools.NAME\n```", []),
        ("`jaxvid.main --config swin_k4:tiny`", ["--config swin_k4"]),
        ("`jaxvid.main --config=configs/swin_k400.py:tiny`, `jaxvid train --config CONFIG`", []),
        ("see `data/loader.py` or `train/loop.py`", ["path data/loader.py"]),
        (
            "```python\n# jaxvid/errors.py\nclass UserErrors:\n```",
            ["jaxvid/errors.py: class UserErrors:"],
        ),
        ("`plug.py`, `tests/conftest.py`, `models/<name>.py` and `metrics.json`", []),
    ],
)
def test_what_does_not_exist_is_found(text, found):
    assert wrong(ROOT / "README.md", text) == found
