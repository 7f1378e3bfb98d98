"""Where the real files that some tests compare with lie."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def data_folder() -> Path:
    if not (folder := os.environ.get("JAXVID_DATA")):
        pytest.skip("set JAXVID_DATA to the folder of real annotations")
    return Path(folder)
