"""Schedules and parameter groups against the published cases; optimizers against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import swin_k400, tsm_k400
from jaxvid import param_rules, plug
from jaxvid.errors import UserError
from jaxvid.train import optim
from jaxvid.weights.convert import rename
from tests.conftest import CASES, cases


def options(schedulers, lr, epochs):
    """MMEngine's list of schedulers as the arguments of one schedule."""
    out = dict(name="constant")
    for s in schedulers:
        by = "step" if s.get("convert_to_iter_based") else "epoch"
        if s["type"] == "LinearLR":
            out |= dict(warmup=s["end"], warmup_by=by, warmup_factor=s["start_factor"])
        elif s["type"] == "CosineAnnealingLR":
            final = s.get("eta_min_ratio", s.get("eta_min", 0) / lr)
            out |= dict(name="cosine", by=by, begin=s.get("begin", 0), final=final)
            out |= dict(period=s["T_max"])
        elif s["type"] == "MultiStepLR":
            out |= dict(name="multistep", by=by, gamma=s["gamma"])
            out |= dict(milestones=tuple(s["milestones"]))
    return out | dict(epochs=epochs)


@pytest.mark.parametrize("args,given,expected,seed", cases("Schedule"))
def test_schedule(args, given, expected, seed):
    chosen = options(args["param_scheduler"], args["lr"], given["epochs"])
    factor = optim.schedule(steps_per_epoch=given["iters_per_epoch"], **chosen)
    for step, lr in expected.items():
        assert args["lr"] * float(factor(int(step))) == pytest.approx(lr, rel=2e-4, abs=6e-9), step


def test_the_recipe_is_the_published_schedule():
    case = CASES["Schedule-01"]
    config = swin_k400.get_config()
    factor = optim.schedule(steps_per_epoch=10, epochs=config.epochs, **config.schedule)
    for step, lr in case["expected"].items():
        assert config.optim.lr * float(factor(int(step))) == pytest.approx(lr, rel=2e-4, abs=6e-9)


@pytest.mark.parametrize(
    "name,more,values",
    [
        ("step", dict(every=2.0, gamma=0.5), [1, 1, 0.5, 0.5, 0.25]),
        ("exponential", dict(gamma=0.5), [1, 0.5, 0.25, 0.125, 0.0625]),
        ("constant", {}, [1, 1, 1, 1, 1]),
    ],
)
def test_other_decays(name, more, values):
    factor = optim.schedule(steps_per_epoch=4, epochs=5, name=name, by="epoch", **more)
    assert [float(factor(4 * e)) for e in range(5)] == pytest.approx(values)
    assert float(factor(3)) == pytest.approx(values[0])


def test_unknown_names_are_errors():
    with pytest.raises(UserError, match='Did you mean "cosine"'):
        optim.schedule(steps_per_epoch=1, epochs=1, name="cosin")
    with pytest.raises(UserError, match='Did you mean "adamw"'):
        optim.build({"w": jnp.ones(1)}, name="admw", lr=1.0, factor=lambda s: 1.0)
    with pytest.raises(UserError, match="matches no parameter"):
        optim.build(
            {"w": jnp.ones(1)}, name="sgd", lr=1.0, factor=lambda s: 1.0, lr_scale=(("x", 2.0),)
        )
    with pytest.raises(UserError, match="nothing would be trained"):
        optim.build({"w": jnp.ones(1)}, name="sgd", lr=1.0, factor=lambda s: 1.0, freeze=("x|w",))


def tree(family="swin", variant="tiny", case="OptimGroups-01"):
    """Parameters of a model, and {published torch name: our path} of those that the case names."""
    module = plug.module("models", family)
    model = module.build(variant, num_classes=400)
    video = jax.ShapeDtypeStruct((1, 8, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), video)
    params, leaves = shapes["params"], {}
    for name in CASES[case]["expected"]:
        path = rename(name, module.WEIGHTS["mmaction"].rows(model))
        stem, _, leaf = path.rpartition("/")
        known = param_rules.flatten(params)
        found = [f"{stem}/{x}" for x in (leaf, "kernel", "scale") if f"{stem}/{x}" in known]
        leaves[name] = found[0]
    return params, leaves


def effects(params, optimizer):
    """{path: (lr, weight decay)} that one step of the optimizer really applies."""
    small = jax.tree.map(lambda p: jnp.ones((1,)), params)
    zero = jax.tree.map(jnp.zeros_like, small)
    settings = {k: v for k, v in optimizer.items() if k != "base_batch"}
    tx = optim.build(small, factor=lambda s: 1.0, **settings)
    state = tx.init(small)
    pure_decay, _ = tx.update(zero, state, small)  # Adam of a zero gradient is 0
    moved, _ = tx.update(small, state, zero)
    lr = {k: -float(v[0]) for k, v in param_rules.flatten(moved).items()}
    return {k: (lr[k], -float(v[0]) / lr[k]) for k, v in param_rules.flatten(pure_decay).items()}


