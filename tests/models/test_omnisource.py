"""OmniSource: clips and images through the same layers, and their two heads."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import fill
from tests.models.test_contract import CLASSES, make, trace

IMAGES = 11


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    return make("omnisource", image_classes=IMAGES)


@pytest.fixture(scope="module")
def variables(model):
    return fill(trace("omnisource", model))


def test_features_of_an_image_are_those_of_a_clip_that_repeats_it(model, variables):
    """In the middle of a long clip, which the zeros before and after do not reach."""
    image = draw(1, 16, 16, 3)
    of_backbone = {k: v["backbone"] for k, v in variables.items()}

    def features(x):
        return model.backbone.apply(of_backbone, x, train=False)

    clip = jax.jit(features)(jnp.repeat(image[:, None], 9, 1))
    np.testing.assert_allclose(jax.jit(features)(image), clip[:, 4], rtol=1e-4, atol=1e-5)
    assert np.abs(clip[:, 4] - clip[:, 0]).max() > 1e-3


def test_heads_are_for_what_is_given(model, variables):
    def shapes(**inputs):
        return jax.eval_shape(lambda x: model.apply(variables, **x, train=False), inputs)

    clip, image = draw(2, 4, 16, 16, 3), draw(3, 16, 16, 3)
    assert shapes(video=clip).shape == (2, CLASSES)
    assert shapes(image=image).shape == (3, IMAGES)
    both = shapes(video=clip, image=image)
    assert [x.shape for x in both] == [(2, CLASSES), (3, IMAGES)]
    of_images = jax.eval_shape(lambda x: model.init(jax.random.key(0), image=x, train=False), image)
    assert jax.tree.structure(of_images) == jax.tree.structure(variables)


@pytest.mark.long
def test_images_update_the_statistics_of_their_head_only(model, variables):
    """Those of the backbone follow the clips, and their batches are normalized apart."""

    def train(**inputs):
        options = dict(rngs={"dropout": jax.random.key(0)}, mutable=["batch_stats"])
        return model.apply(variables, **inputs, train=True, **options)[1]["batch_stats"]

    clip, image = draw(2, 2, 8, 8, 3), 5 + draw(3, 8, 8, 3)
    old, alone, both = variables["batch_stats"], train(video=clip), train(video=clip, image=image)
    jax.tree.map(np.testing.assert_array_equal, alone["backbone"], both["backbone"])
    only_images = train(image=image)
    jax.tree.map(np.testing.assert_array_equal, old["backbone"], only_images["backbone"])
    assert (
        np.abs(only_images["head"]["image_bn"]["mean"] - old["head"]["image_bn"]["mean"]).max()
        > 1e-3
    )
    jax.tree.map(np.testing.assert_array_equal, old["head"]["bn"], only_images["head"]["bn"])
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), old, both)
    assert all(change > 0 for change in jax.tree.leaves(moved))
