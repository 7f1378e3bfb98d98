"""What every family promises: variants, shapes, dtypes, overrides and rename tables.

All of it is traced; nothing is compiled.
"""

import functools
import inspect
import pkgutil
import re
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import models, plug
from jaxvid.errors import UserError
from jaxvid.weights import resolve
from jaxvid.weights.convert import Weights, convert, export
from tests.conftest import fill

FAMILIES = {m.name: plug.module("models", m.name) for m in pkgutil.iter_modules(models.__path__)}
# Those of published size are traced by tests/weights/test_zoo.py too.
VARIANTS = [
    pytest.param(name, variant, marks=() if "test" in variant else pytest.mark.slow)
    for name, module in FAMILIES.items()
    for variant in module.VARIANTS
]
TABLES = [(name, upstream) for name, module in FAMILIES.items() for upstream in module.WEIGHTS]
CLASSES = 7
TORCH_LEAF = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "mean": "running_mean",
    "var": "running_var",
}

each_family = pytest.mark.parametrize("family", FAMILIES)
each_table = pytest.mark.parametrize("family,upstream", TABLES)


def is_composed(family):
    """Return whether a family has no backbone of its own, and its `build` needs another one."""
    return not hasattr(FAMILIES[family], "backbone")


def spec(family, variant="test", **overrides: Any) -> dict[str, Any]:
    """The spec of a model, with overrides of its backbone or its head."""
    if not is_composed(family):
        return dict(name=family, variant=variant, **overrides)
    own = inspect.signature(FAMILIES[family].build).parameters
    given = FAMILIES[family].VARIANTS[variant]
    inner = {k: v for k, v in overrides.items() if k not in own}
    head = {k: v for k, v in overrides.items() if k in own}
    return {"name": family, **given, **head, "backbone": {**given["backbone"], **inner}}


def make(family, variant="test", attr="build", dtype=jnp.float32, **overrides: Any):
    model = spec(family, variant, **overrides)
    if attr == "backbone" and is_composed(family):
        model = model["backbone"]
    return plug.load("models", model, attr, num_classes=CLASSES, dtype=dtype)


def inputs(family, variant="test"):
    """Shapes of a batch of two."""
    return FAMILIES[family].example(variant)


def taken(model, arrays):
    """Those that a model takes: a backbone sees neither the boxes nor the text."""
    known = inspect.signature(type(model).__call__).parameters
    return {k: x for k, x in arrays.items() if k in known or "named" in known}


def trace(family, model, variant="test"):
    """Shapes of the variables."""
    arrays = taken(model, inputs(family, variant))
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), **x, train=False), arrays)


def forward(model, train=False):
    """(variables, inputs) -> output; updates of batch statistics are dropped."""

    def apply(variables, inputs):
        rngs = {"dropout": jax.random.key(0)} if train else {}
        mutable = [k for k in variables if k != "params"] if train else False
        out = model.apply(variables, **inputs, train=train, rngs=rngs, mutable=mutable)
        return out[0] if train else out

    return apply


def trace_both(family, model, variant="test"):
    """Shapes of the output, and of the variables."""
    arrays = taken(model, inputs(family, variant))
    start = functools.partial(model.init_with_output, jax.random.key(0), train=False)
    return jax.eval_shape(lambda x: start(**x), arrays)


def trace_training(family, model, variables):
    """Shapes of the output in training, and the number of parts whose activations are not kept.

    These are computed again by the backward pass; parts inside of others count, too.
    """
    traced = jax.make_jaxpr(forward(model, train=True), return_shape=True)
    jaxpr, out = traced(variables, inputs(family))
    return out, len(re.findall(r"\bremat\w*\[", str(jaxpr)))


def names(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@functools.cache
def variables_of(family):
    """Of the test variant."""
    return trace(family, make(family))


@functools.cache
def trained(family):
    """Return the trace of a training step of the test variant."""
    return trace_training(family, make(family), variables_of(family))


def load(tensors, variables, table, net=None):
    return convert(tensors, variables, table, net=net)[0]


# Shapes and dtypes


@each_family
def test_a_family_has_what_others_rely_on(family):
    module = FAMILIES[family]
    assert "test" in module.VARIANTS
    assert all(isinstance(table, Weights) for table in module.WEIGHTS.values())
    assert callable(module.build)
    assert not is_composed(family) or "backbone" in inspect.signature(module.build).parameters
    for variant in module.VARIANTS:
        assert {x.shape[0] for x in module.example(variant).values()} == {2}
    parameters = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(variables_of(family)))
    assert parameters < 100_000  # "test" is tiny: the suite fills and compiles it many times


