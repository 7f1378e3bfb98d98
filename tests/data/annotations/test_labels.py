"""Labels of multi-label sets: as the 0/1 matrix they stand for, in a hundredth of its memory."""

import numpy as np
import pytest

from jaxvid.data.annotations.labels import joined, looked_for, ragged

ROWS = [[2, 0], [], [1], [1, 1, 2], []]
DENSE = [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_rows_are_those_of_a_matrix():
    labels = ragged(ROWS, 4)
    assert len(labels) == 5 and labels[3].dtype == np.int32
    for i in range(5):
        assert labels[i].tolist() == DENSE[i]
    assert np.array_equal(list(labels), DENSE)
    with pytest.raises(IndexError):
        labels[5]


def test_pairs_are_its_nonzero_cells():
    labels = ragged(ROWS, 4)
    rows, classes = np.nonzero(np.array(DENSE))
    assert labels.rows.tolist() == rows.tolist() and labels.values.tolist() == classes.tolist()


def test_parts_become_one():
    parts = [ragged(rows, 4) for rows in (ROWS[:2], [], ROWS[2:4], ROWS[4:])]
    assert np.array_equal(list(joined(parts)), DENSE)
    assert joined([np.arange(2), np.arange(3)]).tolist() == [0, 1, 0, 1, 2]


def test_what_was_looked_for_are_the_categories_of_what_was_found():
    names = ("a/x", "b/x", "a/y", "c/z")
    assert looked_for(names, np.array([0, 0, 1, 0])).tolist() == [1, 0, 1, 0]
    assert looked_for(names, np.array([1, 1, 0, 0])).tolist() == [1, 1, 1, 0]
    assert looked_for(names, np.zeros(4)).tolist() == [0, 0, 0, 0]
    assert looked_for(names, np.ones(4)).dtype == np.float32


def test_memory_is_that_of_the_labels():
    labels = ragged([[i % 3142, (i * 7) % 3142] for i in range(10_000)], 3142)
    assert labels.values.nbytes + labels.ends.nbytes < 200_000  # 0/1 bytes: 31 million
