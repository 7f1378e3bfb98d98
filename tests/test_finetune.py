"""Fine-tuning: any model of the zoo by name, its weights, and what is said without a network."""

import dataclasses

import pytest

from configs import finetune, recognizers
from jaxvid import plug
from jaxvid.config import hashable
from jaxvid.errors import UserError
from jaxvid.param_rules import flatten
from jaxvid.weights import download, resolve, zoo
from jaxvid.weights.convert import export
from tests.weights.pickle_bytes import write_tensors
from tests.weights.test_starting import build, same


@pytest.mark.parametrize(
    "variant,model,frames,init",
    [
        ("tiny", ("swin", "tiny"), 32, "swin_tiny_32x2_k400"),
        ("swin_small", ("swin", "small"), 32, "swin_small_32x2_k400"),
        ("swin_base_in22k_k400", ("swin", "base"), 32, "swin_base_32x2_in22k_k400"),
        ("tsn_r101", ("tsn", "r101"), 8, "tsn_r101_u8_k400"),
        ("tsm_r50_u8_k400", ("tsm", "r50"), 8, "tsm_r50_u8_k400"),
        ("slowonly_r50_4x16_v1_k700", ("slowonly", "r50"), 4, "slowonly_r50_4x16_v1_k700"),
        ("slowfast_r101-r50", ("slowfast", "r101-r50"), 32, "slowfast_r101-r50_4x16_k400"),
        ("x3d_s", ("x3d", "s"), 13, "x3d_s_13x6_k400"),
        ("uniformer_base", ("uniformer", "base"), 32, "uniformer_base_32x4_k400"),
        ("uniformerv2_base", ("uniformerv2", "base"), 8, "uniformerv2_base_u8_k400"),
        ("tsn_r18", ("tsn", "r18"), 8, ""),
        ("mini", ("swin", "mini"), 8, ""),
    ],
)
def test_a_variant_is_a_model_with_its_recipe_and_weights(variant, model, frames, init, said):
    config = finetune.get_config(variant)
    assert (config.model.name, config.model.variant) == model
    assert config.data.recipe.frames == frames
    assert resolve.resolve(config.init.weights, config.model) == init


def test_every_published_recognizer_of_videos_can_be_fine_tuned():
    """Its model is the row's: the one that its tensors fit."""
    rows = [row for row in zoo.rows() if recognizers.recipes(row.family)]
    rows = [
        r for r in rows if r.recipe.get("name") in recognizers.RECIPES and r.kind == "recognition"
    ]
    assert {row.family for row in rows} >= {"swin", "tsn", "tsm", "slowonly", "slowfast"}
    for row in rows:
        config = finetune.get_config(row.name)
        known = dict(num_classes=row.num_classes)
        ours = plug.load("models", config.model, **known).backbone
        theirs = plug.load("models", hashable(row.model), **known).backbone
        rates = dict(remat=False, **({"drop_path": 0.0} if hasattr(ours, "drop_path") else {}))
        assert ours.clone(**rates) == theirs.clone(**rates), row.name
        assert resolve.resolve(config.init.weights, config.model) == row.name


def test_clips_have_the_size_that_the_model_is_for():
    rows = [row.name for row in zoo.rows() if row.family in ("timesformer", "vivit")]
    rows = [name for name in rows if zoo.get(name).kind == "recognition"]
    for variant in (*rows, "timesformer_hr", "timesformer_test", "vivit_test"):
        config = finetune.get_config(variant)
        model, recipe = plug.spec("models", **config.model), config.data.recipe
        assert (model["frames"], model["size"]) == (recipe.frames, recipe.size), variant
        assert recipe.size <= recipe.short_side, variant


def test_a_head_on_another_backbone_has_variants_of_that_backbone():
    config = finetune.get_config("tpn_test")
    assert plug.load("models", config.model, num_classes=3).backbone.width == 4


def test_rates_follow_from_how_the_published_recipe_starts():
    slowfast, tsm = finetune.get_config("slowfast_r50"), finetune.get_config("tsm_r50")
    assert slowfast.optim.lr == pytest.approx(0.01)  # 0.1 from scratch
    assert tsm.optim.lr == 0.02  # from image weights
    assert ("head/fc/kernel", 5.0) in tsm.optim.lr_scale
    kept = finetune.get_config("uniformerv2_base").optim  # 2e-6 for a batch of 256
    assert (kept.lr, kept.base_batch, kept.lr_scale) == (1e-5, 16, (("head/.*", 10.0),))
    assert finetune.get_config("uniformer_small").optim.lr == 1e-4
    mirrored = finetune.get_config("tsm_r50_u8_ssv2").task
    assert mirrored.augment.flip == 0 and mirrored.augment.flip_labels == ()


