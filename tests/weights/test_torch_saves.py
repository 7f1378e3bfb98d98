"""Files as PyTorch and NumPy write them: read equal, and without a copy in memory."""

import argparse
import collections
import datetime
import subprocess
import sys
import types
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.weights import safetensors_file, torch_file
from tests.weights.pickle_bytes import mapping, plain, storage, tensor, write_legacy, write_zip

FORMATS = ("zip", "legacy")


def test_npz(tmp_path):
    arrays = {
        "params/kernel": np.arange(12.0).reshape(3, 4),
        "f": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "half": np.arange(3).astype(ml_dtypes.bfloat16),
        "scalar": np.array(2, np.float32),
        "none": np.zeros((0, 2)),
        "flag": np.array([True, False]),
    }
    np.savez(tmp_path / "x.npz", **arrays)
    got = torch_file.load(tmp_path / "x.npz")
    assert list(got) == list(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(got[key], array, strict=True)
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1000))
    with pytest.raises(UserError, match="compressed"):
        torch_file.load(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=np.array([{}], object))
    with pytest.raises(UserError, match="not an array of numbers"):
        torch_file.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"(4,)", b"(5,)"), (b"<f4", b"<f3"), (b"<f4", b"|O4"), (b"NUMPY\1", b"NUMPY\3")],
)
def test_damaged_npz(tmp_path, old, new):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(4, np.float32))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(UserError, match=r"x\.npz: a\.npy is damaged"):
        torch_file.load(path)


def test_safetensors_under_any_name(tmp_path):
    for file in ("x.safetensors", "x.bin"):
        safetensors_file.write(tmp_path / file, {"module.fc.bias": np.arange(6)})
        np.testing.assert_array_equal(torch_file.load(tmp_path / file)["fc.bias"], np.arange(6))
    (tmp_path / "y.safetensors").write_bytes(b"12")
    with pytest.raises(UserError, match="not a safetensors file"):
        torch_file.load(tmp_path / "y.safetensors")


# ------------------------------------------------------------------------------ memory

MEMORY = r"""
import re, sys
from pathlib import Path
import numpy as np
from jaxvid.weights import torch_file
def peak():  # getrusage would count what the parent had before the fork
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
start = peak()
tensors = torch_file.load(sys.argv[1])
loaded = peak()
assert sum(float(a[::1024].sum()) for a in tensors.values()) == 0
assert not {"torch", "jax"} & sys.modules.keys()
print(loaded - start, peak() - start)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", FORMATS)
def test_loading_reads_only_what_is_used(tmp_path, kind):
    """Of 200 MiB, loading takes next to nothing and using all of it takes no copy."""
    count, numel = 4, 50 * 2**18
    view = [plain(None)] if kind == "legacy" else []
    places = {f"{i}": storage("Float", f"{i}", numel, *view) for i in range(count)}
    body = mapping({k: tensor(p, 0, (numel,), (1,)) for k, p in places.items()})
    content, path = bytes(4 * numel), tmp_path / "x.pth"
    if kind == "zip":
        write_zip(path, body, dict.fromkeys(places, content))
    else:
        write_legacy(path, body, dict.fromkeys(places, (numel, content)))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True
    )
    loaded, used = map(float, done.stdout.split())
    assert loaded < 10
    assert 190 < used < 220


# ----------------------------------------------------------------- written by PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def save(torch, value, path, kind, protocol=2):
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")
    return path


def check(got, want, torch):
    assert list(got) == list(want)
    for key, value in want.items():
        value, array = value.detach(), got[key]
        assert array.shape == tuple(value.shape), key
        assert f"torch.{array.dtype}" == str(value.dtype), key
        wide = value.to(torch.complex128 if value.is_complex() else torch.float64).numpy()
        np.testing.assert_array_equal(array.astype(wide.dtype), wide, err_msg=key)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_shape_that_torch_saves(tmp_path, torch, kind, protocol):
    base = torch.arange(24.0).reshape(4, 6)
    tagged = torch.nn.Parameter(torch.randn(2))
    tagged.tag = "x"
    want = {
        "base": base,
        "transposed": base.t(),
        "part": base[1:3, 2:5],
        "steps": base[::2, ::3],
        "expanded": torch.ones(1, 3).expand(5, 3),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3.5),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "tagged": tagged,
        "buffer": torch.nn.Buffer(torch.randn(3)),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    got = torch_file.load(save(torch, want, tmp_path / "x.pth", kind, protocol))
    check(got, want, torch)
    assert np.shares_memory(got["base"], got["transposed"])


# The old format has no place for the others.
DTYPES = [("zip", dtype) for dtype in torch_file.DTYPES]
DTYPES += [("legacy", dtype) for dtype in sorted({*torch_file.STORAGES.values()})]


@pytest.mark.parametrize(("kind", "dtype"), DTYPES)
def test_every_dtype_that_torch_saves(tmp_path, torch, kind, dtype):
    want = {"odd": torch.zeros(3, dtype=torch.bool)}  # the storage after it is not aligned
    want["x"] = torch.tensor([[0, 1, 2], [1, 4, 1]]).to(getattr(torch, dtype)).t()
    path = save(torch, want, tmp_path / "x.pth", kind)
    check(torch_file.load(path), want, torch)


@pytest.mark.parametrize("kind", FORMATS)
def test_modules_and_optimizers(tmp_path, torch, kind):
    net = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 3), torch.nn.BatchNorm3d(4)).half()
    optimizer = torch.optim.AdamW(net.parameters())
    sum(p.sum() for p in net.parameters()).backward()
    optimizer.step()
    value = {"model_state": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    check(torch_file.load(save(torch, value, tmp_path / "x.pyth", kind)), net.state_dict(), torch)


def test_lazily_conjugated_tensors_are_refused(tmp_path, torch):
    value = {"x": torch.ones(2, dtype=torch.complex64).conj()}
    with pytest.raises(UserError, match="resolve_conj"):
        torch_file.load(save(torch, value, tmp_path / "x.pth", "zip"))


def test_whole_modules_are_refused(tmp_path, torch):
    path = save(torch, torch.nn.Linear(2, 2), tmp_path / "x.pth", "zip")
    with pytest.raises(UserError, match=r"torch\.nn\.modules\.linear\.Linear.* state_dict\(\)"):
        torch_file.load(path)


# Like mmengine's log buffer, which keeps arrays and its own methods.
HISTORY_BUFFER = """
import numpy as np

class HistoryBuffer:
    def __init__(self):
        self.history, self.statistics = np.arange(3.0), {"mean": HistoryBuffer.mean}

    def mean(self):
        return 0

    def __setstate__(self, state):
        raise AssertionError("the reader ran the class")
"""


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", FORMATS)
def test_checkpoints_of_mmengine(tmp_path, torch, monkeypatch, kind, protocol):
    module = types.ModuleType("mmengine.logging.history_buffer")
    for parent in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, parent, module)
    exec(HISTORY_BUFFER, module.__dict__)
    weights = collections.OrderedDict({"backbone.conv1.weight": torch.randn(2, 3)})
    value = {
        "meta": {"epoch": 3, "time": datetime.datetime(2024, 1, 2), "seed": np.int64(4)},
        "args": argparse.Namespace(lr=np.float32(0.1)),
        "state_dict": weights,
        "message_hub": {"log_scalars": {"train/loss": module.HistoryBuffer()}},
        "default": collections.defaultdict(list, {"x": [torch.Size([1]), torch.device("cpu")]}),
        "dtype": torch.bfloat16,
    }
    path = save(torch, value, tmp_path / "epoch_3.pth", kind, protocol)
    check(torch_file.load(path), weights, torch)
