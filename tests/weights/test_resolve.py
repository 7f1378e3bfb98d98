"""Weights by name and by file: through a mirror folder, converted, predicted with, started from."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvid
from jaxvid import class_names, plug
from jaxvid.errors import UserError
from jaxvid.models import swin
from jaxvid.train import report
from jaxvid.weights import resolve, safetensors_file, zoo
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

CLASSES = 400
RECIPE = {"name": "clip", "frames": 4, "stride": 1, "size": 32, "clips": 2, "crops": 3}


def build(**changes):
    spec = dict(name="swin", variant="test") | changes
    net = plug.load("models", spec, num_classes=CLASSES)
    video = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)
    return net, fill(shapes)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder with the file of one invented row of the zoo."""
    net, variables = build()
    row = dataclasses.replace(
        zoo.get("swin_tiny_k400"),
        name="swin_test_4x1_k400",
        model=dict(name="swin", variant="test"),
        sha256="",
        recipe=RECIPE,
        url="https://example.invalid/swin_test.safetensors",
        default_for="swin_test",
    )
    monkeypatch.setattr(zoo, "rows", lambda: (row,))
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    tensors = export(variables, swin.WEIGHTS["mmaction"], net)
    safetensors_file.write(tmp_path / "mirror" / "swin_test.safetensors", tensors)
    return net, variables, tmp_path / "mirror" / "swin_test.safetensors"


def test_a_published_model_by_name(mirror, capsys):
    net, variables, _ = mirror
    clip = np.random.default_rng(0).integers(0, 256, (9, 40, 60, 3), np.uint8)
    model = jaxvid.load("swin_test")
    found = model.predict(clip, topk=3)
    leaves = len(jax.tree.leaves(variables))
    assert f"loaded {leaves}/{leaves} tensors" in capsys.readouterr().err
    assert set(found.labels) <= set(class_names.of("k400"))
    views = model.task.prepare(jax.random.key(0), model.batch(clip, 0.0), train=False)
    logits = net.apply(variables, **model.task.inputs(views), train=False)
    assert logits.shape == (6, CLASSES)
    want = jax.nn.softmax(logits).mean(0)
    np.testing.assert_allclose(model.scores(clip), want, rtol=2e-4)


def test_an_encoder_without_a_classifier_has_features_and_no_predictions(mirror, monkeypatch):
    net, variables, path = mirror
    tensors = export(variables, swin.WEIGHTS["mmaction"], net)
    encoder = {name: x for name, x in tensors.items() if name.startswith("backbone.")}
    safetensors_file.write(path, encoder)
    row = dataclasses.replace(zoo.rows()[0], kind="pretraining", num_classes=0, default_for="")
    monkeypatch.setattr(zoo, "rows", lambda: (row,))
    assert zoo.default(dict(name="swin", variant="test")) == row
    clip = np.random.default_rng(0).integers(0, 256, (9, 40, 60, 3), np.uint8)
    model = jaxvid.load(row.name)
    assert model.features(clip).shape[:1] == (6,)
    np.testing.assert_array_equal(
        model.variables["params"]["backbone"]["norm"]["scale"],
        variables["params"]["backbone"]["norm"]["scale"],
    )
    with pytest.raises(UserError, match="without a classifier"):
        model.predict(clip)


def test_names_that_do_not_exist():
    with pytest.raises(UserError, match="swin_tiny_k400"):
        jaxvid.load("swin_tinny_k400")
    with pytest.raises(UserError, match="no such workdir, checkpoint or file"):
        jaxvid.load("runs/nothing")


def test_a_run_that_is_not_there_names_those_beside_it(tmp_path):
    (tmp_path / "quickstart/checkpoints").mkdir(parents=True)
    (tmp_path / "clips").mkdir()
    with pytest.raises(UserError, match='Did you mean "quickstart"'):
        jaxvid.load(tmp_path / "quikstart")
    with pytest.raises(UserError, match=r"checkpoint or file\. Known: quickstart\.$"):
        jaxvid.load(tmp_path / "swin")
    with pytest.raises(UserError, match=r"checkpoint or file$"):
        jaxvid.load(tmp_path / "clips" / "run")


def test_a_file_is_known_by_its_published_name_or_needs_a_config(mirror, tmp_path):
    *_, path = mirror
    assert resolve.locate(path).names == class_names.of("k400")
    for name in ("swin_test.pth", "swin_test-0123abcd.pth", "swin_test_4x1_k400.pth"):
        copy = tmp_path / name
        copy.write_bytes(path.read_bytes())
        assert resolve.locate(copy).meta["zoo"] == "swin_test_4x1_k400"
    other = tmp_path / "mine.safetensors"
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="without a config"):
        jaxvid.load(other)


def test_a_copy_of_a_repository_of_hugging_face_is_a_folder_of_weights(mirror):
    *_, path = mirror
    folder = path.parent / "swin_test"
    folder.mkdir()
    path.rename(folder / "model.safetensors")
    for spec in (folder, "swin_test"):  # by its path, and by its name below JAXVID_WEIGHTS_DIR
        origin = resolve.locate(spec)
        assert origin.source == folder / "model.safetensors"
        assert origin.meta["zoo"] == "swin_test_4x1_k400"


