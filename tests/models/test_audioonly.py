"""The audio pathway: factorized convolutions, and which stages have them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.models import audioonly


def initialized(net, *shape):
    """Shapes of the output and of the variables."""
    sound = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), sound)


def test_a_factorized_convolution_sees_one_time_or_one_frequency():
    net = audioonly.Factorized(2, (3, 5))
    sound = np.zeros((1, 9, 11, 1), np.float32)
    sound[0, 4, 6] = 1
    init = jax.jit(lambda x: net.init_with_output(jax.random.key(0), x, train=False))
    out, _ = init(sound)
    over_time, over_frequency = (np.argwhere(x[0].any(-1)) for x in out)
    assert {(*at,) for at in over_time.tolist()} <= {(t, 6) for t in (3, 4, 5)}
    assert {(*at,) for at in over_frequency.tolist()} <= {(4, f) for f in (4, 5, 6, 7, 8)}
    assert len(over_time) > 1 and len(over_frequency) > 2


def test_early_stages_are_factorized_and_late_ones_have_a_bare_convolution():
    net = audioonly.backbone("r50")
    features, variables = initialized(net, 2, 128, 80, 1)
    assert features.shape == (2, 16, 10, 1024)
    blocks = {k: set(v["conv2"]) for k, v in variables["params"].items() if "layer" in k}
    early = {k for k, v in blocks.items() if v == {"time", "frequency"}}
    assert early == {"layer1_0", "layer1_1", "layer1_2", *(f"layer2_{i}" for i in range(4))}
    assert all(blocks[k] == {"kernel"} for k in blocks.keys() - early)
    kernels = variables["params"]["layer2_0"]["conv2"]
    assert kernels["time"]["conv"]["kernel"].shape == (3, 1, 64, 64)
    assert variables["params"]["layer2_0"]["conv3"]["conv"]["kernel"].shape == (1, 1, 128, 256)


def test_the_stem_adds_both_directions():
    net = audioonly.Stem(3, (9, 9))
    out, variables = initialized(net, 1, 12, 12, 1)
    assert out.shape == (1, 12, 12, 3)
    pair = variables["params"]["conv"]
    assert {k: v["conv"]["kernel"].shape for k, v in pair.items()} == {
        "time": (9, 1, 1, 3),
        "frequency": (1, 9, 1, 3),
    }
