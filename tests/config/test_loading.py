"""Configs are found by name and by path from any folder, and a broken file is one line."""

import sys

import pytest
from ml_collections import ConfigDict

from jaxvid.config import loading
from jaxvid.errors import UserError
from tests.test_architecture import CONFIGS

OWN = """
from configs import base

def get_config(variant="small"):
    c = base.config()
    c.batch = {"small": 4, "large": 8}[variant]
    return c
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory, where Python does not find the repository's `configs`."""
    monkeypatch.chdir(tmp_path)
    root = str(loading.SHIPPED.parent)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in (root, "")])
    for name in [n for n in sys.modules if n.split(".")[0] == "configs"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_shipped_configs_are_those_of_the_readme():
    assert all(len(set(row.variants)) == len(row.variants) for row in loading.shipped())
    listed = [(row.name, v) for row in loading.shipped() for v in row.variants or ("",)]
    assert {(name, v) for name, v in CONFIGS if "," not in v} == {
        (name, v) for name, v in listed if not v.startswith(",")
    }


@pytest.mark.parametrize(
    "spec,width",
    [
        ("swin_k400", "tiny"),
        ("swin_k400:base", "base"),
        ("swin_k400:base,official", "base"),
        ("swin_k400.py:small", "small"),
        ("configs/swin_k400.py:small", "small"),
        (f"{loading.SHIPPED}/swin_k400.py:large", "large"),
    ],
)
def test_a_shipped_config_is_found_from_any_folder(spec, width, elsewhere):
    assert loading.load(spec).model.variant == width


@pytest.mark.parametrize("folder", [".", "configs", "configs/mine"])
def test_a_file_of_ones_own_uses_the_shipped_functions(folder, elsewhere):
    (elsewhere / folder).mkdir(parents=True, exist_ok=True)
    path = elsewhere / folder / "mine.py"
    path.write_text(OWN)
    assert loading.load(str(path)).batch == 4
    assert loading.load(f"./{folder}/mine.py:large").batch == 8
    assert "configs" not in sys.modules


def test_a_file_of_ones_own_uses_the_files_beside_it(elsewhere):
    folder = elsewhere / "configs"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "sizes.py").write_text("BATCH = 3")
    (folder / "mine.py").write_text(
        OWN.replace("import base", "import base, sizes").replace("4", "sizes.BATCH")
    )
    assert loading.load("configs/mine.py").batch == 3
    # Another project's `base` does not get into a shipped config.
    (folder / "base.py").write_text("raise RuntimeError('not this one')")
    assert loading.load("quickstart").batch == 16


def test_other_files_here_do_not_hide_a_shipped_config(elsewhere):
    (elsewhere / "quickstart").mkdir()
    (elsewhere / "quickstart.txt").touch()
    assert loading.load("quickstart").batch == 16


@pytest.mark.parametrize(
    "spec,message",
    [
        ("swin_k40", 'no shipped config has this name, .* Did you mean "swin_k400"'),
        ("swin_k400:tinny", 'no variant "tinny". Did you mean "tiny"'),
        ("swin_k710:small", 'swin_k710.py has no variants; leave ":small" out'),
        ("mine", 'for the file, write "./mine.py"'),
        ("./mime.py", 'mime.py: no such file. Did you mean "mine"'),
        (".", "this is a folder"),
        ("mine.py", r"mine.py:2: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("syntax.py", "syntax.py:1: SyntaxError"),
        ("empty.py", r"empty.py: a config file needs a function get_config\(\)"),
        ("none.py", "returns NoneType, not a ConfigDict"),
        ("missing.py", "missing.py:2: FileNotFoundError"),
    ],
)
def test_what_is_wrong_is_one_line(spec, message, elsewhere):
    texts = {
        "mine": "\nimport nothing_like_it",
        "syntax": "def get_config(:",
        "empty": "",
        "none": "def get_config():\n    c = {}",
        "missing": "def get_config():\n    return open('no_such_file')",
    }
    for name, text in texts.items():
        (elsewhere / f"{name}.py").write_text(text)
    with pytest.raises(UserError, match=message):
        loading.load(spec)


def test_a_plain_dict_is_a_config(elsewhere):
    (elsewhere / "plain.py").write_text("def get_config():\n    return {'batch': 2}")
    config = loading.load("plain.py")
    assert isinstance(config, ConfigDict) and config.is_locked
