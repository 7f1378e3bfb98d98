"""What shipped configs share is a function, not a copy."""

from difflib import SequenceMatcher
from itertools import combinations

import pytest

from jaxvid.config import loading

MOST = 10  # lines in a row that two configs may have in common
NAMES = [row.name for row in loading.shipped()]


def shared(one: str, other: str) -> list[str]:
    """Return the longest run of identical lines in two texts."""
    a, b = one.splitlines(), other.splitlines()
    found = SequenceMatcher(None, a, b, autojunk=False).find_longest_match()
    return a[found.a : found.a + found.size]


def test_no_two_configs_share_more_than_ten_lines():
    texts = {name: (loading.SHIPPED / f"{name}.py").read_text() for name in NAMES}
    pairs = {pair: shared(*(texts[name] for name in pair)) for pair in combinations(NAMES, 2)}
    assert {pair: lines for pair, lines in pairs.items() if len(lines) > MOST} == {}
    assert any(pairs.values())  # the search finds something where there is something
    assert shared("a\nb\nc\nd", "x\nb\nc\ny") == ["b", "c"]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_one_page(name):
    assert len((loading.SHIPPED / f"{name}.py").read_text().splitlines()) <= 130


def test_files_of_ones_own_may_still_import_the_former_common(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from configs import common\n\ndef get_config():\n"
        "    c = common.base()\n    c.optim = common.sgd(0.1, 64)\n    return c\n"
    )
    assert loading.load(str(path)).optim.base_batch == 64
