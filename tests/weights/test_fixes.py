"""Changes of published tensors, and their ways back."""

import numpy as np
import pytest

from jaxvid.weights.names import fixes

TENSORS = {
    "layer.0.q.weight": np.arange(6.0).reshape(2, 3),
    "layer.0.k.weight": np.arange(6.0).reshape(2, 3) + 10,
    "layer.0.v.weight": np.arange(6.0).reshape(2, 3) + 20,
    "layer.1.q.weight": np.zeros((2, 3)),  # alone, so it stays
    "layer.0.equ.weight": np.arange(3.0),
    "pos": np.arange(12.0).reshape(1, 4, 3),
    "proj": np.arange(6.0).reshape(3, 2),
}
JOINED = fixes.joined(("q", "k", "v"), "qkv")


def test_parts_are_joined_along_their_first_axis():
    found = JOINED[0](TENSORS)
    whole = np.concatenate([TENSORS[f"layer.0.{part}.weight"] for part in "qkv"])
    np.testing.assert_array_equal(found["layer.0.qkv.weight"], whole)
    assert found.keys() - TENSORS.keys() == {"layer.0.qkv.weight"}
    gone = {f"layer.0.{part}.weight" for part in "qkv"}
    assert TENSORS.keys() - found.keys() == gone


def test_batches_of_one_and_transposed_matrices():
    there, _ = fixes.chain(fixes.without_batch("pos"), fixes.transposed("proj"))
    found = there(TENSORS)
    np.testing.assert_array_equal(found["pos"], TENSORS["pos"][0])
    np.testing.assert_array_equal(found["proj"], TENSORS["proj"].T)
    np.testing.assert_array_equal(found["layer.0.equ.weight"], TENSORS["layer.0.equ.weight"])


def test_former_and_present_names():
    there, back = fixes.renamed(((r"layer\.", "layers."), (r"\.q\.", ".query.")))
    found = there(TENSORS)
    assert {"layers.0.query.weight", "layers.0.k.weight", "pos"} <= found.keys()
    assert there(found).keys() == back(found).keys() == found.keys()


@pytest.mark.parametrize(
    "fix",
    [
        JOINED,
        fixes.without_batch("pos"),
        fixes.transposed("proj"),
        fixes.chain(JOINED, fixes.transposed("layer.0.qkv.weight")),
    ],
)
def test_the_way_back(fix):
    there, back = fix
    found = back(there(TENSORS))
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_tensors_are_parted_by_relative_lengths():
    """Only those whose whole name matches; all parts are needed on the way back."""
    there, back = fixes.parted(r"dec\..*", "in_proj", {"q.weight": 1, "kv.weight": 2})
    tensors = {"dec.0.in_proj": np.arange(6.0).reshape(6, 1), "enc.in_proj": np.zeros((3, 1))}
    parted = there(tensors)
    assert {name: x.shape for name, x in parted.items()} == {
        "dec.0.q.weight": (2, 1),
        "dec.0.kv.weight": (4, 1),
        "enc.in_proj": (3, 1),
    }
    assert parted["dec.0.kv.weight"][0] == 2
    restored = back(parted)
    assert restored.keys() == tensors.keys()
    for name, x in restored.items():
        np.testing.assert_array_equal(x, tensors[name])
    assert back({"dec.0.q.weight": np.zeros((2, 1))}).keys() == {"dec.0.q.weight"}


def test_only_axes_of_length_one_are_dropped():
    there, back = fixes.without_ones("conv.*", 2, 3)
    tensors = {"conv1": np.zeros((4, 3, 1, 1)), "conv2": np.zeros((4, 3, 5, 5)), "fc": np.zeros(1)}
    found = there(tensors)
    assert [x.shape for x in found.values()] == [(4, 3), (4, 3, 5, 5), (1,)]
    assert back({"conv1": found["conv1"]})["conv1"].shape == (4, 3, 1, 1)
