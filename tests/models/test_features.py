"""The page on features has the shapes of all families."""

from pathlib import Path

import pytest

from tests.models import features

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_every_family_is_on_the_page():
    rows = PAGE.read_text().splitlines()
    missing = [f for f in features.families() if not any(r.startswith(f"| `{f}` |") for r in rows)]
    assert not missing, "python -m tests.models.features > docs/features.md"


def test_a_row_is_a_trace():
    assert features.shapes("tsn", "r18") == ("(3, 224, 224)", "(3, 7, 7, 512)")
    assert "| `tsn` | r18, r34 | (3, 224, 224) | (3, 7, 7, 512) |" in PAGE.read_text()


@pytest.mark.slow
def test_the_page_is_up_to_date():
    assert PAGE.read_text() == "\n".join(features.page()) + "\n"
