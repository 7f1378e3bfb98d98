"""The rename tables place every tensor of the published models and export them; all is traced."""

import re

import jax
import numpy as np
import pytest

from jaxvid.weights.convert import convert, export
from tests.parity import check, manifests
from tests.parity.cases import CASES, QUICK

MANIFESTS = manifests.read()


def test_every_row_has_a_manifest():
    """`python -m tests.parity --goldens DIR --write-manifests` writes them."""
    assert MANIFESTS.keys() == CASES.keys()


def kind(name):
    """Return the families of a row and of its backbone, and the upstream of its names."""
    case = CASES[name]
    inner = case.model.get("backbone") or {}
    return case.model["name"], inner.get("name"), case.upstream


FIRST = {kind(name): name for name in reversed(MANIFESTS)}.values()  # of each kind


def marks(name):
    return [] if name in QUICK else pytest.mark.long if name in FIRST else pytest.mark.slow


@pytest.mark.parametrize("name", [pytest.param(n, marks=marks(n)) for n in MANIFESTS])
def test_every_tensor_has_a_place_and_is_exported_as_published(name):
    case, manifest = CASES[name], MANIFESTS[name]
    net = check.build(case, manifest["num_classes"])
    spec = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, "float32"),
        manifest["input"],
        is_leaf=lambda shape: isinstance(shape, list),
    )
    variables = check.shapes(net, jax.eval_shape(case.inputs, spec))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}

    # Half floats, which here stand for themselves only: half of the memory.
    variables = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, "float16"), variables)
    tensors = {
        name: np.broadcast_to(np.zeros((), "float16" if dtype == "float32" else dtype), shape)
        for name, shape, dtype in manifest["tensors"]
    }
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.zeros((), np.int64)
        for name in tensors
        if name.endswith("running_mean")
    }
    table = check.table(case, net)
    loaded, coverage = convert(tensors | counters, variables, table, net=net)
    assert coverage.parameters == coverage.total
    assert coverage.adapted == case.adapted

    exported = export(loaded, table, net)
    names = {"float16": "float32"}
    got = [[k, list(v.shape), names.get(v.dtype.name, v.dtype.name)] for k, v in exported.items()]
    if case.adapted:  # they have other shapes than the published ones
        return
    used = [row for row in manifest["tensors"] if not re.fullmatch(case.unused, row[0])]
    assert [row for row in got if row[0] not in counters] == used
