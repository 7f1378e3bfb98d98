"""TPN: the ways through its pyramid, its backbones, and its second loss."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import tpn
from tests.conftest import fill
from tests.models.test_resnets import draw, trace

CLASSES = 5
WITH_LEVELS = re.findall(r"\w+", tpn.LEVELS)  # the families that the error names


def build(name, **options):
    spec = dict(name="tpn", backbone=dict(name=name, variant="test"), **options)
    return plug.load("models", spec, num_classes=CLASSES)


@pytest.mark.parametrize("name", plug.names("models", "backbone"))
def test_it_takes_every_backbone_that_gives_two_stages(name):
    """Others are an error that names those."""
    example = plug.module("models", name).example("test")
    if example.keys() != {"video"}:
        pytest.skip("a network that sees no videos")
    try:
        net = build(name)
    except UserError as error:
        assert tpn.LEVELS in str(error)
        assert name not in WITH_LEVELS
        return
    out, variables = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False), example["video"]
    )
    assert name in WITH_LEVELS
    assert [x.shape for x in out] == [(2, CLASSES)] * 2
    assert variables["params"].keys() == {"backbone", "neck", "head"}


def test_a_backbone_of_one_stage_is_an_error():
    net = plug.load(
        "models",
        dict(name="tpn", backbone=dict(name="slowonly", variant="test", depths=(1,))),
        num_classes=CLASSES,
    )
    with pytest.raises(UserError, match="two stages or more"):
        jax.eval_shape(
            lambda: net.init(jax.random.key(0), jnp.zeros((1, 4, 32, 32, 3)), train=False)
        )


@pytest.mark.parametrize("frames,pool,want", [(8, 8, [7]), (5, 2, [1, 3, 4]), (3, 8, [2])])
def test_the_last_frames_of_a_pool_may_be_fewer(frames, pool, want):
    x = np.arange(frames, dtype=np.float32).reshape(1, frames, 1, 1, 1)
    assert np.ravel(tpn.pool_time(jnp.asarray(x), pool)).tolist() == want


def test_pathways_meet_at_the_frames_of_the_first():
    slow, fast = draw(1, 3, 2, 2, 4), draw(1, 11, 2, 2, 1)
    got = tpn.joined((slow, fast))
    np.testing.assert_array_equal(got, np.concatenate([slow, fast[:, [0, 4, 8]]], -1))


@pytest.mark.parametrize("flow,reach", [("cascade", True), ("parallel", False)])
def test_the_way_up_follows_the_way_down_in_a_cascade(flow, reach):
    """The lower level that goes up then has what came down from the upper one."""
    net, levels = tpn.Pyramid(1, flow, jnp.float32), [draw(1, 2, 4, 4, 16), draw(1, 2, 2, 2, 32)]
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), levels)
    variables = fill(shapes)

    def run(temporal1):
        params = variables["params"] | {"temporal1": {"kernel": temporal1}}
        _, seen = net.apply(
            variables | {"params": params},
            levels,
            train=False,
            capture_intermediates=lambda module, _: module.name == "level0",
        )
        return seen["intermediates"]["fusion2"]["level0"]["__call__"][0]

    kernel = variables["params"]["temporal1"]["kernel"]
    assert bool(np.abs(run(kernel + 1) - run(kernel)).max() > 1e-3) == reach


def test_the_auxiliary_loss_is_logged_and_weighted():
    task = plug.load("tasks", dict(name="recognition", auxiliary=0.25), num_classes=3)
    logits, others = jnp.asarray(draw(4, 3)), jnp.asarray(draw(4, 3, seed=2))
    target = jax.nn.one_hot(jnp.arange(4) % 3, 3)
    batch = {"target": target, "mask": jnp.ones(4), "label": jnp.arange(4) % 3}

    def entropy(scores):
        return float(-(jax.nn.log_softmax(scores) * target).sum(-1).mean())

    loss, logs = task.loss((logits, others), batch)
    assert float(logs["loss_cls"]) == pytest.approx(entropy(logits), rel=1e-5)
    assert float(logs["loss_aux"]) == pytest.approx(0.25 * entropy(others), rel=1e-5)
    assert float(loss) == pytest.approx(float(logs["loss_cls"] + logs["loss_aux"]), rel=1e-6)
    np.testing.assert_array_equal(
        task.predict((logits, others), batch)["score"], task.predict(logits, batch)["score"]
    )


def test_the_auxiliary_classifier_sees_the_lower_stage_alone():
    net = build("slowonly")
    variables, video = fill(trace(net, 1, 4, 32, 32, 3)), draw(1, 4, 32, 32, 3)
    run = jax.jit(lambda v: net.apply(v, video, train=False))
    want = run(variables)
    other = jax.tree.map(np.copy, variables)
    other["params"]["backbone"]["layer2_0"]["conv3"]["bn"]["bias"] += 1
    got = run(other)
    np.testing.assert_array_equal(got[1], want[1])
    assert np.abs(got[0] - want[0]).max() > 1e-4
