"""Starting from a run or a file: all of it or an error, the head where the classes are the same."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.checkpoints import store
from jaxvid.errors import UserError
from jaxvid.models import tsn
from jaxvid.param_rules import flatten
from jaxvid.weights import resolve, safetensors_file, zoo
from jaxvid.weights.convert import export
from tests.conftest import fill
from tests.weights.pickle_bytes import write_tensors

LONG = pytest.mark.long


def build(family, classes=3, seed=0, variant="test", **options):
    """A model of a family and variables for it, on one device."""
    spec = dict(name=family, variant=variant, **options)
    net = plug.load("models", spec, num_classes=classes)
    example = plug.module("models", family).example(variant)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), example)
    return net, jax.device_put(fill(shapes, seed), jax.devices()[0])


def save(workdir, family, variables, names, ema=None):
    rest = {k: v for k, v in variables.items() if k != "params"}
    state = {"params": variables["params"], "model_state": rest}
    state |= {"ema": ema} if ema else {}
    checkpoints = store.Store(workdir)
    recipe = {"name": "clip", "frames": 4, "stride": 2}
    config = {
        "model": {"name": family},
        "data": {"recipe": recipe},
        "task": {"name": "recognition"},
    }
    checkpoints.save(1, state, dict(names=names, config=config), {})
    checkpoints.wait()
    checkpoints.close()
    return workdir


def start(spec, net, family, variables, skip=(), match_classes=False, **known):
    init = {"weights": str(spec), "skip": skip, "match_classes": match_classes}
    return flatten(resolve.starting_from(init, net, dict(name=family), **known)(variables))


def same(a, b, but=""):
    return {k for k in a if not np.array_equal(a[k], b[k])} == {k for k in a if but and but in k}


@pytest.mark.parametrize("family", ["tsn", "slowonly", "slowfast", "swin"])
def test_a_run_is_taken_over_with_its_statistics(tmp_path, family):
    net, variables = build(family)
    _, fresh = build(family, seed=1)
    workdir = save(tmp_path / "w", family, variables, ("a", "b", "c"))
    got = start(workdir, net, family, fresh, names=("a", "b", "c"))
    assert same(got, flatten(variables))
    assert same(start(workdir / "checkpoints", net, family, fresh), got)


def test_the_moving_average_comes_with_the_statistics(tmp_path):
    net, variables = build("tsn")
    _, average = build("tsn", seed=2)
    workdir = save(tmp_path / "w", "tsn", variables, ("a", "b", "c"), ema=average["params"])
    got = start(workdir, net, "tsn", build("tsn", seed=1)[1])
    assert same(got, flatten({**variables, "params": average["params"]}))


@pytest.mark.parametrize(
    "names,reason",
    [
        (("a", "b"), '3 classes there, 2 here; only there: "c"'),
        (("a", "c", "b"), 'class 1 is "b" there, "c" here'),
        (("0", "1", "2", "3"), "3 classes there, 4 here"),
    ],
)
def test_the_head_starts_fresh_for_other_classes(tmp_path, names, reason, said):
    _, variables = build("tsn")
    net, fresh = build("tsn", classes=len(names), seed=1)
    workdir = save(tmp_path / "w", "tsn", variables, ("a", "b", "c"))
    got = start(workdir, net, "tsn", fresh, names=names)
    assert same({k: v for k, v in got.items() if "head" not in k}, flatten(variables))
    assert same({k: v for k, v in got.items() if "head" in k}, flatten(fresh))
    assert (
        said[0] == f"the head starts fresh, as with --config.init.skip=\"('head/.*',)\": {reason}"
    )
    assert start(workdir, net, "tsn", fresh, skip=("head/.*",), names=names)
    assert len([line for line in said if "starts fresh" in line]) == 1


@pytest.mark.parametrize("kind", ["run", "file"])
def test_the_head_takes_classes_by_their_names(tmp_path, monkeypatch, kind):
    """Also from a published file, whose tensors have the classes on their first axis."""
    there, here = ("a_b", "c", "Drinking", "d"), ("drinking", "A B")
    net, variables = build("tsn", classes=4)
    _, fresh = build("tsn", classes=2, seed=1)
    spec = tmp_path / "w"
    if kind == "run":
        save(spec, "tsn", variables, there)
    else:
        tensors = export(variables, tsn.WEIGHTS["mmaction"], net)
        write_tensors(tmp_path / "w.pth", {"state_dict": tensors})
        config = {"model": {"name": "tsn"}}
        origin = resolve.Origin(tmp_path / "w.pth", config, there, {}, "mmaction")
        monkeypatch.setattr(resolve, "locate", lambda spec: origin)
    got = start(spec, net, "tsn", fresh, match_classes=True, names=here)
    want = flatten(variables)
    for key, value in got.items():
        expected = want[key][..., [2, 0]] if "head" in key else want[key]
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    "family,other,changed",
    [
        ("vivit", dict(frames=16), "pos_embed/table"),
        pytest.param("timesformer", dict(frames=8, size=16), "_embed/table", marks=LONG),
        pytest.param("mvit", dict(size=64), "rel_pos", marks=LONG),
        pytest.param("videoprism", dict(frames=6), "time/table", marks=LONG),
    ],
)
def test_a_run_of_other_frames_or_pixels_gets_its_tables_resized(
    tmp_path, family, other, changed, said
):
    """The result equals that of a file with the same weights."""
    net, variables = build(family)
    workdir = save(tmp_path / "w", family, variables, ("a", "b", "c"))
    tensors = export(variables, next(iter(resolve.tables(dict(name=family), net).values())), net)
    safetensors_file.write(tmp_path / "w.safetensors", tensors)
    larger = plug.load("models", dict(name=family, variant="test", **other), num_classes=3)
    size = other.get("size", net.backbone.size)
    video = jax.ShapeDtypeStruct((1, other.get("frames", net.backbone.frames), size, size, 3), "f4")
    shapes = jax.eval_shape(lambda x: larger.init(jax.random.key(0), x, train=False), video)
    fresh = jax.device_put(fill(shapes, 1), jax.devices()[0])
    got = start(workdir, larger, family, fresh, names=("a", "b", "c"))
    resized = {k for k, v in flatten(variables).items() if v.shape != got[k].shape}
    assert resized and all(changed in key for key in resized)
    assert all(any(line.startswith("started from") and k in line for line in said) for k in resized)
    assert same(got, start(tmp_path / "w.safetensors", larger, family, fresh))


def test_a_run_of_another_width_is_an_error(tmp_path):
    _, variables = build("vivit")
    net, fresh = build("vivit", width=8)
    workdir = save(tmp_path / "w", "vivit", variables, ("a", "b", "c"))
    with pytest.raises(UserError, match=r"in the checkpoint, .* in the model"):
        start(workdir, net, "vivit", fresh)


@pytest.mark.parametrize(
    "family",
    ["videoprism", pytest.param("vjepa2", marks=LONG), pytest.param("hiera", marks=LONG)],
)
def test_a_head_of_the_same_classes_is_kept_for_each_upstream(tmp_path, family, said):
    """Also where the tensors of the head are stored in other shapes, such as with a batch axis."""
    net, variables = build(family)
    _, fresh = build(family, seed=1)
    for upstream, table in plug.module("models", family).WEIGHTS.items():
        safetensors_file.write(tmp_path / f"{upstream}.safetensors", export(variables, table, net))
        got = start(tmp_path / f"{upstream}.safetensors", net, family, fresh)
        assert same(got, flatten(variables)), said


def test_a_class_that_the_weights_lack_is_an_error(tmp_path):
    net, variables = build("tsn")
    workdir = save(tmp_path / "w", "tsn", variables, ("a", "b", "c"))
    with pytest.raises(UserError, match='match_classes: the weights have no class "e"'):
        start(workdir, net, "tsn", variables, match_classes=True, names=("a", "e"))
    with pytest.raises(UserError, match="those of the data are not known"):
        start(workdir, net, "tsn", variables, match_classes=True, names=("0", "1"))


def test_a_normalization_before_the_classifier_does_not_depend_on_the_classes(tmp_path, said):
    _, variables = build("videomae")
    net, fresh = build("videomae", classes=2, seed=1)
    workdir = save(tmp_path / "w", "videomae", variables, ("a", "b", "c"))
    got = start(workdir, net, "videomae", fresh, names=("a", "b"))
    assert same({k: v for k, v in got.items() if "head/fc/" not in k}, flatten(variables))
    assert same({k: v for k, v in got.items() if "head/fc/" in k}, flatten(fresh))
    assert "--config.init.skip=\"('head/fc/.*',)\"" in said[0]


@pytest.mark.parametrize(
    "prefix,upstream,norm",
    [("encoder.", "official", "encoder.norm"), ("", "transformers", "videomae.layernorm")],
)
def test_a_pretrained_encoder_has_no_head(tmp_path, prefix, upstream, norm, said):
    """Its decoder and its last normalization are not loaded, either."""
    net, variables = build("videomae")
    tensors = export(variables, plug.module("models", "videomae").WEIGHTS[upstream], net)
    tensors = {
        prefix + n: x for n, x in tensors.items() if "head" not in n and "fc" not in n.split(".")[0]
    }
    tensors = {n: x for n, x in tensors.items() if not n.startswith("classifier")}
    tensors |= {f"{norm}.weight": np.ones(16), "mask_token": np.ones((1, 1, 8))}
    tensors |= {
        "decoder.blocks.0.norm1.weight": np.ones(8),
        "encoder_to_decoder.weight": np.ones((8, 16)),
    }
    file = tmp_path / "pretrained.safetensors"
    safetensors_file.write(file, tensors, {})
    _, fresh = build("videomae", seed=1)
    got = start(file, net, "videomae", fresh)
    assert same({k: v for k, v in got.items() if "head" not in k}, flatten(variables))
    assert same({k: v for k, v in got.items() if "head" in k}, flatten(fresh))
    assert "the weights have none" in said[0]


@pytest.mark.parametrize("ema", [False, True])
def test_a_run_of_pretraining_starts_a_recognizer_without_its_decoder(tmp_path, said, ema):
    _, variables = build("videomae_pretrain")
    config = {"model": {"name": "videomae_pretrain"}, "task": {"name": "masked"}}
    config |= {"data": {"recipe": {"name": "clip", "frames": 4, "stride": 2}}}
    state = {"params": variables["params"], "model_state": {}}
    state |= {"ema": variables["params"]} if ema else {}
    checkpoints = store.Store(tmp_path / "w")
    checkpoints.save(1, state, dict(names=("a", "b", "c"), config=config), {})
    checkpoints.wait()
    checkpoints.close()
    net, fresh = build("videomae", seed=1)
    got = start(tmp_path / "w", net, "videomae", fresh, names=("a", "b", "c"))
    want = {k: v for k, v in flatten(variables).items() if k in got}
    assert same({k: v for k, v in got.items() if "head" not in k}, want)
    assert same({k: v for k, v in got.items() if "head" in k}, flatten(fresh))
    assert said[0].startswith("left out, as the pre-training alone has them: decoder")
    assert "the head starts fresh" in said[1]


def test_a_pattern_that_skips_nothing_is_an_error(tmp_path):
    net, variables = build("tsn")
    workdir = save(tmp_path / "w", "tsn", variables, ("a", "b", "c"))
    with pytest.raises(UserError, match='the rule "haed/'):
        start(workdir, net, "tsn", variables, skip=("haed/.*",))


@pytest.mark.parametrize(
    "family,options", [("swin", {}), ("slowonly", {}), ("tsn", dict(depths=(1, 1)))]
)
def test_a_run_of_another_model_is_refused(tmp_path, family, options):
    """Also one that has all of the model's parameters, and more."""
    _, variables = build("tsn")
    net, fresh = build(family, seed=1, **options)
    workdir = save(tmp_path / "w", "tsn", variables, ("a", "b", "c"))
    with pytest.raises(UserError, match="holds another model") as caught:
        start(workdir, net, family, fresh, names=("a", "b", "c"))
    assert ("config.model.name=tsn, the run is of" in str(caught.value)) == (family != "tsn")