@pytest.mark.parametrize("family,variant", VARIANTS)
def test_every_variant_gives_logits(family, variant):
    """Or, for what knows no classes, such as localization and masked pre-training, others."""
    out, _ = trace_both(family, make(family, variant), variant)
    kinds = {(*x.shape[:1], x.dtype.name) for x in jax.tree.leaves(out)}
    assert kinds - {("float32",)} == {(2, "float32")}  # the scale of similarities is a number
    if not inputs(family).keys() & {"feature", "text", "hidden"}:
        out, *_ = out if isinstance(out, tuple) else (out,)  # others are auxiliary
        assert (out.shape[0], out.shape[-1]) == (2, CLASSES)  # of a clip, or of each box in it


@each_family
def test_training_gives_the_shapes_of_evaluation(family):
    arrays, variables = inputs(family), variables_of(family)
    assert trained(family)[0] == jax.eval_shape(forward(make(family)), variables, arrays)


@each_family
def test_the_backbone_gives_a_feature_map(family):
    maps, variables = trace_both(family, make(family, attr="backbone"))
    given = max(len(x.shape) for x in inputs(family).values())
    for out in jax.tree.leaves(maps):  # a map a pathway
        assert len(out.shape) == given
        assert out.shape[0] == 2
    # It is the backbone of the recognizer, so features can be had from a trained one.
    whole = {k: v["backbone"] for k, v in variables_of(family).items() if "backbone" in v}
    assert names(variables) == names(whole)


@each_family
def test_bfloat16_keeps_float32_parameters_and_logits(family):
    outputs, variables = trace_both(family, make(family, dtype=jnp.bfloat16))
    assert names(variables) == names(variables_of(family))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert {out.dtype for out in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
    maps, _ = trace_both(family, make(family, attr="backbone", dtype=jnp.bfloat16))
    assert {out.dtype for out in jax.tree.leaves(maps)} == {jnp.dtype("bfloat16")}


@each_family
def test_remat_keeps_the_parameters(family):
    """The model takes those of the one without, or the trace would end in an error."""
    out, parts = trace_training(family, make(family, remat=True), variables_of(family))
    wanted, always = trained(family)  # some activations always are
    assert out == wanted and parts > always


# Overrides


@each_family
def test_overrides_reach_the_backbone(family):
    plain = make(family).backbone
    numbers: dict[str, Any] = {
        f.name: not value if isinstance(value, bool) else value + 0.25
        for f in fields(plain)
        if isinstance(value := getattr(plain, f.name), bool | float)
    }
    assert numbers
    for key, value in numbers.items():
        assert getattr(make(family, **{key: value}).backbone, key) == value
        assert getattr(make(family, attr="backbone", **{key: value}), key) == value


@each_family
@pytest.mark.parametrize("attr", ["build", "backbone"])
def test_an_unknown_override_is_an_error_that_names_the_nearest(family, attr):
    with pytest.raises(UserError, match=r'models/\w+ takes no "remaat".*"remat"'):
        make(family, attr=attr, remaat=True)


# Rename tables


def torch_names(path, rows):
    """All names that the rows give a leaf 'params/backbone/norm/scale', read backwards."""
    _, _, path = path.partition("/")
    prefix, _, leaf = path.rpartition("/")
    found = []
    for source, target in rows:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\w+)", re.escape(target))
        whole = f"{prefix}/{TORCH_LEAF.get(leaf, leaf)}"
        match = re.match(pattern + r"(?=/|$)", whole)
        if match:
            rest = whole[match.end() :].replace("/", ".")
            rank = match.end(), -target.count("{")
            found.append((rank, source.format(**match.groupdict()) + rest))
    best = max((rank for rank, _ in found), default=None)
    return [name for rank, name in found if rank == best]


def to_torch(array, path):
    """(*space, in, out) -> (out, in, *space)."""
    if not path.endswith("/kernel"):
        return array
    return np.moveaxis(array, (-1, -2), (0, 1))


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(k.key for k in path): leaf for path, leaf in leaves}


@functools.cache
def exported(family, upstream):
    """Filled variables of the test variant, and the same as torch-named tensors."""
    variables = fill(variables_of(family))
    table = resolve.tables(spec(family), make(family))[upstream]
    rows = table.rows(make(family))
    tensors = {}
    for path, leaf in flat(variables).items():
        (name,) = torch_names(path, rows)
        assert name not in tensors, f"two leaves are called {name}"
        tensors[name] = to_torch(leaf, path)
    tensors = table.fixes(make(family))[1](tensors)
    return variables, tensors, table


