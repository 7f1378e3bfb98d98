"""Maps drawn on the device are those that data workers draw."""

import jax
import numpy as np
import pytest

from jaxvid.data.recipes import heatmap as recipe
from jaxvid.data.transforms.heatmap import Heatmaps
from jaxvid.ops import heatmap
from tests.data.transforms.test_pose_heatmap import people
from tests.data.transforms.test_skeleton import run, sample_of


@pytest.mark.parametrize("sigma", [0.6, 1.5])
@pytest.mark.parametrize("limbs", [(), recipe.LIMBS], ids=["joints", "limbs"])
def test_as_in_a_worker(limbs, sigma):
    both = [people(seed) for seed in (0, 1)]
    points, scores = (np.stack(arrays) for arrays in zip(*both, strict=True))
    keypoint = np.concatenate([points, scores[..., None]], -1)
    draw = jax.jit(heatmap.draw, static_argnums=(1, 2, 3, 4))
    out = draw(keypoint[:, None], 14, 12, sigma, limbs)
    expected = Heatmaps(sigma, limbs=limbs).draw(points, scores, 14, 12)
    assert out.shape == (2, 1, 3, 14, 12, 17) and out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0], expected, atol=3e-6)
    # The same windows; XLA has no numbers below 1e-38.
    assert ((out[:, 0] > 1e-30) == (expected > 1e-30)).all()


@pytest.mark.parametrize("limbs", [False, True])
def test_training_may_leave_the_drawing_to_the_device(limbs):
    """The same maps from the same randomness, at a hundredth of the bytes."""
    options = dict(frames=4, limbs=limbs)
    drawn = run(recipe.build("train", **options), sample_of(frames=20, people=3))
    points = run(
        recipe.build("train", **options, drawn=False, people=4), sample_of(frames=20, people=3)
    )
    assert points.keys() == {"keypoint", "label"}
    assert points["keypoint"].shape == (1, 4, 4, 17, 3)
    out = heatmap.draw(points["keypoint"], 56, 56, limbs=recipe.LIMBS if limbs else ())
    np.testing.assert_allclose(out, drawn["heatmap"], atol=3e-6)
    assert "heatmap" in run(recipe.build("val", **options, drawn=False), sample_of(frames=20))
