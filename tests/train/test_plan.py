"""What a run would train on, and what a step takes, is known without data."""

import jax
import numpy as np
import pytest

from configs import bmn_own, fast_rcnn_own, quickstart, stgcnpp_ntu60
from jaxvid.config.values import EXAMPLE_CLASSES
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.train.plan import frozen_lines, rehearse
from jaxvid.weights import zoo


def test_a_batch_has_the_shapes_that_data_would_give():
    config = quickstart.get_config()
    planned, sample, shapes = rehearse(config, meshes.build())
    assert shapes.keys() == sample.keys() >= {"video", "label", "mask", "index"}
    assert shapes["video"].shape == (config.batch, *sample["video"].shape)
    assert shapes["video"].sharding == meshes.over_data(planned.mesh)
    assert planned.config is config
    assert all(leaf.sharding for leaf in jax.tree.leaves(planned.state_shapes))


def test_frozen_parameters_and_those_that_are_trained_later_are_counted():
    params = {"stem": np.zeros((3, 4)), "deep": np.zeros(5), "head": {"w": np.zeros(2)}}
    settings = dict(freeze=("stem",), unfreeze=(("head/.*", 4.0), ("deep|stem", 2.5)))
    assert list(frozen_lines(params, settings)) == [
        "frozen: 12 of 19 parameters",
        "trained from epoch 2.5 on: 5 of 19 parameters",
        "trained from epoch 4 on: 2 of 19 parameters",
    ]
    assert not list(frozen_lines(params, {}))
    config = quickstart.get_config("tsm")
    config.optim.unfreeze = (("backbone/.*", 2.0),)
    planned, _, _ = rehearse(config, meshes.build())
    assert [note.partition(":")[0] for note in planned.notes] == ["trained from epoch 2 on"]


def test_detection_has_the_truth_of_all_classes():
    config = fast_rcnn_own.get_config("mini")
    config.update_from_flattened_dict({"data.recipe.boxes": 4})
    _, _, shapes = rehearse(config, meshes.build())
    assert shapes["box_label"].shape == (config.batch, 4, EXAMPLE_CLASSES)  # data would have told
    assert shapes["boxes"].shape == shapes["proposals"].shape == (config.batch, 4, 4)


def test_localization_has_features():
    config = bmn_own.get_config("mini")
    config.model = dict(name="bmn", variant="test", channels=16, samples=4)
    config.update_from_flattened_dict({"data.recipe.frames": 8, "data.recipe.channels": 16})
    _, _, shapes = rehearse(config, meshes.build())
    assert shapes["feature"].shape == (config.batch, 8, 16)


def test_a_part_that_there_is_not_is_named():
    config = quickstart.get_config()
    config.update_from_flattened_dict({"task.name": "recogniton"})
    with pytest.raises(UserError, match='Did you mean "recognition"'):
        rehearse(config, meshes.build())


@pytest.mark.parametrize(
    "model,message",
    [
        (dict(name="stgcn", variant="test"), "SkeletonNet takes keypoint, but .* give video"),
        (dict(name="tsn", backbone=dict(name="bmn", variant="test")), "Base takes feature"),
        (dict(name="tpn", backbone=dict(name="audioonly", variant="test")), "takes audio, but"),
    ],
)
def test_a_model_of_other_inputs_is_named(model, message):
    config = quickstart.get_config()
    config.model = model
    with pytest.raises(UserError, match=message):
        rehearse(config, meshes.build())


def test_clips_that_are_too_short_for_a_model_are_an_error():
    config = quickstart.get_config()
    config.model = dict(name="c3d", variant="test")
    config.data.recipe.frames = 1
    with pytest.raises(
        UserError, match=r"the clips are too small for this model.* raise the frames"
    ):
        rehearse(config, meshes.build())


def test_parameters_are_unfrozen_before_the_end():
    config = quickstart.get_config()
    config.model = dict(name="tsn", variant="test")
    config.optim.unfreeze = (("backbone/.*", config.epochs),)
    with pytest.raises(UserError, match=r"from epoch 6 on, but the run ends at config\.epochs=6"):
        rehearse(config, meshes.build())


@pytest.mark.long
def test_operations_of_a_step_are_six_a_published_multiply_add():
    """Two for each multiply-add, and the backward pass has twice those of the forward pass."""
    config = stgcnpp_ntu60.get_config("2d_j")
    config.batch, config.accumulate = 16, 2
    planned, _, batch = rehearse(config, meshes.build())
    published = zoo.get("stgcnpp_2d_joint_ntu60").flops_g * 1e9
    assert planned.flops(batch) == pytest.approx(6 * published * 16 / 8, rel=0.05)


def test_frozen_layers_have_no_operations_in_the_backward_pass():
    config = quickstart.get_config()
    config.model = dict(name="tsn", variant="test")
    planned, _, batch = rehearse(config, meshes.build())
    whole = planned.flops(batch)
    config.optim.freeze = ("backbone/.*",)
    # They are the forward pass of the backbone, and three passes of the head.
    assert 1 / 3 < planned.flops(batch) / whole < 0.34
