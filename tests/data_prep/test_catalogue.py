"""Every data set: that it can be made, and that its README and the table of all say so."""

import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import data_prep
from data_prep import build
from jaxvid.data.sources.tfds import unique

FOLDER = Path(data_prep.__file__).parent
SETS = [m.name for m in pkgutil.iter_modules(data_prep.__path__) if m.ispkg]


def table() -> dict[str, tuple[list[str], str]]:
    """{data set: (configs, labels)} of the README."""
    rows = {}
    for line in (FOLDER / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 4:
            for name in re.findall(r"\[`(\w+)`\]\(\1\)", cells[1]):
                rows[name] = (re.findall(r"`(\w+)`", cells[2]), cells[4])
    return rows


def test_the_table_has_every_data_set():
    assert sorted(table()) == sorted(SETS)


@pytest.mark.parametrize("name", SETS)
def test_it_is_what_the_table_says(name, tmp_path):
    configs, labels = table()[name]
    made = build.builder(name, tmp_path)
    assert [config.name for config in made.BUILDER_CONFIGS] == configs
    for config in configs or [""]:
        one = build.builder(f"{name}/{config}".rstrip("/"), tmp_path)
        assert one.variant == config
        features: Any = one.info.features
        feature = features["label"]
        assert list(getattr(feature, "feature", feature).names) == unique(one.names)
        if one.names == ("text",):
            assert labels == "captions"
        elif name != "skeletons":
            assert str(len(one.names)) in labels
        assert ("several per video" in labels) == one.multi_label


@pytest.mark.parametrize("name", SETS)
def test_its_readme_says_what_one_must_know(name, tmp_path):
    text = (FOLDER / name / "README.md").read_text()
    for part in ("**License.**", "**How to get it.**", "## Steps"):
        assert part in text
    commands = re.findall(r"python -m ([\w.]+) ([\w./-]+)", text)
    assert ("data_prep.build", name) in [(m, n.partition("/")[0]) for m, n in commands]
    for module, argument in commands:
        assert (FOLDER.parent / module.replace(".", "/")).with_suffix(".py").is_file()
        if module in ("data_prep.lists", "data_prep.build"):
            build.builder(argument, tmp_path)
    expected = build.builder(name, tmp_path).expected
    for count in expected.values():
        assert f"{count:,}" in text
