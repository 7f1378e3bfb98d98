"""What a plan knows of a step before it is compiled."""

import pytest

from configs import stgcnpp_ntu60
from jaxvid.distributed import mesh as meshes
from jaxvid.train.rehearsal import rehearse
from jaxvid.weights import zoo

pytestmark = pytest.mark.long


def test_operations_of_a_step_are_six_a_published_multiply_add():
    """Two for each multiply-add, and the backward pass has twice those of the forward pass."""
    config = stgcnpp_ntu60.get_config("2d_j")
    config.batch, config.accumulate = 16, 2
    planned, _, batch = rehearse(config, meshes.build())
    published = zoo.find("stgcnpp_2d_joint_ntu60").flops_g * 1e9
    assert planned.flops(batch) == pytest.approx(6 * published * 16 / 8, rel=0.05)