def test_a_file_of_ones_own_under_a_published_name_loads_and_is_said_to_be_one(
    mirror, tmp_path, capsys, monkeypatch
):
    """In a mirror folder, which stands for the published files, it is refused."""
    *_, path = mirror
    row = dataclasses.replace(zoo.rows()[0], sha256="0123abcd")
    monkeypatch.setattr(zoo, "rows", lambda: (row,))
    copy = tmp_path / "swin_test.safetensors"
    copy.write_bytes(path.read_bytes())
    assert jaxvid.load(copy).variables
    assert "not the published file" in capsys.readouterr().err
    with pytest.raises(UserError, match="sha256 begins with"):
        jaxvid.load("swin_test")


@pytest.mark.parametrize("upstream", swin.WEIGHTS)
def test_the_table_of_a_bare_file_is_found(upstream):
    net, variables = build()
    tensors = export(variables, swin.WEIGHTS[upstream], net)
    chosen = resolve.likeliest(tensors, swin.WEIGHTS, variables)
    loaded, _ = convert(tensors, variables, chosen, net=net)
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(variables), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "change,problem",
    [
        (lambda x: (x * 10).astype(np.int8), "is int8: only floating-point numbers are weights"),
        (lambda x: np.where(x == x.flat[0], np.nan, x), "has values that are infinite or not a"),
        (lambda x: np.where(x == x.flat[0], np.inf, x), "has values that are infinite or not a"),
    ],
)
def test_values_that_are_no_weights_are_refused(change, problem):
    """Such values are in quantized and in broken files."""
    net, variables = build()
    tensors = export(variables, swin.WEIGHTS["mmaction"], net)
    name = "backbone.patch_embed.proj.weight"
    tensors[name] = change(tensors[name])
    with pytest.raises(UserError, match=f"{name} {problem}"):
        convert(tensors, variables, swin.WEIGHTS["mmaction"], net=net)


def test_a_tensor_without_a_place_does_not_list_the_whole_model():
    net, variables = build()
    tensors = export(variables, swin.WEIGHTS["mmaction"], net) | {"queue": np.zeros(3)}
    with pytest.raises(UserError, match=r"no place for queue \(3,\)\.$") as error:
        convert(tensors, variables, swin.WEIGHTS["mmaction"], net=net)
    assert "Known" not in str(error.value)


def test_starting_from_published_weights_with_another_head(mirror, said):
    _, published, _ = mirror
    net = plug.load("models", dict(name="swin", variant="test"), num_classes=7)
    video = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)
    fresh = jax.device_put(fill(shapes, seed=5), jax.devices()[0])
    init = {"weights": "swin_test", "skip": ("head/.*",)}
    started = resolve.starting_from(init, net, dict(name="swin"))(fresh)
    head, backbone = started["params"]["head"]["fc"], started["params"]["backbone"]
    np.testing.assert_array_equal(head["kernel"], fresh["params"]["head"]["fc"]["kernel"])
    embedded = published["params"]["backbone"]["patch_embed"]["kernel"]
    np.testing.assert_array_equal(backbone["patch_embed"]["kernel"], embedded)
    assert "declared skips: head/.*" in said[0]


def test_an_export_needs_nothing_beside_it(tmp_path):
    """What tools.export_weights writes, read back: the same bits, and it predicts by itself."""
    net, variables = build()
    origin = resolve.published(zoo.get("swin_tiny_k400"), tmp_path)
    config = origin.config | {"model": {"name": "swin", "variant": "test"}}
    config["data"] = {"recipe": RECIPE}
    told = dict(config=config, names=class_names.of("k400"), upstream="official", step=3)
    path = tmp_path / "mine.safetensors"
    tensors = export(variables, swin.WEIGHTS["official"], net)
    safetensors_file.write(path, tensors, {"format": "pt", "jaxvid": json.dumps(told)})
    model = jaxvid.load(path)
    for a, b in zip(jax.tree.leaves(model.variables), jax.tree.leaves(variables), strict=True):
        assert np.asarray(a).tobytes() == b.tobytes()
    clip = np.zeros((4, 32, 32, 3), np.uint8)
    assert len(model.predict(clip).labels) == 5


def test_evaluation_says_how_it_compares_with_the_published_number():
    metrics = {"test/top1": 0.78, "test/top5": 0.5}
    lines = list(report.against_published(metrics, {"top1": 0.789, "top5": 0.9377, "r1": 1}, 1000))
    assert lines[0] == "top1: 78.00% ± 2.57%, published 78.90%: agrees"
    assert lines[1].endswith("published 93.77%: differs")
    assert len(lines) == 2


def test_a_model_trained_on_another_mesh_loads_here(mirror, monkeypatch):
    """Eight devices here, sixty-four there."""
    origin = resolve.locate("swin_test")
    trained = {**origin.config, "mesh": {"data": 16, "model": 4}, "sharding": "tensor"}
    moved = dataclasses.replace(origin, config=trained)
    monkeypatch.setattr(resolve, "locate", lambda spec: moved)
    model = jaxvid.load("swin_test")
    assert dict(model.mesh.shape) == {"data": 8, "model": 1}
