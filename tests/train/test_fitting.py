"""The settings that are advised fit by the same estimate, and change no more than they must."""

import dataclasses

import pytest
from ml_collections import ConfigDict

from configs import bmn_own, clip4clip_msrvtt, finetune
from jaxvid.distributed import mesh as meshes
from jaxvid.train import estimate, fitting
from jaxvid.train.plan import rehearse


def own_clips():
    config = finetune.get_config("mini")
    config.batch = 32
    return config


@pytest.fixture(scope="module")
def clips():
    planned, _, batch = rehearse(own_clips(), meshes.build())
    return planned, batch, estimate.training(planned, batch)


@pytest.mark.parametrize("share", [0.7, 0.3, 0.2])
def test_advice_fits(clips, share):
    planned, batch, needed = clips
    limit = int(share * needed)
    changes, said = fitting.search(planned, batch, limit)
    assert changes
    config = own_clips()
    config.update_from_flattened_dict(changes)
    assert config.batch % (config.accumulate * 8) == 0
    changed, _, shapes = rehearse(config, meshes.build())
    assert estimate.training(changed, shapes) == said <= limit


def test_parts_of_a_batch_come_first(clips):
    planned, batch, needed = clips
    changes, _ = fitting.search(planned, batch, int(0.7 * needed))
    assert changes == {"accumulate": 2}


def test_nothing_that_does_not_help_is_advised(clips):
    planned, batch, needed = clips
    assert fitting.search(planned, batch, 2 * needed)[0] == {}
    assert fitting.search(planned, batch, 1000) == ({}, 0)


def test_a_module_of_the_callers_own_is_advised_a_smaller_batch(clips):
    """`loop.train` takes any module, with a config that names neither a model nor a recipe."""
    planned, batch, needed = clips
    config = planned.config.copy_and_resolve_references()
    del config.model, config.data.recipe
    own = dataclasses.replace(planned, config=config)
    assert fitting.at_most(own, batch, needed) == needed
    assert fitting.search(own, batch, int(0.7 * needed))[0] == {"accumulate": 2}
    changes, least = fitting.search(own, batch, int(0.2 * needed))
    assert set(changes) <= {"accumulate", "batch", "sharding"} and least <= 0.2 * needed


def test_what_computes_again_is_not_advised_on_a_cpu(clips, monkeypatch):
    planned, batch, needed = clips
    config = planned.config.copy_and_resolve_references()
    offered = {key for options in fitting.ladder(planned) for key in options[0]}
    assert not offered & {"model.remat", "offload", "dtype"}
    monkeypatch.setattr(fitting.jax, "default_backend", lambda: "gpu")
    offered = {key for options in fitting.ladder(planned) for key in options[0]}
    assert {"model.remat", "offload", "dtype", "sharding", "accumulate"} <= offered
    monkeypatch.undo()
    config.model.remat = True
    again, shapes = fitting.replan(planned, batch, {"model.remat": True})
    less = estimate.training(again, shapes)
    assert less < 0.9 * needed
    assert fitting.at_most(again, shapes, less) == needed


@pytest.mark.parametrize(
    "spec,expected",
    [
        (dict(name="timesformer", variant="test", remat=False), ["dots", True]),
        (dict(name="timesformer", variant="test", remat="dots"), [True]),
        (dict(name="timesformer", variant="test", remat=True), []),
        (dict(name="tsn", variant="test", remat=False), [True]),
    ],
)
def test_models_that_can_store_less_do_so_in_steps(spec, expected):
    config = ConfigDict({"model": spec})
    assert list(fitting.remat_policies(config)) == [{"model.remat": value} for value in expected]


def test_smaller_variants_come_with_weights_that_there_are():
    config = finetune.get_config("base")
    assert list(fitting.variants(config)) == [
        {"model.variant": "small"},
        {"model.variant": "tiny"},
        {"model.variant": "mini", "init.weights": ""},
    ]


@pytest.mark.parametrize("config", [bmn_own.get_config("mini"), clip4clip_msrvtt.get_config()])
def test_what_a_model_does_not_take_is_no_choice(config):
    """Features have no pixels, and CLIP's positions are of one size."""
    config.model.variant = "test"
    planned, _, batch = rehearse_small(config)
    assert fitting.needed(planned, batch, {"data.recipe.size": 64}) == float("inf")


def rehearse_small(config):
    if "size" in config.data.recipe:
        config.data.recipe.size, config.data.recipe.length = 32, 8
    else:
        config.data.recipe.channels, config.data.recipe.frames = 12, 8
        config.model.samples = 4
    config.batch = 8
    return rehearse(config, meshes.build())
