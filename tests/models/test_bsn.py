"""BSN's stages: they are apart in the backward pass, and equal those of single stages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models import bsn
from jaxvid.ops.proposals import boundary_features, pair_boundaries
from tests.conftest import fill

pytestmark = pytest.mark.long


@functools.cache
def example():
    net = bsn.build("test", pairs=64)
    x = 9 * np.random.default_rng(0).standard_normal((2, 8, 12)).astype(np.float32)
    variables = fill(jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x))
    return net, variables, x


def test_the_last_stage_sees_the_proposals_and_action_scores_of_the_first():
    net, variables, x = example()
    out = net.apply(variables, x, train=False)
    last = bsn.build("pem-400", width=8, frames=64)
    params = dict(variables["params"])
    own = {"backbone": {"hidden": {"fc1": params["fc1"]}}, "fc2": params["fc2"]}
    for row in range(2):
        pairs = pair_boundaries(np.asarray(out.start[row]), np.asarray(out.end[row]))
        found = int((out.score[row] > 0).sum())
        assert found == len(pairs) < 64
        np.testing.assert_allclose(out.score[row, :found], pairs[:, 4], rtol=1e-5)
        where = {tuple(pair) for pair in np.round(pairs[:, :2], 4)}
        assert {tuple(pair) for pair in np.round(out.segments[row, :found], 4).tolist()} == where
        segments = np.asarray(out.segments[row])
        features = boundary_features(segments, np.asarray(out.action[row]))
        alone = last.apply({"params": own}, jnp.array(features[None], jnp.float32), train=False)
        np.testing.assert_allclose(out.overlap[row], alone.overlap[0], atol=1e-6)


def test_no_gradient_passes_from_a_stage_to_the_one_before_it():
    net, variables, x = example()

    def of(name):
        def loss(params):
            return jnp.square(getattr(net.apply({"params": params}, x, train=True), name)).sum()

        norms = jax.tree.map(jnp.linalg.norm, jax.grad(loss)(variables["params"]))
        return {part: max(map(float, jax.tree.leaves(n))) > 0 for part, n in norms.items()}

    first = dict(backbone=True, conv3=True, fc1=False, fc2=False)
    assert of("start") == of("action") == first
    assert of("overlap") == {part: not seen for part, seen in first.items()}
