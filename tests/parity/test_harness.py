"""The harness itself, on the golden of a tiny network: what it passes, and all that it fails."""

import copy
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.layers.norm import BatchNorm
from jaxvid.models import bmn
from tests.conftest import fill
from tests.parity import check, golden, toy
from tests.parity.__main__ import main
from tests.parity.cases import CASES, Case
from tests.parity.cases.case import segments
from tests.parity.cases.localization import proposals
from tests.parity.cases.swin import swin
from tests.parity.golden import Golden

pytestmark = pytest.mark.long

TSN = dict(name="tsn", variant="test")
SHAPE = (2, 2, 3, 32, 32)
TOY = Case(TSN, segments, "n t h w c -> (n t) c h w")


@pytest.fixture(autouse=True)
def row(monkeypatch):
    monkeypatch.setitem(CASES, "toy", TOY)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """JSON and arrays that pass."""
    return toy.write(tmp_path_factory.mktemp("toy"), "toy", TSN, SHAPE)


@pytest.fixture(scope="module")
def trained(right):
    """The same with a step of training."""
    about, arrays = right
    return dict(about, train=toy.train(about, dict(TSN, dropout=0.0), (3, *SHAPE[1:]))), arrays


def run(folder, made, *arguments, name="toy"):
    """Exit code for a golden with this JSON and these arrays."""
    toy.save(folder, name, *made)
    return main(["--goldens", str(folder), name, *arguments])


def test_what_is_right_passes(trained, tmp_path, capsys):
    assert run(tmp_path, trained) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("toy ")]
    about, _ = trained
    count = sum(np.prod(row[1], dtype=int) for row in about["state_dict"])
    assert f" {count:,} " in line
    assert " 2.0e-05  pass " in line
    assert all(word in line for word in ("loss", "gradient ", "gradients", "statistics"))


def test_index_buffers_are_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(CASES, "toy", swin("test"))
    spec = dict(name="swin", variant="test")
    made = toy.write(tmp_path, "toy", spec, (1, 1, 3, 4, 32, 32))
    assert {row[3] for row in made[0]["state_dict"]} == {"rand", "skip"}
    assert run(tmp_path, made) == 0


# Outputs


@pytest.mark.parametrize("array", ["logits", "backbone_mean", "backbone_slice"])
def test_an_error_beyond_the_tolerance_fails(right, tmp_path, capsys, array):
    about, arrays = right
    wrong = {k: v.copy() for k, v in arrays.items()}
    step = np.abs(arrays[array]).max() * 2e-5
    wrong[array].flat[3] += 2 * step
    assert run(tmp_path, (about, wrong)) == 1
    out = capsys.readouterr()
    assert f"\n    {array}: 4e-05, tolerance 2e-05" in out.out
    assert "1 of 1 fail: toy" in out.err
    wrong[array].flat[3] -= 1.5 * step
    assert run(tmp_path, (about, wrong)) == 0


def test_measured_noise_widens_the_tolerance(right, tmp_path):
    about, arrays = right
    wrong = arrays | dict(logits=arrays["logits"] + np.abs(arrays["logits"]).max() * 3e-5)
    noise = dict(f32_vs_f64=dict(logits=dict(rel=2e-6)))
    assert run(tmp_path, (about | noise, wrong)) == 0
    assert run(tmp_path, (about, wrong)) == 1


def test_an_absolute_tolerance(right, tmp_path, monkeypatch):
    about, arrays = right
    for bound, code in ((1e-3, 0), (1e-5, 1)):
        monkeypatch.setitem(CASES, "toy", Case(TSN, TOY.inputs, TOY.features, absolute=bound))
        assert run(tmp_path, (about, dict(logits=arrays["logits"] + 1e-4))) == code


def test_all_outputs_count(right, tmp_path, capsys):
    about, arrays = right
    assert run(tmp_path, (about, arrays | dict(logits_f64=arrays["logits"] + 1))) == 0
    for name in ("logits_pose", "backbone_1_mean"):
        assert run(tmp_path, (about, {**arrays, name: arrays["logits"]})) == 1
        found = "logits, backbone_mean, backbone_slice"
        assert f"the model gives {found}, not {name}" in capsys.readouterr().out


