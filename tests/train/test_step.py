"""The step: layouts, accumulation, remat, masks and EMA change how it is computed, not what."""

import logging
import math
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxvid import plug
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.train import optim
from jaxvid.train.step import Compiled, init_state, init_variables, make_eval_step, make_train_step
from tests.conftest import fill, gathers

pytestmark = pytest.mark.long

CLASSES, BATCH = 5, 8


def batch(rows=BATCH, views=1, size=16, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "video": rng.integers(0, 256, (rows, views, 4, size, size, 3), np.uint8),
        "label": rng.integers(0, CLASSES, rows).astype(np.int32),
        "mask": np.ones(rows, np.float32),
        "index": np.arange(rows, dtype=np.int32),
    }


def parts(model=None, **task):
    spec = dict(name="swin", variant="test", drop_path=0.0, dropout=0.0) | (model or {})
    net = plug.load("models", spec, num_classes=CLASSES)
    return net, plug.load("tasks", dict(name="recognition", **task), num_classes=CLASSES)


def fresh(net, task, ema=0.0, **settings):
    example = batch()
    variables = fill(jax.eval_shape(lambda b: init_variables(net, task, b, 0), example))
    settings = dict(name="sgd", lr=0.1, factor=lambda s: 1.0) | settings
    tx = optim.build(variables["params"], **settings)
    return init_state(variables, tx, 0, ema), tx


def run(net, task, state, tx, data, steps=1, **options):
    step = jax.jit(make_train_step(net, task, tx, **options))
    for _ in range(steps):
        state, logs = step(state, data)
    return state, logs


def gap(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(jnp.abs(x - y).max()) for x, y in pairs)


@pytest.fixture(scope="module")
def plain():
    net, task = parts()
    state, tx = fresh(net, task)
    return net, task, state, tx, *run(net, task, state, tx, batch())


def test_accumulation_is_exact(plain):
    net, task, state, tx, want, logs = plain
    got, other = run(net, task, state, tx, batch(), accumulate=4)
    assert gap(got.params, want.params) < 1e-6
    assert float(other["loss"]) == pytest.approx(float(logs["loss"]), rel=1e-6)
    assert float(other["grad_norm"]) == pytest.approx(float(logs["grad_norm"]), rel=1e-5)


def test_accumulation_weighs_parts_by_their_masks(plain):
    net, task, state, tx, *_ = plain
    data = batch() | {"mask": np.array([1, 0, 0, 0, 1, 1, 0, 1], np.float32)}
    want, _ = run(net, task, state, tx, data)
    got, _ = run(net, task, state, tx, data, accumulate=4)
    assert gap(got.params, want.params) < 1e-6


def test_masked_rows_do_not_count(plain):
    net, task, state, tx, *_ = plain
    data = batch() | {"mask": np.array([1] * 4 + [0] * 4, np.float32)}
    other = {k: v.copy() for k, v in data.items()}
    other["video"][4:], other["label"][4:] = 7, 0
    a, _ = run(net, task, state, tx, data)
    b, _ = run(net, task, state, tx, other)
    assert gap(a.params, b.params) == 0
    assert gap(a.params, state.params) > 1e-4


def test_remat_is_exact(plain):
    _, _, state, tx, want, _ = plain
    net, task = parts(dict(remat=True))
    got, _ = run(net, task, state, tx, batch())
    assert gap(got.params, want.params) < 1e-6


def test_ema_follows_the_parameters():
    net, task = parts()
    state, tx = fresh(net, task, ema=0.9)
    new, _ = run(net, task, state, tx, batch(), ema=0.9)
    want = jax.tree.map(lambda old, p: 0.9 * old + 0.1 * p, state.params, new.params)
    assert gap(new.ema, want) < 1e-6  # float32 noise of numbers near 1
    assert gap(new.ema, new.params) > 1e-4


def test_bfloat16_keeps_float32_parameters(plain):
    *_, logs = plain
    net, task = parts(dict(dtype=jnp.bfloat16))
    state, tx = fresh(net, task)
    got, other = run(net, task, state, tx, batch())
    assert {x.dtype for x in jax.tree.leaves(got.params)} == {jnp.dtype("float32")}
    assert float(other["loss"]) == pytest.approx(float(logs["loss"]), rel=0.02)
    assert float(other["loss"]) != float(logs["loss"])


@pytest.mark.parametrize("views", [0, 1, 3])
def test_micro_batches_of_views_change_nothing(plain, views):
    net, task, state, *_ = plain
    data = batch(rows=2, views=6)
    got = jax.jit(make_eval_step(net, task, views))({"params": state.params}, data)
    prepared = task.prepare(jax.random.key(0), data, train=False)
    logits = jax.jit(lambda p, x: net.apply({"params": p}, **x, train=False))(
        state.params, task.inputs(prepared)
    )
    mean = jax.nn.softmax(logits).reshape(2, 6, CLASSES).mean(1)
    np.testing.assert_allclose(got["score"], mean, rtol=1e-5)


def test_a_number_of_views_that_does_not_divide_is_refused(plain):
    net, task, state, *_ = plain
    words = (
        "config.eval.views=4 does not divide the 6 views of a sample; use one of 1, 2, 3, 6, or 0"
    )
    with pytest.raises(UserError, match=words):
        jax.eval_shape(make_eval_step(net, task, 4), {"params": state.params}, batch(2, views=6))
    jax.eval_shape(make_eval_step(net, task, 4), {"params": state.params}, batch(2, views=1))


# Layouts

