"""Feature banks: what is around a key frame, and banks that no longer fit."""

import dataclasses

import numpy as np
import pytest

from jaxvid.data.annotations import feature_bank
from jaxvid.data.annotations.feature_bank import Entries
from jaxvid.data.transforms.bank import SampleBank
from jaxvid.errors import UserError

VIDEOS = ("a", "b")
VIDEO, TIME, COUNTS = np.array([0, 1, 0]), np.array([902.0, 905.0, 901.0]), np.array([2, 1, 3])
MADE = dict(backbone="some", weights="1234", channels=4, least=0.9)


def rows():
    return [np.full((n, 4), time, np.float16) for n, time in zip(COUNTS, TIME, strict=True)]


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a,902,0,0,1,1,1\n")
    return [path]


@pytest.fixture
def folder(tmp_path, files):
    found = tmp_path / "bank"
    feature_bank.write(found, rows(), VIDEOS, VIDEO, TIME, np.cumsum(COUNTS), MADE, files)
    return found


def test_a_bank_is_read_by_video(folder, files):
    bank = feature_bank.read(folder, VIDEOS, files)
    assert bank.made == MADE
    found = bank.around("a", 902.0)
    assert found.times.tolist() == [0, 0, -1, -1, -1]
    np.testing.assert_array_equal(found.features[found.rows][:, 0], [902, 902, 901, 901, 901])
    assert bank.around("b", 900.0).times.tolist() == [5]


def test_a_bank_that_does_not_fit_is_an_error(folder, files):
    with pytest.raises(UserError, match='bank: no features of the video "c"; make the bank again'):
        feature_bank.read(folder, ("a", "c"), files)
    with pytest.raises(UserError, match=r"no feature bank there; make it with .*make_bank"):
        feature_bank.read(folder.parent / "other", VIDEOS, files)
    files[0].write_text("a,902,0,0,1,1,2\n")
    with pytest.raises(UserError, match=r"a stale feature bank: train\.csv has changed since"):
        feature_bank.read(folder, VIDEOS, files)
    np.save(folder / "features.npy", np.zeros((5, 4), np.float16))
    with pytest.raises(UserError, match=r"features\.npy has \(5, 4\), not 6 boxes"):
        feature_bank.read(folder, VIDEOS, files)
    (folder / "index.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="not a feature bank"):
        feature_bank.read(folder, VIDEOS, files)


def test_a_bank_that_is_made_again_is_used_at_once(folder, files):
    assert feature_bank.read(folder, VIDEOS, files).around("b", 0).features[2, 0] == 905
    again = [x + 1 for x in rows()]
    feature_bank.write(folder, again, VIDEOS, VIDEO, TIME, np.cumsum(COUNTS), MADE, files)
    assert feature_bank.read(folder, VIDEOS, files).around("b", 0).features[2, 0] == 906


# A window of it


def window(times, window=4, entries=2, train=False, seed=0):
    """The rows at each time of the window, from 1 on; 0 is nobody."""
    features = np.arange(1, len(times) + 1, dtype=np.float16)[:, None]
    entry = Entries(features, np.arange(len(times)), np.array(times, float))
    step = SampleBank(window, entries, 1, train)
    return step({"bank": entry}, np.random.default_rng(seed))["bank"].reshape(window, entries)


def test_half_of_the_window_is_before_the_key_frame():
    found = window([-3, -2, -1, 0, 1, 2])
    assert found.tolist() == [[2, 0], [3, 0], [4, 0], [5, 0]]
    assert window([-0.4, 0.4, 0.6]).tolist() == [[0, 0], [0, 0], [1, 2], [3, 0]]


def test_training_draws_people_and_evaluation_takes_the_first():
    assert window([0, 0, 0, 0])[2].tolist() == [1, 2]
    drawn = {tuple(window([0, 0, 0, 0], train=True, seed=s)[2].tolist()) for s in range(20)}
    assert len(drawn) > 3


def test_a_window_without_a_bank_and_the_reverse_are_errors():
    step, rng = SampleBank(4, 2, 1), np.random.default_rng(0)
    entry = Entries(np.zeros((1, 1)), np.zeros(1, int), np.zeros(1))
    with pytest.raises(UserError, match=r"needs a feature bank: set config\.data\.train\.bank"):
        step({}, rng)
    with pytest.raises(UserError, match="bank_window=0 does not use"):
        dataclasses.replace(step, window=0)({"bank": entry}, rng)
    with pytest.raises(UserError, match=r"1 channels, but config\.data\.recipe\.bank_channels=3"):
        dataclasses.replace(step, channels=3)({"bank": entry}, rng)
    assert dataclasses.replace(step, window=0)({}, rng) == {}
