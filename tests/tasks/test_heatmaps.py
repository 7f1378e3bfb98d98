"""PoseC3D's input, drawn by the recognition task where the recipe leaves it to the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.data.recipes import heatmap as recipe
from jaxvid.ops.heatmap import Drawing
from jaxvid.tasks.recognition import Recognition
from tests.data.transforms.test_skeleton import run, sample_of


def batch(**options):
    """Three samples of a recipe, each of other people."""
    rows = []
    for seed in range(3):
        sample = sample_of(frames=20, people=2)
        sample["keypoint"] = np.roll(sample["keypoint"], seed, 1)
        rows.append(run(recipe.build(**options), sample, seed))
    stacked = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    return stacked | {"mask": np.ones(3, np.float32)}


@pytest.mark.parametrize("limbs", [False, True])
@pytest.mark.parametrize("size,sigma", [(56, 0.6), (24, 1.5)])
def test_the_task_draws_what_a_worker_draws(limbs, size, sigma):
    options = dict(split="train", frames=4, size=size, sigma=sigma, limbs=limbs)
    drawn, points = batch(**options), batch(**options, drawn=False)
    assert "heatmap" not in points and "keypoint" not in drawn
    drawing = Drawing(size=size, sigma=sigma, limbs=recipe.LIMBS if limbs else ())
    task = Recognition(num_classes=5, keys=("heatmap",), heatmap=drawing)
    got = jax.jit(lambda b: task.prepare(jax.random.key(0), b, True))(points)
    assert got["heatmap"].shape == (3, 1, 4, size, size, 17)
    np.testing.assert_allclose(got["heatmap"], drawn["heatmap"], atol=3e-6)
    assert drawn["heatmap"].max() > 0.5
    assert task.inputs(got).keys() == {"heatmap"}


def test_what_is_drawn_already_stays():
    data = batch(split="val", frames=4, test_size=32)
    task = Recognition(num_classes=5, keys=("heatmap",))
    got = task.prepare(jax.random.key(0), {k: jnp.array(v) for k, v in data.items()}, False)
    np.testing.assert_array_equal(got["heatmap"], data["heatmap"])


def test_key_points_stay_key_points():
    data = batch(split="train", frames=4, drawn=False)
    got = Recognition(num_classes=5, keys=("keypoint",)).prepare(jax.random.key(0), data, True)
    assert "heatmap" not in got
