"""Perception Encoder: the rotations of patches."""

import numpy as np

from jaxvid.models.pe import angles

SLOW = 10000**-0.5  # of the second of two frequencies


def turns(column, row):
    """Angles of eight channels, pairwise equal."""
    return [x * f for x in (column, row) for f in (1, 1, SLOW, SLOW)]


def test_columns_turn_the_first_half_of_the_channels_and_rows_the_second():
    found = angles(2, 2, 1, 8)
    want = [turns(0, 0), turns(1, 1), turns(2, 1), turns(1, 2), turns(2, 2)]  # class token first
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_without_a_class_token_places_count_from_0():
    want = [turns(0, 0), turns(1, 0), turns(0, 1), turns(1, 1)]
    np.testing.assert_allclose(angles(2, 2, 0, 8), want, rtol=1e-6)


def test_frames_of_another_size_are_stretched():
    want = [turns(0, 0), turns(3, 3), turns(6, 3), turns(3, 6), turns(6, 6)]
    np.testing.assert_allclose(angles(2, 6, 1, 8), want, rtol=1e-6)
