"""A wheel holds every file of jaxvid, configs and data_prep that something reads."""

import configparser
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def tracked() -> list[Path]:
    """Files under version control, or all there are where there is no git."""
    folders = ("jaxvid", "configs", "data_prep")
    try:
        done = subprocess.run(
            ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return [Path(line) for line in done.stdout.splitlines()]
    except (OSError, subprocess.CalledProcessError):
        found = (p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file())
        return [p.relative_to(ROOT) for p in found if "__pycache__" not in p.parts]


def packaged(file: Path) -> bool:
    """Whether setup.cfg puts a file into a wheel."""
    include = SETUP["options.packages.find"]["include"].split()
    data = SETUP["options.package_data"]
    for folder in file.parents:
        package = ".".join(folder.parts)
        if (ROOT / folder / "__init__.py").is_file() and any(fnmatch(package, i) for i in include):
            patterns = f"{data.get('*', '')},{data.get(package, '')}".split(",")
            inside = str(file.relative_to(folder))
            own = file.suffix == ".py" and folder == file.parent
            if own or any(fnmatch(inside, p.strip()) for p in patterns):
                return True
    return False


def test_files_are_packaged():
    files = tracked()
    assert len(files) > 200
    assert [str(f) for f in files if not packaged(f)] == []


@pytest.mark.parametrize("file", ["tests/conftest.py", "jaxvid/notes.rst", "launch/local.sh"])
def test_others_are_not(file):
    assert not packaged(Path(file))


def test_the_console_command_exists():
    module, _, name = SETUP["options.entry_points"]["console_scripts"].split()[-1].partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))