def test_other_preprocessing_is_said(tmp_path, said):
    net, variables = build("tsn")
    workdir = save(tmp_path / "w", "tsn", variables, ("a", "b", "c"))
    config = {
        "task": {"name": "recognition", "mean": (0.0,)},
        "data": {"recipe": {"name": "clip", "frames": 8, "stride": 2, "clips": 4}},
    }
    start(workdir, net, "tsn", variables, names=("a", "b", "c"), config=config)
    assert said[1] == "  trained with another config.data.recipe.frames: 4 there, 8 here"
    assert "config.task.mean" in said[2] and len(said) == 3


# Files


@pytest.mark.parametrize(
    "prefix", ["model.", "net.", "module.", "module.model.", "_orig_mod.", "model._orig_mod."]
)
@pytest.mark.parametrize("family", ["swin", "tsn"])
def test_a_prefix_of_all_names_is_cut_off(tmp_path, family, prefix, said):
    net, variables = build(family)
    tensors = export(variables, plug.module("models", family).WEIGHTS["mmaction"], net)
    path = tmp_path / "mine.safetensors"
    safetensors_file.write(path, {f"{prefix}{k}": v for k, v in tensors.items()})
    assert same(start(path, net, family, build(family, seed=1)[1]), flatten(variables))
    assert ("names begin with" in said[0]) == ("model." in prefix or "net." in prefix)


