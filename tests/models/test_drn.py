"""Words of a sentence in DRN; the goldens compare the whole network."""

import jax
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import drn


def test_padding_of_a_sentence_changes_nothing():
    lstm = drn.Lstm(4, reverse=True)
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    variables = lstm.init(jax.random.key(0), x, mask)
    out = lstm.apply(variables, x, mask)
    alone = lstm.apply(variables, x[:1, :3], mask[:1, :3])
    np.testing.assert_allclose(out[0, :3], alone[0], atol=1e-6)
    assert not np.any(out[0, 3:])


def test_a_vocabulary_has_all_words_of_the_data():
    with pytest.raises(UserError, match="vocabulary=3, but the data have 4 words"):
        drn.build("test", num_classes=4, vocabulary=3)
    assert drn.build("test", num_classes=4).backbone.vocabulary == 4