@pytest.mark.parametrize(
    "variant,message",
    [
        ("tinny", 'no variant "tinny". Did you mean "tiny"'),
        ("tsm_r51", 'Did you mean "tsm_r50"'),
        ("stgcn_2d_joint_ntu60", f"actions in videos: {', '.join(recognizers.families())}"),
        ("slowfast_r50_8x8_ava21", "slowfast_r50_8x8_ava21 is not among the models that"),
        ("omnisource", "omnisource is not among the models that this config fine-tunes"),
        ("tin", 'no variant "tin". The family has tin_r50.'),
        ("tpn", 'no variant "tpn". The family has tpn_slowonly-r50'),
        ("tsn_mini-audio", 'no variant "tsn_mini-audio". Did you mean "swin_mini"?'),
        ("nothing-like-it", "is FAMILY_SIZE, such as tsm_r50, or a name of `python"),
    ],
)
def test_variants_that_there_are_not(variant, message):
    with pytest.raises(UserError) as caught:
        finetune.get_config(variant)
    assert message in str(caught.value)


def test_what_is_suggested_is_possible(monkeypatch):
    suggested = set()

    def all_of(name, known):
        suggested.update(known)
        return ""

    monkeypatch.setattr(recognizers, "did_you_mean", all_of)
    with pytest.raises(UserError):
        recognizers.find("nothing-like-it")
    assert len(suggested) > 100 and "tin_r50" in suggested
    for name in suggested:
        recognizers.find(name)


def test_another_variant_by_flag_takes_its_own_weights_or_none(said):
    config = finetune.get_config("tiny")
    config.model.variant = "small"
    assert resolve.resolve("published", config.model) == "swin_small_32x2_k400"
    config.model.variant = "mini"
    assert resolve.resolve("published", config.model) == ""
    assert said[1] == "swin mini has no published weights: training starts from random values"


def test_without_a_network_it_says_which_file_goes_where(tmp_path, monkeypatch):
    def unreachable(row, url, part, target):
        raise download.Unavailable("no route to host")

    monkeypatch.setattr(download, "keep", unreachable)
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path))
    monkeypatch.delenv("JAXVID_WEIGHTS_DIR", raising=False)
    row = zoo.get("swin_tiny_k400")
    with pytest.raises(UserError) as caught:
        resolve.starting_from({"weights": row.name, "skip": ()}, None, dict(name="swin"))
    for part in (row.url, row.file, "JAXVID_WEIGHTS_DIR", "--config.init.weights= trains from"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    # A run that goes on needs them no more.
    init = {"weights": row.name, "skip": ()}
    assert resolve.starting_from(init, None, dict(name="swin"), needed=False)


def test_a_published_file_in_the_weights_folder(tmp_path, monkeypatch, said):
    """All but the head comes from the .pth; the log says which file, and that the head is new."""
    row = dataclasses.replace(
        zoo.get("tsn_r50_k400"),
        name="tsn_test_u8_k400",
        model=dict(name="tsn", variant="test"),
        sha256="",
        url="https://example.invalid/tsn_test-0123abcd.pth",
        default_for="tsn_test_k400",
    )
    monkeypatch.setattr(zoo, "rows", lambda: (row,))
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path))
    net, published = build("tsn", classes=400)
    tensors = export(published, plug.module("models", "tsn").WEIGHTS["mmaction"], net)
    write_tensors(tmp_path / "tsn_test-0123abcd.pth", {"state_dict": tensors}, meta={"epoch": 3})
    net, fresh = build("tsn", classes=2, seed=1)
    model = dict(name="tsn", variant="test")
    name = resolve.resolve("published", model)
    init = {"weights": name, "skip": ()}
    names = ("jump", "run")
    got = flatten(resolve.starting_from(init, net, model, names=names)(fresh))
    assert same({k: v for k, v in got.items() if "backbone" in k}, flatten(published))
    assert same({k: v for k, v in got.items() if "head" in k}, flatten(fresh))
    assert said[0] == "fine-tuning the published weights tsn_test_u8_k400"
    assert "the head starts fresh" in said[1] and "400 classes there, 2 here" in said[1]
    assert said[2].startswith("loaded ") and "tsn_test-0123abcd.pth" in said[2]