def test_a_compiled_backbone_and_a_backbone_alone(tmp_path, said):
    """As torch.compile names a part of a model, and as a backbone is saved by itself."""
    net, variables = build("tsn")
    tensors = export(variables, plug.module("models", "tsn").WEIGHTS["mmaction"], net)
    path, fresh = tmp_path / "mine.safetensors", build("tsn", seed=1)[1]
    inner = {k.replace("backbone.", "backbone._orig_mod."): v for k, v in tensors.items()}
    safetensors_file.write(path, inner)
    assert same(start(path, net, "tsn", fresh), flatten(variables))
    for prefix in ("backbone.", ""):
        said.clear()
        alone = {k.replace("backbone.", prefix): v for k, v in tensors.items() if "cls" not in k}
        safetensors_file.write(path, alone)
        got = start(path, net, "tsn", fresh)
        params = {**variables["params"], "head": fresh["params"]["head"]}
        assert same(got, flatten({**variables, "params": params}))
        assert said[0].endswith("the weights have none")


@pytest.mark.parametrize("key", ["state_dict", "model_state", "model", "ema", "state_dict_ema"])
def test_entries_of_a_file(tmp_path, key):
    net, variables = build("tsn")
    tensors = export(variables, plug.module("models", "tsn").WEIGHTS["mmaction"], net)
    write_tensors(tmp_path / "w.pth", {key: tensors}, epoch=3)
    assert same(start(tmp_path / "w.pth", net, "tsn", build("tsn", seed=1)[1]), flatten(variables))


