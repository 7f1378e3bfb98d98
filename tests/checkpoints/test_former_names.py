"""Checkpoints of earlier versions, whose parameters had other names, load as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxvid import plug
from jaxvid.checkpoints import store
from jaxvid.checkpoints.former_names import saved_names
from jaxvid.errors import UserError
from jaxvid.param_rules import flatten
from tests.conftest import fill

OLD = {
    "qkv": "in_proj",
    "proj": "out_proj",
    "fc1": "c_fc",
    "fc2": "c_proj",
    "norm1": "ln_1",
    "norm2": "ln_2",
}


def old_name(path):
    """A path below "params" as CLIP4Clip and ActionCLIP had it."""
    tower, *rest = path
    if rest[0].startswith("block"):
        rest = [OLD.get(word, word) for word in rest]
    ends = {"backbone": {"norm": "ln_post", "norm_pre": "ln_pre", "patch_embed": "conv1"}}
    rest[0] = {**ends, "text": {"norm": "ln_final"}}.get(tower, {}).get(rest[0], rest[0])
    return (tower, *rest)


def draw(family, seed):
    """The parameters of a small model, by today's names."""
    module = plug.module("models", family)
    net = plug.load("models", dict(name=family, variant="test"))
    example = module.example("test")
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), example)
    return jax.device_put(fill(shapes["params"], seed), jax.devices()[0])


def renamed(params):
    return unflatten_dict({old_name(path): x for path, x in flatten_dict(params).items()})


def state_of(params, average):
    optimizer = optax.adam(1e-3)
    _, moments = optimizer.update(average, optimizer.init(params), params)
    return dict(step=jnp.array(7), params=params, opt_state=moments, ema=average, model_state={})


@pytest.fixture(scope="module", params=["clip4clip", "actionclip"])
def saved(request, tmp_path_factory):
    """A workdir with a checkpoint of old names, and its state by today's names."""
    workdir = tmp_path_factory.mktemp(request.param)
    params, average = (draw(request.param, seed) for seed in (0, 1))
    old = state_of(renamed(params), renamed(average))
    checkpoints = store.Store(workdir)
    checkpoints.save(7, old, dict(config={}, names=[]), {})
    checkpoints.wait()
    checkpoints.close()
    assert any("in_proj" in name for name in flatten(old))
    return workdir, state_of(params, average)


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_run_goes_on(saved):
    workdir, state = saved
    checkpoints = store.Store(workdir)
    found, _ = checkpoints.restore(7, shapes(state))
    checkpoints.close()
    same(found, state)


def test_variables_are_the_moving_average(saved):
    workdir, state = saved
    like = {"params": shapes(state["params"])}
    found, kind = store.load_variables(store.best_checkpoint(workdir), like)
    assert kind == "EMA"
    same(found["params"], state["ema"])


def test_a_part_can_stay_as_it_is(saved):
    workdir, state = saved
    fresh = jax.tree.map(jnp.zeros_like, {"params": state["params"]})
    found = store.load_into(fresh, store.best_checkpoint(workdir), skip=("text/.*",))
    same(found["params"], {**state["ema"], "text": fresh["params"]["text"]})


def test_another_model_is_described_by_todays_names(saved):
    workdir, state = saved
    params = dict(state["params"])
    params["text"] = {k: v for k, v in params["text"].items() if k != "norm"}
    with pytest.raises(UserError, match=r"ema/text/norm/scale .* is only in the checkpoint"):
        store.load_variables(store.best_checkpoint(workdir), {"params": shapes(params)})


def test_names_of_other_families_stay():
    paths = ["params/backbone/conv1/conv/kernel", "params/backbone/layer1_0/conv1/bn/scale"]
    assert saved_names(paths) == dict(zip(paths, paths, strict=True))
