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