@pytest.mark.parametrize(
    "case,family,variant,config",
    [
        ("OptimGroups-01", "swin", "tiny", swin_k400.get_config("tiny")),
        ("OptimGroups-02", "tsm", "r50", tsm_k400.get_config("r50_u8")),
    ],
)
def test_parameter_groups_of_mmaction(case, family, variant, config):
    params, leaves = tree(family, variant, case)
    applied = effects(params, dict(config.optim))
    for name, want in CASES[case]["expected"].items():
        lr, decay = applied[leaves[name]]
        assert lr == pytest.approx(want["lr"], rel=1e-5), name
        assert decay == pytest.approx(want["weight_decay"], rel=1e-4), name


def test_parameter_groups_of_the_official_repository():
    """First match wins there: norms keep their decay, bias tables learn at the full rate."""
    params, leaves = tree()
    applied = effects(params, dict(swin_k400.get_config("tiny,official").optim))
    norm = applied[leaves["backbone.layers.0.blocks.0.norm1.weight"]]
    table = applied[leaves["backbone.layers.0.blocks.0.attn.relative_position_bias_table"]]
    head = applied[leaves["cls_head.fc_cls.bias"]]
    assert norm == pytest.approx((1e-4, 0.02), rel=1e-4)
    assert table == pytest.approx((1e-3, 0.0), rel=1e-4)
    assert head == pytest.approx((1e-3, 0.02), rel=1e-4)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch's optimizers")
    start = np.array([1.0, -2.0, 0.5], np.float32)
    weight = torch.nn.Parameter(torch.tensor(start))
    if name == "adamw":
        other = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.3)
    elif name == "adam":
        other = torch.optim.Adam([weight], lr=0.1, weight_decay=0.3)
    else:
        other = torch.optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.3)
    params = {"w": jnp.array(start)}
    tx = optim.build(params, name=name, lr=0.1, factor=lambda s: 1.0, weight_decay=0.3)
    state = tx.init(params)
    for step in range(5):
        grad = np.cos(np.arange(3) + step).astype(np.float32)
        weight.grad = torch.tensor(grad)
        other.step()
        updates, state = tx.update({"w": jnp.array(grad)}, state, params)
        params = {"w": params["w"] + updates["w"]}
    np.testing.assert_allclose(params["w"], weight.detach().numpy(), rtol=1e-5)


def test_frozen_parameters_stay_and_have_no_state():
    params = {"backbone": jnp.ones(3), "head": jnp.ones(3)}
    tx = optim.build(
        params, name="adamw", lr=1.0, factor=lambda s: 1.0, weight_decay=0.1, freeze=("backbone",)
    )
    state = tx.init(params)
    updates, _ = tx.update(params, state, params)
    assert (updates["backbone"] == 0).all()
    assert (updates["head"] != 0).all()
    assert sum(x.size for x in jax.tree.leaves(state) if x.shape == (3,)) == 6  # two moments of one


def test_swin_groups_name_existing_parameters():
    params, _ = tree()
    for groups in (swin_k400.GROUPS, swin_k400.GROUPS_OFFICIAL):
        for rules in groups.values():
            found = param_rules.flatten(param_rules.label(params, rules, strict=True))
            assert set(found.values()) >= {value for _, value in rules}


@pytest.mark.parametrize(
    "name", ["adamw", *(pytest.param(n, marks=pytest.mark.long) for n in ("sgd", "adam"))]
)
def test_unfrozen_parameters_begin_as_in_a_run_of_their_own(name):
    """Until their epoch, nothing changes: neither they, nor the clipped norm, nor their state."""
    params = {"early": jnp.array([1.0, 2.0]), "late": jnp.array([3.0])}
    grads = {"early": jnp.array([3.0, 4.0]), "late": jnp.array([12.0])}
    options = dict(name=name, lr=0.1, factor=lambda s: 1.0, weight_decay=0.1)

    def run(params, steps, grads=grads, **more):
        tx = optim.build(params, **options, **more)
        state = tx.init(params)
        for _ in range(steps):
            updates, state = tx.update(grads, state, params)
            params = jax.tree.map(jnp.add, params, updates)
        return params

    epoch = dict(unfreeze=(("late", 2.0),), epoch=lambda step: step / 2)
    before = run(params, 4, clip=1.0, **epoch)
    assert before["late"] == params["late"]
    alone = {"early": grads["early"]}
    want = run({"early": params["early"]}, 4, alone, clip=1.0)
    np.testing.assert_allclose(before["early"], want["early"], rtol=1e-6)
    after = run(params, 6, **epoch)
    want = run({"late": params["late"]}, 2, {"late": grads["late"]})
    np.testing.assert_allclose(after["late"], want["late"], rtol=1e-6)
    assert after["late"] != params["late"]


@pytest.mark.parametrize(
    "name, states",
    [
        ("adamw", {"1/mu", "1/nu", "1/count", "4/count"}),
        ("adam", {"2/mu", "2/nu", "2/count", "4/count"}),
        ("sgd", {"2/trace", "4/count"}),
    ],
)
def test_the_state_is_where_checkpoints_have_it(name, states):
    """Earlier versions saved it under these names; with others, their runs could not resume."""
    params = {"w": jnp.zeros(2), "v": jnp.zeros(3)}
    tx = optim.build(params, name=name, lr=0.1, factor=lambda _: 1.0, clip=1.0, freeze=("v",))
    paths = param_rules.flatten(tx.init(params))
    inner = "inner_states/trained/inner_state/"
    assert {path.replace(inner, "").removesuffix("/w") for path in paths} == states
