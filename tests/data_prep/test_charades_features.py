"""The features of Charades-STA, from files of PyTorch to .npy."""

import numpy as np
import pytest

from data_prep.charades import features
from jaxvid.errors import UserError
from tests.weights.pickle_bytes import mapping, storage, tensor, write_zip

SIX = np.arange(6, dtype=np.float32).reshape(2, 3)


def write(path, body):
    return write_zip(path, body, {"0": SIX.tobytes()})


def test_each_tensor_becomes_an_array(tmp_path, capsys):
    write(tmp_path / "a.pt", tensor(storage("Float", "0", 6)))
    features.main([str(tmp_path)])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), SIX)
    features.main([str(tmp_path)])
    assert "0 of 1 files converted" in capsys.readouterr().out


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no \.pt files of features"):
        features.convert(tmp_path)
    path = write(tmp_path / "a.pt", mapping({"x": tensor(storage("Float", "0", 6))}))
    with pytest.raises(UserError, match="expected a single tensor, not a dict"):
        features.convert(tmp_path)
    write(path, tensor(storage("Float", "0", 6), shape=(6,), strides=(1,)))
    with pytest.raises(UserError, match=r"expected a tensor \(rows, channels\)"):
        features.convert(tmp_path)