EVERYTHING = dict(flip=0.5, mixup=0.4, cutmix=1.0, erasing=0.5)
EVERYTHING |= dict(crop=(0.5, 1.0), color=(0.2, 0.2, 0.2, 0.1))
AUGMENTED: dict[str, Any] = dict(smoothing=0.1, augment=EVERYTHING)


def compile_on(layout, data, model, net, task, state, tx):
    """The compiled step on a mesh, and state and batch placed for it."""
    mesh = meshes.build(data, model)
    shardings = meshes.shardings(mesh, state, layout)
    rows = meshes.put_batch(mesh, batch())
    whole = meshes.gathered(shardings.params)
    function = make_train_step(
        net, task, tx, all_gather=lambda params: jax.lax.with_sharding_constraint(params, whole)
    )
    step = jax.jit(function, out_shardings=(shardings, meshes.replicated(mesh)))
    placed = jax.device_put(state, shardings)
    return step.lower(placed, rows).compile(), placed, rows


@pytest.fixture(scope="module")
def augmented():
    net, task = parts(dict(drop_path=0.3), **AUGMENTED)
    state, tx = fresh(net, task)
    return net, task, state, tx, *run(net, task, state, tx, batch(), steps=2)


@pytest.fixture(scope="module")
def data_parallel(augmented):
    return compile_on("replicated", 8, 1, *augmented[:4])


def check_equal(compiled, augmented):
    step, state, rows = compiled
    for _ in range(2):
        state, logs = step(state, rows)
    *_, want, wanted_logs = augmented
    assert float(logs["loss"]) == pytest.approx(float(wanted_logs["loss"]), rel=1e-5)
    assert gap(jax.device_get(state.params), jax.device_get(want.params)) < 1e-5
    return [x for x in jax.tree.leaves(state.params) if not x.sharding.is_fully_replicated]


def test_same_seed_same_numbers(augmented):
    net, task, state, tx, want, _ = augmented
    got, _ = run(net, task, state, tx, batch(), steps=2)
    assert gap(got, want) == 0


def test_data_parallel_gives_one_devices_numbers(data_parallel, augmented):
    assert check_equal(data_parallel, augmented) == []


@pytest.mark.parametrize("layout,data,model", [("fsdp", 8, 1), ("tensor", 4, 2)])
def test_cut_parameters_give_one_devices_numbers(layout, data, model, augmented):
    assert check_equal(compile_on(layout, data, model, *augmented[:4]), augmented)


@pytest.mark.parametrize("layout,data,model", [("fsdp", 8, 1), ("tensor", 4, 2)])
def test_cut_parameters_are_gathered_and_activations_are_not(layout, data, model, augmented):
    step, state, _ = compile_on(layout, data, model, *augmented[:4])
    cut = [x.size for x in jax.tree.leaves(state.params) if not x.sharding.is_fully_replicated]
    found = [
        math.prod(map(int, shape.split(",")))
        for result in gathers(step.as_text())
        for shape in re.findall(r"\[([\d,]+)\]", result)
    ]
    if layout == "fsdp":
        assert sorted(found) == sorted(cut)
    assert found and set(found) <= {x.size for x in jax.tree.leaves(state.params)}


def test_rules_choose_the_dimension():
    mesh = meshes.build(4, 2)
    qkv = {"kernel": jnp.zeros((8, 24)), "bias": jnp.zeros(24)}
    proj = {"kernel": jnp.zeros((8, 8)), "bias": jnp.zeros(8)}
    tree = {"a": {"qkv": qkv, "proj": proj}, "odd": jnp.zeros((3, 5))}
    tensor = meshes.shardings(mesh, tree, "tensor")
    assert tensor["a"]["qkv"]["kernel"].spec == PartitionSpec(None, "model")
    assert tensor["a"]["qkv"]["bias"].spec == PartitionSpec("model")
    assert tensor["a"]["proj"]["kernel"].spec == PartitionSpec("model", None)
    assert tensor["a"]["proj"]["bias"].spec == tensor["odd"].spec == PartitionSpec()
    fsdp = meshes.shardings(mesh, tree, "fsdp")
    assert fsdp["a"]["qkv"]["kernel"].spec == PartitionSpec(None, "data")
    assert fsdp["odd"].spec == fsdp["a"]["qkv"]["bias"].spec == PartitionSpec()


def test_no_activation_is_gathered_in_the_data_parallel_step(data_parallel):
    assert gathers(data_parallel[0].as_text()) == []


def test_the_gather_test_sees_a_grouped_convolution():
    """XLA gathers the batch of a grouped convolution: what the test above must be able to find."""

    class Grouped(nn.Module):
        @nn.compact
        def __call__(self, video, *, train):
            x = nn.Conv(8, (1, 1, 1))(video)
            x = nn.Conv(8, (3, 3, 3), feature_group_count=4)(x)
            return nn.Dense(CLASSES)(x.mean((1, 2, 3)))

    _, task = parts()
    state, tx = fresh(Grouped(), task)
    assert gathers(compile_on("replicated", 8, 1, Grouped(), task, state, tx)[0].as_text())


def test_compiled_says_what_it_does_and_counts_other_shapes(plain, said):
    net, task, state, *_ = plain
    step = Compiled(make_eval_step(net, task), logging.INFO)
    for rows in (2, 2, 3):
        step({"params": state.params}, {k: jnp.asarray(v) for k, v in batch(rows).items()})
    assert step.count == 2
    shapes = "compiling eval_step for video {} x 1 x 4 x 16 x 16 x 3 ..."
    assert [line.split(" in ")[0] for line in said] == [
        shapes.format(2),
        "compiled eval_step",
        f"the batch has another shape: {shapes.format(3)}",
        "compiled eval_step",
    ]
    assert step.memory > 0
