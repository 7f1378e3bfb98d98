"""SlowFast: which pathway sees what, what crosses over and how wide it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models import slowfast
from tests.models.test_resnets import build, example, exported, trace


@functools.cache
def stem_and_features():
    """(variables, video) -> the slow stem, and the features of the slow and fast pathways."""
    net = example("slowfast").net.backbone

    @jax.jit
    def run(variables, video):
        own = {k: v["backbone"] for k, v in variables.items()}
        out, seen = net.apply(
            own,
            video,
            train=False,
            mutable=["intermediates"],
            capture_intermediates=lambda module, method: method == "first",
        )
        return seen["intermediates"]["slow_path"]["first"][0], *out

    return run


def test_the_slow_pathway_sees_every_alphath_frame():
    this, run = example("slowfast"), stem_and_features()
    stem, slow, fast = run(this.variables, this.video)
    assert len(this.video[0]) == 16
    assert (stem.shape[1], slow.shape[1], fast.shape[1]) == (8, 8, 16)

    between = this.video.copy()
    between[:, 1::2] = 0
    other, *features = run(this.variables, between)
    np.testing.assert_array_equal(other, stem)
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(features, (slow, fast), strict=True))

    seen = this.video.copy()
    seen[:, 6] = 0
    other, *_ = run(this.variables, seen)
    assert np.flatnonzero(np.abs(other - stem).max((0, 2, 3, 4))).tolist() == [3]


def test_the_fast_pathway_tells_and_is_not_told():
    this, run = example("slowfast"), stem_and_features()
    _, slow, fast = run(this.variables, this.video)
    for path, changes in (("slow_path", [True, False]), ("fast_path", [True, True])):
        other = jax.tree.map(np.copy, this.variables)
        other["params"]["backbone"][path]["conv1"]["bn"]["bias"] += 1
        _, *features = run(other, this.video)
        gaps = [np.abs(a - b).max() for a, b in zip(features, (slow, fast), strict=True)]
        assert [bool(gap > 1e-3) for gap in gaps] == changes


def test_the_head_takes_the_fast_features_first():
    this = example("slowfast")
    _, slow, fast = stem_and_features()(this.variables, this.video)
    head = this.variables["params"]["head"]["fc"]
    pooled = [np.asarray(x).mean((1, 2, 3)) for x in (fast, slow)]
    want = np.concatenate(pooled, 1) @ head["kernel"] + head["bias"]
    got = this.forward(this.variables, this.video)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha,frames,slow", [(2, 15, 8), (4, 16, 4), (8, 33, 5)])
def test_the_pathways_meet_at_any_length(alpha, frames, slow):
    net = slowfast.backbone("test", alpha=alpha)
    video = jax.ShapeDtypeStruct((1, frames, 32, 32, 3), jnp.float32)
    out, _ = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False), video
    )
    assert [x.shape[1] for x in out] == [slow, frames]


def test_channels():
    """The fast pathway has an eighth of the channels and tells twice as many as it has."""
    params = trace(build("slowfast"), 1, 16, 32, 32, 3)["params"]["backbone"]
    slow, fast = params["slow_path"], params["fast_path"]
    assert fast["conv1"]["conv"]["kernel"].shape == (5, 7, 7, 3, 2)
    assert slow["conv1"]["conv"]["kernel"].shape == (1, 7, 7, 3, 16)
    assert params["conv1_lateral"]["kernel"].shape == (5, 1, 1, 2, 4)
    assert params["layer1_lateral"]["kernel"].shape == (5, 1, 1, 8, 16)
    assert slow["layer1_0"]["conv1"]["conv"]["kernel"].shape == (3, 1, 1, 16 + 4, 16)
    assert slow["layer2_0"]["conv1"]["conv"]["kernel"].shape == (3, 1, 1, 64 + 16, 32)
    assert fast["layer2_0"]["conv1"]["conv"]["kernel"].shape == (3, 1, 1, 8, 4)
    # After the last stage nobody would listen.
    assert params.keys() == {"slow_path", "fast_path", "conv1_lateral", "layer1_lateral"}
    wide = trace(build("slowfast", beta=4, fusion=7), 1, 16, 32, 32, 3)["params"]["backbone"]
    assert wide["conv1_lateral"]["kernel"].shape == (7, 1, 1, 4, 8)


@pytest.mark.parametrize("norm", [False, True])
def test_lateral_convolutions_belong_to_upstreams_slow_pathway(norm):
    net = build("slowfast", lateral_norm=norm)
    names, _ = exported(net, trace(net, 1, 16, 32, 32, 3), slowfast.WEIGHTS["mmaction"])
    leaves = ["bn.bias", "bn.running_mean", "bn.running_var", "bn.weight"] if norm else []
    assert sorted(name for name in names if "lateral" in name) == [
        f"backbone.slow_path.{path}_lateral.{leaf}"
        for path in ("conv1", "layer1")
        for leaf in (*leaves, "conv.weight")
    ]
    assert "backbone.fast_path.layer2.0.downsample.conv.weight" in names
