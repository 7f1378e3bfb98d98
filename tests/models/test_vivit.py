"""ViViT: its first weights, from a model of images, and the two generations of its names."""

import re

import jax
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import timesformer, vivit
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

VIDEO = np.random.default_rng(0).standard_normal((1, 6, 32, 32, 3)).astype(np.float32)
NET = vivit.build("test", num_classes=5, depth=1)
TABLE = vivit.WEIGHTS["transformers"]


def shapes(net, video=VIDEO):
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)


def test_parameters_are_as_many_as_published():
    net = vivit.build("base", num_classes=400)
    params = shapes(net, jax.ShapeDtypeStruct((1, 32, 224, 224, 3), np.float32))["params"]
    assert sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params)) == 88_954_000


def test_files_of_the_hub_have_former_names():
    former = {
        r"^vivit\.layers": "vivit.encoder.layer",
        r"attention\.(q|k|v)_proj": r"attention.attention.\1",
        r"attention\.o_proj": "attention.output.dense",
        r"mlp\.fc1": "intermediate.dense",
        r"mlp\.fc2": "output.dense",
    }
    words = {".q.": ".query.", ".k.": ".key.", ".v.": ".value."}
    variables = fill(shapes(NET))
    renamed = {}
    for name, tensor in export(variables, TABLE, NET).items():
        for pattern, word in former.items():
            name = re.sub(pattern, word, name)
        for short, word in words.items():
            name = name.replace(short, word)
        renamed[name] = tensor
    assert "vivit.encoder.layer.0.attention.attention.query.weight" in renamed
    bare = {name.removeprefix("vivit."): x for name, x in renamed.items()}
    for tensors in (renamed, bare):
        loaded, _ = convert(tensors, shapes(NET), TABLE, net=NET)
        jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_a_model_of_images_sees_the_middle_frame_at_all_positions():
    image = timesformer.build("test", num_classes=5, attention="space", depth=1)
    tensors = export(fill(shapes(image)), timesformer.WEIGHTS["mmaction"], image)
    loaded, coverage = convert(tensors, shapes(NET), vivit.WEIGHTS["mmaction"], net=NET)
    kernel = loaded["params"]["backbone"]["patch_embed"]["kernel"]
    assert not kernel[0].any()
    source = tensors["backbone.patch_embed.projection.weight"]
    np.testing.assert_array_equal(kernel[1], source.transpose(2, 3, 1, 0))
    table = loaded["params"]["backbone"]["pos_embed"]["table"]
    source = tensors["backbone.pos_embed"][0]
    np.testing.assert_allclose(table, np.concatenate([source, source[1:], source[1:]]), rtol=1e-6)
    assert len(coverage.adapted) == 2


def test_a_clip_of_another_size_is_an_error():
    with pytest.raises(UserError, match="clips of 6 frames of 32 x 32 pixels"):
        shapes(NET, VIDEO[:, :2])
