"""Specs: what they build, and what a wrong one says."""

import pytest

from jaxvid import plug
from jaxvid.errors import UserError

SWIN = dict(name="swin", variant="test")
TASK = dict(name="recognition")


def test_load_calls_build_of_the_named_file_with_the_rest():
    task = plug.load("tasks", dict(TASK, smoothing=0.1), num_classes=7)
    assert (task.num_classes, task.smoothing) == (7, 0.1)
    assert plug.load("models", SWIN, attr="backbone", remat=True).remat


def test_load_leaves_the_spec_as_it_was():
    spec = dict(SWIN)
    plug.load("models", spec, num_classes=3)
    assert spec == SWIN


@pytest.mark.parametrize(
    "package,spec,extra,message",
    [
        ("models", {"variant": "tiny"}, {}, 'the spec of a model needs a "name"'),
        ("models", dict(SWIN, name="swim"), {}, 'no model named "swim". Did you mean "swin"?'),
        ("tasks", {"name": "zzz"}, {}, 'there is no task named "zzz". Known: boundaries,'),
        ("data.recipes", {"name": "clips"}, {}, 'there is no recipe named "clips". Did you mean'),
        ("data.sources", {"name": "lists"}, {}, 'there is no source of data named "lists".'),
        ("writers", {"name": "tensorbord"}, {}, 'there is no writer named "tensorbord". Did you'),
        ("writers", {}, {}, 'the spec of a writer needs a "name"'),
        ("models", dict(SWIN, variant="tinny"), {}, 'no variant "tinny". Did you mean "tiny"?'),
        ("models", {"name": "swin"}, {"num_classes": 3}, 'models/swin needs "variant"'),
        ("models", SWIN, {}, 'models/swin needs "num_classes"'),
        ("models", SWIN, {"num_classes": 3, "widht": 8}, 'no "widht". Did you mean "width"?'),
        # `dropout` is an argument of build, `drop_path` of the module its overrides go on to.
        ("models", SWIN, {"num_classes": 3, "dropot": 0.1}, 'Did you mean "dropout"?'),
        ("models", dict(SWIN, num_classes=4), {"num_classes": 3}, 'leave "num_classes" out'),
        ("tasks", dict(TASK, smooth=1.0), {"num_classes": 3}, 'Did you mean "smoothing"?'),
        (
            "tasks",
            dict(TASK, mixup=1.0),
            {"num_classes": 3},
            "config.task.mixup=1.0 is now config.task.augment.mixup=1.0",
        ),
        (
            "tasks",
            dict(TASK, augment=dict(mixp=1.0)),
            {"num_classes": 3},
            'recognition: augment takes no "mixp". Did you mean "mixup"?',
        ),
        ("data.recipes", {"name": "clip"}, {"split": "val", "frames": 8}, 'needs "stride"'),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(package, spec, extra, message):
    with pytest.raises(UserError) as error:
        plug.load(package, spec, **extra)
    assert message in str(error.value)


def test_what_not_every_function_takes_is_offered():
    net = plug.load("models", dict(name="clip4clip", variant="test"), num_classes=3, dtype="f4")
    assert net.backbone.dtype == "f4"
    with pytest.raises(UserError, match='takes no "num_classes"'):
        plug.load("models", dict(name="clip4clip", variant="test", num_classes=3))


DETECTOR = dict(name="fast_rcnn", backbone=dict(name="swin", variant="test", window=(2, 4, 4)))


def test_a_spec_inside_is_built_first():
    net = plug.load("models", DETECTOR, num_classes=3, dtype="f4")
    assert (net.backbone.window, net.backbone.dtype, net.head.dtype) == ((2, 4, 4), "f4", "f4")
    assert net.backbone == plug.load("models", DETECTOR["backbone"], "backbone", dtype="f4")
    assert (
        plug.load("models", dict(DETECTOR, backbone=net.backbone), num_classes=3, dtype="f4") == net
    )


def test_all_options_of_a_spec_inside_are_spelled():
    spec = plug.spec("models", **DETECTOR)
    assert (spec["backbone"]["window"], spec["backbone"]["depths"]) == ((2, 4, 4), (2, 1))
    assert spec["pool"] == "avg"
    assert not {"dropout", "num_classes", "dtype"} & spec["backbone"].keys()
    assert plug.spec("models", **spec) == spec


@pytest.mark.parametrize(
    "backbone,message",
    [
        (dict(name="swim", variant="test"), 'no model named "swim". Did you mean "swin"?'),
        (dict(name="swin", variant="tinny"), 'no variant "tinny". Did you mean "tiny"?'),
        (dict(name="swin", variant="test", widht=8), 'no "widht". Did you mean "width"?'),
        (dict(name="swin", variant="test", dropout=0.1), 'models/swin takes no "dropout"'),
        (dict(name="swin"), 'models/swin needs "variant"'),
        (dict(variant="test"), 'the spec of a model needs a "name"'),
        (dict(DETECTOR), 'models/fast_rcnn has no "backbone" of its own'),
        (dict(name="stgcn", variant="test"), "a detector needs a map of the frame"),
    ],
)
def test_a_wrong_spec_inside_says_what_is_wrong(backbone, message):
    with pytest.raises(UserError) as error:
        plug.load("models", dict(name="fast_rcnn", backbone=backbone), num_classes=3)
    assert message in str(error.value)


def test_an_error_of_the_function_itself_is_not_hidden():
    def build(*, size, where=""):
        return [0] * size + where

    with pytest.raises(TypeError, match="concatenate"):
        plug.call(build, "x", size=2, where="here")


def test_spec_spells_out_the_defaults():
    spec = plug.spec("data.recipes", "clip", frames=8, stride=2)
    assert spec["name"] == "clip"
    assert (spec["frames"], spec["size"], spec["order"]) == (8, 224, "forward")
    assert "split" not in spec
    assert plug.load("data.recipes", spec, split="val")


def test_spec_spells_out_sections():
    spec = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    assert (spec["augment"]["flip"], spec["augment"]["mixup"]) == (0.5, 0.0)
    assert plug.load("tasks", spec, num_classes=3).augment.flip == 0.5
    with pytest.raises(UserError, match=r'augment takes no "flop". Did you mean "flow"'):
        plug.spec("tasks", "recognition", augment=dict(flop=0.5))


def test_spec_refuses_what_build_does_not_take():
    with pytest.raises(UserError, match=r'no "strid".* "stride"'):
        plug.spec("data.recipes", "clip", frames=8, strid=2)