def test_neither_broadcasting_nor_nan_passes():
    one = np.ones((1, 3), np.float32)
    assert check.relative(one, np.ones((2, 3))) == np.inf
    assert not check.Check("", check.relative(one * np.nan, one), 1).passed
    assert check.relative(one, one * 2) == 0.5
    assert check.relative(one * 0, one * 0) == 0


# Tensors


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda rows: rows.pop(0), "nothing to load into params/backbone/conv1/conv/kernel"),
        (lambda rows: rows[0].__setitem__(0, "backbone.stem"), "no place for backbone.stem"),
        (lambda rows: rows[1].__setitem__(1, [5]), "does not fit"),
        (lambda rows: rows.append(["x.num_batches_tracked", [3], "float32", "rand"]), "the model"),
    ],
)
def test_every_tensor_is_loaded(right, tmp_path, capsys, change, message):
    about, arrays = copy.deepcopy(right)
    change(about["state_dict"])
    assert run(tmp_path, (about, arrays)) == 1
    assert message in capsys.readouterr().out


def golden_of(folder, rows, **arrays):
    return Golden("toy", folder, dict(state_dict=rows), arrays)


def test_kept_and_tied_tensors(tmp_path):
    graph, mask = np.eye(3, dtype=np.float32), np.arange(4.0)
    np.savez(tmp_path / "constants.npz", mask=mask)
    rows = [
        ["a.weight", [2, 3], "float32", "rand"],
        ["block1.A", [3, 3], "float32", "keep", dict(sha1=golden.digest(graph))],
        ["block2.A", [3, 3], "float32", "keep", dict(sha1=golden.digest(graph))],
        ["mask", [2, 2], "float64", "keep", dict(sha1=golden.digest(mask))],
        ["index", [9], "int64", "skip"],
        ["b.weight", [2, 3], "float32", "tied:a.weight"],
    ]
    made = golden_of(tmp_path, rows, **{"keep:block1.A": graph})
    found = made.tensors()
    assert found.keys() == {row[0] for row in rows} - {"index"}
    np.testing.assert_array_equal(found["block2.A"], graph)
    np.testing.assert_array_equal(found["mask"], mask.reshape(2, 2))
    assert found["b.weight"] is found["a.weight"]
    assert made.parameters == 6


def test_a_kept_tensor_must_be_the_recorded_one(tmp_path):
    rows = [["A", [3], "float32", "keep", dict(sha1="0" * 40)]]
    with pytest.raises(UserError, match=r"A \[3\] with sha1 0+ is neither in toy.npz"):
        golden_of(tmp_path, rows, **{"keep:A": np.zeros(3, np.float32)}).tensors()


def test_a_large_constant_is_compared_by_its_hash(tmp_path, monkeypatch):
    """The sampling mask of BMN's smallest model, which no golden file holds."""
    net = bmn.build("test", samples=4)
    x = np.zeros((1, 8, 12), np.float32)
    variables = fill(jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x))
    mask = bmn.masks(net, [])["sample_mask"]
    monkeypatch.setattr(golden, "LARGE", 100)
    monkeypatch.setattr(Golden, "case", proposals("test"))
    for right in (True, False):
        sha1 = golden.digest(mask if right else mask + 1)
        rows = [["sample_mask", mask.shape, "float32", "keep", dict(sha1=sha1)]]
        made = golden_of(tmp_path, rows)
        assert made.tensors() == {}
        (found,) = check.constants(made, net, variables)
        assert (found.what, found.passed) == ("sample_mask", right)


# Training


def scaled(key, factor):
    def change(record):
        place = record["f64"][key]
        if isinstance(place, float):
            record["f64"][key] *= factor
        else:
            place[next(k for k in place if k != "top1_acc")] *= factor

    return change


