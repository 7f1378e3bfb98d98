"""The reference of config keys is complete and current."""

import subprocess
import sys
from pathlib import Path

import pytest

from configs import quickstart
from jaxvid import plug
from jaxvid.config import reference

DOCS = Path(__file__).parents[2] / "docs" / "config.md"
COMMAND = [sys.executable, "-m", "jaxvid.tools.show_config"]


def test_the_document_is_current():
    """Otherwise: python -m jaxvid.tools.show_config --explain --markdown > docs/config.md"""
    assert DOCS.read_text() == reference.markdown(reference.everything()) + "\n"


def test_everything_has_a_section():
    titles = {section.title for section in reference.everything()}
    for package, _, title in reference.PARTS:
        assert {f"{title}/{name}" for name in plug.names(package)} <= titles


@pytest.mark.parametrize("style", [reference.text, reference.markdown])
def test_a_config_is_explained_with_its_values(style):
    config = quickstart.get_config()
    config.batch = 48
    words = style(reference.of_config(config.to_dict()))
    assert "48" in words and "Samples of one optimizer step" in words
    assert "task.smoothing" in words and "data.recipe.crops" in words
    assert "recipe.sigma" not in words and "streams" not in words  # of other recipes


def test_the_command_explains_and_can_be_cut_short():
    done = subprocess.run(
        [*COMMAND, "--explain", "--config=quickstart", "--config.epochs=7"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "config.epochs = 7.0\n    Length of the training" in done.stdout
    process = subprocess.Popen(
        [*COMMAND, "--explain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
