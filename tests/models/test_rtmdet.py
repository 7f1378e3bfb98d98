"""RTMDet: kernels that the maps share, and their copies in published files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import rtmdet
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

TABLE = rtmdet.WEIGHTS["mmaction"]
KERNEL = "bbox_head.cls_convs.{}.1.conv.weight"


@pytest.fixture(scope="module")
def shared():
    """A tiny network whose maps share kernels, and its variables."""
    head = rtmdet.Head(3, 8, 1, False, shared=True)
    net = rtmdet.Detector(rtmdet.backbone("test", separable=False), head)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), image)
    return net, fill(shapes)


def test_files_have_a_copy_of_a_shared_kernel_for_each_map(shared):
    net, variables = shared
    tensors = export(variables, TABLE, net)
    for i in (1, 2):
        np.testing.assert_array_equal(tensors[KERNEL.format(i)], tensors[KERNEL.format(0)])
    norms = [tensors[f"bbox_head.cls_convs.{i}.1.bn.weight"] for i in range(3)]
    assert not np.array_equal(norms[0], norms[1])
    back, _ = convert(tensors, variables, TABLE, net=net)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_copies_that_differ_are_refused(shared):
    net, variables = shared
    tensors = export(variables, TABLE, net)
    tensors[KERNEL.format(2)] = tensors[KERNEL.format(2)] + 1
    with pytest.raises(UserError, match=r"cls_convs\.2\.1\.conv\.weight differs from .*shares"):
        convert(tensors, variables, TABLE, net=net)
