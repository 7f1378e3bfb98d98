"""ST-GCN: published size, the graph convolution against loops, people, and what training does.

What ST-GCN++ shares with it is tested for both.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models import stgcn, stgcnpp
from jaxvid.ops import graph
from jaxvid.weights.convert import export
from tests.conftest import CASES, fill

pytestmark = pytest.mark.long

CLASSES = 5
each_family = pytest.mark.parametrize("family", [stgcn, stgcnpp], ids=["stgcn", "stgcnpp"])


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def variables_of(model, x):
    """Filled variables; what multiplies is near 1, so that the input is not lost on the way."""
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)

    def near(path, leaf):
        ones = path[-1].key in ("scale", "var", "PA")
        return leaf if path[-1].key == "kernel" else ones + 0.2 * np.clip(leaf, -3, 3)

    return jax.tree_util.tree_map_with_path(near, fill(shapes))


def evaluate(model, variables, x):
    return np.asarray(jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, x))


@functools.cache
def step(family, **options):
    """(variables, keypoint, seed) -> (logits, batch statistics) of training, compiled."""
    model = family.build("test", num_classes=CLASSES, **options)

    def forward(variables, x, seed):
        rngs = {"dropout": jax.random.key(seed)}
        out, updates = model.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])
        return out, updates["batch_stats"]

    return jax.jit(forward)


@functools.cache
def example(family):
    """Variables of the test variant, two clips of two people, the compiled evaluation.

    The statistics are those of the clips, so that about half of all units are on.
    """
    model = family.build("test", num_classes=CLASSES)
    x = draw(2, 2, 8, 17, 3)
    variables = variables_of(model, x)
    old = variables["batch_stats"]
    _, new = step(family)(variables, x, 0)
    stats = jax.tree.map(lambda new, old: (new - 0.9 * old) / 0.1, new, old)
    forward = jax.jit(lambda v, x: model.apply(v, x, train=False))
    return {"params": variables["params"], "batch_stats": stats}, x, forward


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("family,case", [(stgcn, "ParamCount-11"), (stgcnpp, "ParamCount-12")])
def test_parameters_are_as_many_as_published(family, case):
    model, x = family.build("2d", num_classes=60), draw(1, 1, 8, 17, 3)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    want = CASES[case]["expected"]
    assert count(shapes["params"]["backbone"]) == want["backbone"]
    assert count(shapes["params"]["head"]) == want["head"]
    # Upstream's buffers: statistics, a count of steps for each norm, and the graphs of ST-GCN.
    norms = len(jax.tree.leaves(shapes["batch_stats"])) // 2
    graphs = 10 * graph.stgcn_spatial("coco").size if family is stgcn else 0
    assert count(shapes["batch_stats"]) + norms + graphs == want["backbone_buffers"]


def convolve(x, adjacency, kernel, bias):
    """Sum over subsets and neighbors of what the subset's matrix maps each neighbor to."""
    b, t, j, _ = x.shape
    features = len(bias) // len(adjacency)
    out = np.zeros((b, t, j, features))
    for k, v, w in itertools.product(range(len(adjacency)), range(j), range(j)):
        mine = slice(k * features, (k + 1) * features)
        out[:, :, w] += adjacency[k, v, w] * (x[:, :, v] @ kernel[0, 0][:, mine] + bias[mine])
    return out


def normalize(x, params, stats):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def test_graph_convolution():
    layer, x = stgcn.GraphConv(4, "coco"), draw(2, 3, 17, 2)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]
    adjacency = graph.stgcn_spatial("coco") * params["PA"]
    y = convolve(x, adjacency, params["conv"]["kernel"], params["conv"]["bias"])
    want = np.maximum(normalize(y, params["bn"], stats["bn"]), 0)
    np.testing.assert_allclose(evaluate(layer, variables, x), want, rtol=1e-4, atol=1e-5)


def test_every_edge_counts_at_the_start():
    params = stgcn.GraphConv(4, "coco").init(jax.random.key(0), draw(1, 2, 17, 3), train=False)
    np.testing.assert_array_equal(params["params"]["PA"], np.ones((3, 17, 17)))


NORM = ("weight", "bias", "running_mean", "running_var")
CONV = ("weight", "bias")


def exported(family, block, upstream="mmaction"):
    """Names that a block and the head of the test variant have upstream, and the tensors."""
    model = family.build("test", num_classes=CLASSES)
    tensors = export(example(family)[0], family.WEIGHTS[upstream], model)
    mine = [name for name in tensors if name.startswith((f"backbone.gcn.{block}.", "cls_head."))]
    return [name.removeprefix(f"backbone.gcn.{block}.") for name in mine], tensors


def names(*modules):
    """Names of all leaves of modules, in order."""
    return [f"{m}.{leaf}" for m, leaves in modules for leaf in leaves]


def test_upstreams_names():
    found, tensors = exported(stgcn, block=1)
    modules = (
        *(("gcn", ("PA", "A")), ("gcn.bn", NORM), ("gcn.conv", CONV)),
        *(("tcn.conv", CONV), ("tcn.bn", NORM), ("residual.conv", CONV), ("residual.bn", NORM)),
        ("cls_head.fc", CONV),
    )
    assert found == names(*modules)
    np.testing.assert_array_equal(
        tensors["backbone.gcn.1.gcn.A"], graph.stgcn_spatial("coco"), strict=True
    )
    assert exported(stgcn, 1, "pyskl")[0][-2:] == ["cls_head.fc_cls.weight", "cls_head.fc_cls.bias"]


