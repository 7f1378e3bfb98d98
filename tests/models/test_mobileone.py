"""MobileOne: the form for inference, published sizes, and TSM on it."""

import json
from functools import partial

import jax
import numpy as np
import pytest

import jaxvid
from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.inference.model import deployed
from jaxvid.layers.norm import BatchNorm
from jaxvid.models import mobileone
from jaxvid.tools import export_weights
from jaxvid.weights import resolve, safetensors_file, zoo
from jaxvid.weights.convert import export
from tests.conftest import fill
from tests.models.test_resnets import draw, trace

BACKBONE = dict(name="mobileone", variant="test")
TSM = dict(name="tsm", backbone=BACKBONE)


def build(spec, **options):
    return plug.load("models", {**spec, **options}, num_classes=7)


def published(variant, **options):
    """Number of parameters, without the running statistics, of a classifier of ImageNet."""
    spec = dict(name="mobileone", variant=variant, **options)
    net = plug.load("models", spec, num_classes=1000)
    return sum(leaf.size for leaf in jax.tree.leaves(trace(net, 1, 1, 64, 64, 3)["params"]))


def near_ones(variables):
    """Filled variables with positive variances and scales, as a trained network has."""

    def near(path, leaf):
        ones = path[-1].key in ("scale", "var")
        return leaf if path[-1].key == "kernel" else ones + 0.2 * np.clip(leaf, -3, 3)

    return jax.tree_util.tree_map_with_path(near, fill(variables))


@pytest.mark.parametrize(
    "kernel,stride,groups,features",
    [
        ((3, 3), 1, 8, 8),
        ((3, 3), 2, 8, 8),
        ((1, 1), 1, 1, 8),
        ((1, 1), 1, 1, 12),
        ((3, 3), 1, 2, 8),
    ],
)
def test_the_branches_of_a_block_are_one_convolution(kernel, stride, groups, features):
    make = partial(
        mobileone.MobileOneBlock,
        *(features, kernel, stride, groups, 2, False),
        norm=BatchNorm,
        dtype="float32",
    )
    x = draw(1, 2, 6, 6, 8)
    many, one = make(deploy=False), make(deploy=True)
    shapes = jax.eval_shape(lambda x: many.init(jax.random.key(0), x, False), x)
    variables = near_ones(shapes)
    want = many.apply(variables, x, False)
    got = one.apply(mobileone.deploy(variables), x, False)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("spec", [BACKBONE, TSM])
def test_both_forms_give_the_same_scores(spec):
    many, one = build(spec), build(deployed(spec))
    video = draw(2, 4, 32, 32, 3)
    variables = near_ones(trace(many, *video.shape))
    merged = mobileone.deploy(variables)
    assert jax.tree.map(np.shape, merged) == jax.tree.map(np.shape, trace(one, *video.shape))
    want = jax.jit(lambda x: many.apply(variables, x, train=False))(video)
    got = jax.jit(lambda x: one.apply(merged, x, train=False))(video)
    assert np.std(want) > 1e-3
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_only_families_with_a_deploy_form_are_deployed():
    tsm = deployed(dict(TSM, shift=4))
    assert tsm == dict(name="tsm", backbone=dict(BACKBONE, deploy=True), shift=4)
    with pytest.raises(UserError, match="only mobileone has a deploy form; leave it out for tsm"):
        deployed(dict(name="tsm", variant="r50"))


@pytest.mark.long
@pytest.mark.parametrize(
    "variant,size", [("s0", 2.08), ("s1", 4.76), ("s2", 7.81), ("s3", 10.08), ("s4", 14.84)]
)
def test_sizes_for_inference_are_the_published_ones(variant, size):
    """In millions of parameters."""
    assert published(variant, deploy=True) / 1e6 == pytest.approx(size, abs=0.006)


@pytest.mark.long
def test_a_file_is_loaded_and_exported_in_its_form_for_inference(tmp_path):
    net = build(TSM)
    variables = near_ones(trace(net, 1, 4, 32, 32, 3))
    origin = resolve.published(zoo.get("tsm_r50_u8_k400"), tmp_path)
    recipe = dict(name="segments", frames=4, size=32, crops=3)
    config = origin.config | dict(model=TSM, data=dict(recipe=recipe))
    about = dict(config=config, names=list("abcdefg"), upstream="mmaction", step=3)
    tensors = export(variables, resolve.tables(TSM, net)["mmaction"], net)
    path, out = tmp_path / "mine.safetensors", tmp_path / "deployed.safetensors"
    safetensors_file.write(path, tensors, {"format": "pt", "jaxvid": json.dumps(about)})
    assert export_weights.main([str(path), f"--out={out}", "--deploy"]) == 0
    clip = np.random.default_rng(0).integers(0, 256, (9, 40, 60, 3), np.uint8)
    want = jaxvid.load(path).scores(clip)
    for model in (jaxvid.load(path, deploy=True), jaxvid.load(out), jaxvid.load(out, deploy=True)):
        assert model.net.backbone.deploy
        assert "batch_stats" not in model.variables
        np.testing.assert_allclose(model.scores(clip), want, rtol=1e-4, atol=1e-5)


def test_a_shift_wraps_every_block():
    net = build(TSM)
    rows = resolve.tables(TSM, net)
    assert ("backbone.stage0.net.branch_norm", "backbone/stage0/norm") in rows["mmaction"].rows(net)
    assert not any(".net" in torch for torch, _ in rows["mmpretrain"].rows(net))