@each_table
def test_tables_are_bijections(family, upstream):
    variables, tensors, table = exported(family, upstream)
    back, coverage = convert(tensors, variables_of(family), table, net=make(family))
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert coverage.tensors == coverage.leaves == len(jax.tree.leaves(variables))
    assert table.fix or len(tensors) == coverage.tensors
    parameters = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert coverage.parameters == coverage.total == parameters


@each_table
def test_export_writes_what_the_table_says(family, upstream):
    variables, tensors, table = exported(family, upstream)
    found = export(variables, table, make(family))
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)
    for name in found.keys() - tensors.keys():  # buffers, which a load skips
        assert any(re.fullmatch(pattern, name) for pattern in table.skip), name


@each_table
def test_skipped_tensors_need_no_place(family, upstream):
    variables, tensors, table = exported(family, upstream)
    for pattern in table.skip:
        assert not [name for name in tensors if re.fullmatch(pattern, name)]
        name = pattern.replace(".*", "backbone.some.")
        back = load({**tensors, name: np.zeros(3)}, variables, table, make(family))
        jax.tree.map(np.testing.assert_array_equal, back, variables)


@each_table
def test_all_that_does_not_fit_is_listed(family, upstream):
    variables, tensors, table = exported(family, upstream)
    # The tensors that the rows name, some of which are joined or have changed their names.
    tensors, table = table.fixes(make(family))[0](tensors), replace(table, fix=None)
    matrix, *_, gone, other = [n for n, x in tensors.items() if x.ndim >= 2]
    vector = next(n for n, x in tensors.items() if x.ndim == 1)
    rows = table.rows(make(family))
    (lost,) = [p for p in flat(variables) if torch_names(p, rows) == [gone]]
    wrong = {k: v for k, v in tensors.items() if k != gone} | {
        "stranger.weight": np.zeros((2, 3)),
        f"{matrix}_more": np.zeros(4),
        matrix: tensors[matrix][:-1],
        other: tensors[other][0],  # of another rank
        vector: np.zeros(len(tensors[vector]) + 1),
    }
    with pytest.raises(UserError) as error:
        convert(wrong, variables_of(family), table, net=make(family))
    listed = str(error.value).splitlines()[1:]
    assert any(f"nothing to load into {lost} " in line for line in listed)
    assert any("no place for stranger.weight (2, 3)" in line for line in listed)
    assert any(f"no place for {matrix}_more (4,)" in line for line in listed)
    for name in (matrix, other, vector):
        assert any(line.strip().startswith(f"{name} (") for line in listed), name
    # A leaf whose tensor has a wrong shape is not also reported as missing.
    assert len(listed) == 6


def test_two_tensors_for_one_leaf_are_an_error():
    table = Weights((("a", "x"), ("b", "x")))
    variables = {"params": {"x": {"bias": np.zeros(2)}}}
    tensors = {"a.bias": np.ones(2), "b.bias": np.zeros(2)}
    with pytest.raises(UserError, match=r"b\.bias and another tensor both map to params/x/bias"):
        convert(tensors, variables, table)


def test_the_longest_row_wins_and_prefixes_end_at_dots():
    table = Weights((("net", "body"), ("net.{s}.norm", "norm{s}"), ("net1", "other")))
    shape = np.zeros(2, np.float32)
    tensors = {"net.3.norm.bias": shape + 1, "net.norm.bias": shape + 2, "net1.bias": shape + 3}
    variables = {
        "params": {
            "norm3": {"bias": shape},
            "body": {"norm": {"bias": shape}},
            "other": {"bias": shape},
        }
    }
    found = load(tensors, variables, table)["params"]
    assert found["norm3"]["bias"][0] == 1
    assert found["body"]["norm"]["bias"][0] == 2
    assert found["other"]["bias"][0] == 3


def test_batch_statistics_go_to_their_collection():
    table = Weights((("bn", "bn"),), skip=(".*num_batches_tracked",))
    leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    tensors = {f"bn.{leaf}": np.full(2, i, np.float32) for i, leaf in enumerate(leaves)}
    zeros = np.zeros(2, np.float32)
    variables = {
        "params": {"bn": {"scale": zeros, "bias": zeros}},
        "batch_stats": {"bn": {"mean": zeros, "var": zeros}},
    }
    found = load(tensors, variables, table)
    values = {path: leaf[0] for path, leaf in flat(found).items()}
    assert values == {
        "params/bn/scale": 0,
        "params/bn/bias": 1,
        "batch_stats/bn/mean": 2,
        "batch_stats/bn/var": 3,
    }
    assert found["params"]["bn"]["bias"].dtype == np.float32