def test_one_of_several_entries_is_named(tmp_path, said):
    net, variables = build("tsn")
    tensors = export(variables, plug.module("models", "tsn").WEIGHTS["mmaction"], net)
    other = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    write_tensors(tmp_path / "w.pth", {"ema": other, "model": tensors})
    assert same(start(tmp_path / "w.pth", net, "tsn", variables), flatten(variables))
    assert said[0] == f'{tmp_path / "w.pth"}: reading its "model", not its "ema"'


def test_a_file_with_other_classes_keeps_its_backbone(tmp_path, said):
    net, variables = build("tsn", classes=5)
    tensors = export(variables, plug.module("models", "tsn").WEIGHTS["mmaction"], net)
    path = tmp_path / "mine.safetensors"
    safetensors_file.write(path, tensors)
    net, fresh = build("tsn", classes=3, seed=1)
    got = start(path, net, "tsn", fresh, names=("a", "b", "c"))
    assert same({k: v for k, v in got.items() if "head" in k}, flatten(fresh))
    assert said[0].endswith("is (32, 5) in the file, (32, 3) in the model")
    del tensors["backbone.conv1.conv.weight"]
    safetensors_file.write(path, tensors)
    with pytest.raises(UserError, match="nothing to load into params/backbone/conv1"):
        start(path, net, "tsn", fresh)


def test_a_file_of_another_family_is_refused(tmp_path):
    net, variables = build("tsn")
    safetensors_file.write(
        tmp_path / "a.safetensors",
        export(variables, plug.module("models", "tsn").WEIGHTS["mmaction"], net),
    )
    net, fresh = build("swin")
    with pytest.raises(UserError, match="the weights do not fit the model"):
        start(tmp_path / "a.safetensors", net, "swin", fresh)


def test_a_zoo_name_of_another_family_that_its_table_does_not_know(tmp_path, monkeypatch):
    """An upstream without a table in the family: the tensors that do not fit are listed."""
    net, variables = build("tsn")
    tensors = export(variables, plug.module("models", "tsn").WEIGHTS["torchvision"], net)
    row = dataclasses.replace(
        zoo.get("tsn_r50_in1k"),
        name="tsn_test_in1k",
        sha256="",
        url="https://example.invalid/tsn_test.safetensors",
    )
    monkeypatch.setattr(zoo, "rows", lambda: (row,))
    safetensors_file.write(tmp_path / "tsn_test.safetensors", tensors)
    net, fresh = build("slowfast")
    with pytest.raises(UserError, match="do not fit") as caught:
        start(tmp_path / "tsn_test.safetensors", net, "slowfast", fresh)
    assert "config.model.name=tsn, the run is of slowfast" in str(caught.value)