KEYS = {
    "total_loss": "loss (total)",
    "losses": "loss (loss_cls)",
    "grad_l2": "gradient",
    "grad_l2_per_param": "gradients (backbone.conv1.conv.weight)",
    "bn_running_stats_l2_after_one_forward": "statistics (backbone.conv1.bn.running_mean)",
}


@pytest.fixture(scope="module")
def stepped(trained):
    """What the check of training computes, to compare with other records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CASES, "toy", TOY)
        return check.step(Golden("toy", Path(), *trained), double=True)


@pytest.mark.parametrize("key", KEYS)
def test_a_step_of_training_that_differs_fails(stepped, trained, key):
    for factor, wrong in ((1 + 1e-7, []), (1 + 1e-5, [KEYS[key]])):
        record = copy.deepcopy(trained[0]["train"])
        scaled(key, factor)(record)
        checks = check.compare(stepped[0], stepped[1], record, True)
        assert [c.what for c in checks if not c.passed] == wrong


def test_a_wrong_norm_fails_the_command(trained, tmp_path, capsys):
    about, arrays = copy.deepcopy(trained)
    scaled("grad_l2_per_param", 1.001)(about["train"])
    assert run(tmp_path, (about, arrays)) == 1
    assert "gradients (backbone.conv1.conv.weight): 0.000999" in capsys.readouterr().out


@pytest.mark.parametrize("key,value", [("labels", [3, 0, 3]), ("input_seed", 8)])
def test_a_step_takes_the_recorded_labels_and_input(trained, key, value):
    about, arrays = copy.deepcopy(trained)
    about["train"][key] = value
    checks = check.training(Golden("toy", Path(), about, arrays))
    assert not any(c.passed for c in checks[:4])


def test_double_precision_reaches_what_is_float32_whatever_the_dtype():
    x = np.random.default_rng(0).standard_normal((9, 2))
    with check.double_precision():
        y, _ = BatchNorm(dtype=jnp.float64).init_with_output(jax.random.key(0), x, train=True)
    want = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-14)
    assert jnp.zeros(1, jnp.float32).dtype == np.float32


def test_float32_may_differ_by_five_times_the_recorded_noise():
    names = ("a", "b", "c", "zero")
    norms = dict(zip(names, (1.0, 2.0, 2.0, 1e-7), strict=True))
    record = dict(
        losses=dict(loss_cls=1.0, top1_acc=0.3),
        total_loss=1.0,
        grad_l2=3.0,
        grad_l2_per_param=norms,
        bn_running_stats_l2_after_one_forward={"bn.running_var": 1.0},
    )
    noise = dict(
        loss_rel_noise_f32=1e-4,
        grad_l2_rel_noise_f32=1e-3,
        per_param_grad_rel_noise_f32=dict(max=1e-2, median=1e-5),
    )
    noisy = dict(record, f64=dict(record, **noise))

    def failing(record, loss=1.0, stats=1.0, **changes):
        ours = {**norms, "bn.running_var": stats, **changes}
        checks = check.compare({"loss_cls": loss}, ours, record, double=False)
        return [c.what.split()[0] for c in checks if not c.passed]

    assert failing(noisy) == failing(record) == []
    assert failing(noisy, loss=1 + 4e-4) == []
    assert failing(noisy, loss=1 + 6e-4) == ["loss"]
    assert failing(noisy, a=1.04) == []  # the median and the sum of squares hardly move
    assert failing(noisy, a=1.06) == ["gradient", "gradients"]
    assert failing(noisy, a=1.001, b=2.0006) == ["median"]
    assert failing(noisy, zero=1.0) == ["gradient"]  # alone below 1e-6 of the whole in the record
    assert failing(noisy, zero=1e-6) == []
    assert failing(noisy, stats=1 + 3e-5) == ["statistics"]  # no noise was recorded for these
    assert failing(record, loss=1 + 3e-5) == ["loss"]
    assert failing(record, a=1 + 3e-5) == ["gradients"]
    assert failing(noisy, b=np.nan) == ["gradient", "gradients", "median"]


# What users bring


def test_a_golden_of_ones_own(right, tmp_path, capsys):
    """Another head, seed and size; the row is that of `base`."""
    told = dict(base="toy", num_classes=3, input_seed=4)
    made = toy.write(tmp_path, "mine", TSN, (1, 3, 3, 48, 32), seed=4, classes=3, **told)
    toy.save(tmp_path, "stranger", *right)
    assert main(["--goldens", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "\nmine " in out
    assert "no row yet (1): stranger" in out
    for change, message in (
        (dict(input_seed=0), "    logits: "),
        (dict(num_classes=4), "does not fit"),
        (dict(input=(1, 3, 3, 32, 48)), "    logits: "),
    ):
        assert run(tmp_path, (made[0] | change, made[1]), name="mine") == 1
        assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    "name,about,message",
    [
        ("tsn_r5", {}, 'tsn_r5: tests/parity/cases has no row "tsn_r5".*mean "tsn_r50"'),
        ("mine", dict(base="tonne"), 'has no row "tonne": add one, or name as "base" in mine.json'),
        ("toy", dict(input=None), 'toy.json has no "input"'),
    ],
)
def test_a_golden_that_does_not_say_enough(right, tmp_path, capsys, name, about, message):
    made = {k: v for k, v in (right[0] | about).items() if v is not None}
    assert run(tmp_path, (made, right[1]), name=name) == 1
    found = capsys.readouterr().err
    assert found.startswith("error: ")
    assert re.search(message, found), found


def test_names_that_there_are_not(right, tmp_path, capsys):
    toy.save(tmp_path, "toy", *right)
    (tmp_path / "half.json").write_text("{}")
    assert main(["--goldens", str(tmp_path), "toi"]) == 1
    assert 'no golden toi: toi.json and toi.npz. Did you mean "toy"?' in capsys.readouterr().err
    assert main(["--goldens", str(tmp_path), "half"]) == 1
    assert "no golden half: half.json and half.npz" in capsys.readouterr().err
    assert main(["--goldens", str(tmp_path / "none")]) == 1
    assert "none: no such folder" in capsys.readouterr().err


def test_one_that_crashes_does_not_hide_the_others(right, tmp_path, monkeypatch, capsys):
    for name in ("toy", "also"):
        toy.save(tmp_path, name, dict(right[0], base="toy"), right[1])
    crash = Case(TSN, lambda x: {"video": 1 / 0}, TOY.features)
    monkeypatch.setitem(CASES, "crash", crash)
    toy.save(tmp_path, "crash", *right)
    assert main(["--goldens", str(tmp_path)]) == 1
    out = capsys.readouterr()
    assert out.out.count("  pass") == 2
    assert "FAIL  ZeroDivisionError" in out.out
    assert "1 of 3 fail: crash" in out.err


# The recipe


@pytest.mark.parametrize(
    "name,shape,last",
    [
        ("bn.running_var", [2], 1.3229730129241943),
        ("bn.running_mean", [2], 0.009282942861318588),
        ("block.conv_out.bn.weight", [2], -0.008959741331636906),
        ("bn.weight", [2], 1.0821027755737305),
        ("conv.weight", [2, 3, 2], 0.36193835735321045),
        ("attn.in_proj_weight", [2, 2], 1.042846918106079),
        ("lstm.weight_ih_l0", [2, 2], 0.018341122195124626),
        ("fc.bias", [2], 0.19662603735923767),
        ("scale", [], 0.03518151864409447),
    ],
)
def test_weights_follow_from_their_names(name, shape, last):
    """Values of the code that stands in the recipe."""
    found = golden.weight(name, shape)
    assert (found.dtype, list(found.shape)) == (np.float32, shape)
    assert found.flat[-1] == np.float32(last)


def test_several_inputs_come_from_one_generator():
    found = golden.draw(dict(imgs=[2], heatmaps=[1, 2]), 0)
    assert found["imgs"].tolist() == [0.1257302165031433, -0.13210485875606537]
    assert found["heatmaps"].tolist() == [[0.6404226422309875, 0.10490011423826218]]
    assert golden.draw([2], 0).tolist() == found["imgs"].tolist()