# Both families


@each_family
def test_every_parameter_matters(family):
    variables, x, forward = example(family)
    leaves, structure = jax.tree.flatten(variables)
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(variables)]
    want = forward(variables, x)
    still = []
    for i, leaf in enumerate(leaves):
        other = leaf + np.abs(draw(*leaf.shape, seed=i))
        changed = jax.tree.unflatten(structure, [*leaves[:i], other, *leaves[i + 1 :]])
        if np.abs(forward(changed, x) - want).max() < 1e-3:
            still.append(paths[i])
    assert still == []


@each_family
def test_the_order_of_people_does_not_matter(family):
    variables, x, forward = example(family)
    want = forward(variables, x)
    np.testing.assert_allclose(forward(variables, x[:, ::-1]), want, rtol=1e-5, atol=1e-6)
    other = x.copy()
    other[0, 1] += 1
    got = forward(variables, other)
    assert np.abs(got[0] - want[0]).max() > 1e-3
    np.testing.assert_array_equal(got[1], want[1])


@each_family
def test_people_who_are_not_there_count(family):
    """Logits are linear in the features: those of zeros are averaged in like any person's."""
    variables, x, forward = example(family)
    alone = [forward(variables, x[:, i : i + 1]) for i in range(2)]
    both = (alone[0] + alone[1]) / 2
    np.testing.assert_allclose(forward(variables, x), both, rtol=1e-4, atol=1e-6)
    absent = x.copy()
    absent[:, 1] = 0
    nobody = forward(variables, absent[:, 1:])
    got = forward(variables, absent)
    np.testing.assert_allclose(got, (alone[0] + nobody) / 2, rtol=1e-4, atol=1e-6)
    assert np.abs(got - alone[0]).max() > 1e-3


@each_family
@pytest.mark.parametrize("frames,left", [(8, 4), (7, 4), (1, 1)])
def test_any_number_of_frames(family, frames, left):
    net = family.backbone("test")
    x = jax.ShapeDtypeStruct((1, 3, frames, 17, 3), jnp.float32)
    out, _ = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), x)
    assert out.shape == (1, 3, left, 17, net.widths[-1])


@each_family
def test_the_layout_settles_the_joints(family):
    model = family.build("test", num_classes=CLASSES, layout="handmp")
    x = jax.ShapeDtypeStruct((1, 1, 8, 21, 3), jnp.float32)
    out, variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), x
    )
    assert out.shape == (1, CLASSES)
    unit = variables["params"]["backbone"]["block0"]["gcn"]
    assert (unit["PA"] if family is stgcn else unit["A"]).shape == (3, 21, 21)


@each_family
def test_groups_of_the_batch_are_normalized_apart(family):
    """Rows that stand together are people of one clip: two groups are two clips."""
    variables, x, _ = example(family)
    got, stats = step(family, bn_groups=2)(variables, x, 0)
    whole = step(family)
    apart = [whole(variables, x[i : i + 1], 0) for i in range(2)]
    want = np.concatenate([out for out, _ in apart])
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert np.abs(whole(variables, x, 0)[0] - got).max() > 1e-3
    means = jax.tree.map(lambda a, b: (a + b) / 2, apart[0][1], apart[1][1])
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(compare, stats, means)


@each_family
def test_frozen_statistics_normalize_in_training(family):
    variables, x, forward = example(family)
    got, stats = step(family, bn_frozen=True)(variables, x, 0)
    np.testing.assert_allclose(got, forward(variables, x), rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    old = jax.tree.map(lambda a: a + 1, stats)
    _, new = step(family)({**variables, "batch_stats": old}, x, 0)
    # Those of the example are the clips' own, so a tenth of the way leads back to them.
    want = jax.tree.map(lambda a: a + 0.9, stats)
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(compare, new, want)


@each_family
def test_dropout_in_time_is_in_all_blocks_but_the_first(family):
    """At rate 1 the temporal units of the others give zeros, whatever their parameters are."""
    variables, x, _ = example(family)
    dropped = step(family, tcn_dropout=1.0, bn_frozen=True)
    want, _ = dropped(variables, x, 0)
    for block, matters in (("block0", True), ("block1", False), ("block2", False)):
        changed = jax.tree.map(np.copy, variables)
        changed["params"]["backbone"][block]["tcn"]["bn"]["bias"] += 1
        gap = np.abs(dropped(changed, x, 0)[0] - want).max()
        assert (gap > 1e-3) == matters


@each_family
def test_the_head_has_its_own_dropout(family):
    """At rate 1 only the bias of the last layer is left."""
    variables, x, _ = example(family)
    got, _ = step(family, dropout=1.0, bn_frozen=True)(variables, x, 0)
    bias = variables["params"]["head"]["fc"]["bias"]
    np.testing.assert_array_equal(got, np.broadcast_to(bias, got.shape))
