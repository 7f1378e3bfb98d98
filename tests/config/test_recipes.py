"""Shipped configs against the published recipes that they are of, fact by fact."""

import functools
import os
import re
from pathlib import Path

import pytest

from jaxvid.config import loading, options
from jaxvid.tools import zoo as tool
from jaxvid.weights import zoo
from tests.config import official_swin, param_groups, rates, recipe_facts, sheet
from tests.conftest import cases

# Published configs without a published checkpoint, which no row of the zoo names.
WITHOUT_CHECKPOINT = {
    "audioonly_k400": "audioonly_r50_8xb160-64x1x1-100e_kinetics400-audio-feature",
    "drn_charades:first": "drn_2xb16-4096-10e_c3d-feature_first",
    "drn_charades:second": "drn_2xb16-4096-10e_c3d-feature_second",
    "bsn_anet:400_pem": "bsn_pem_1xb16-400x100-20e_activitynet-feature",
    "bsn_anet:400_tem": "bsn_tem_1xb16-400x100-20e_activitynet-feature",
    "bsn_anet:2048_pem": "bsn_pem_1xb16-2048x100-20e_activitynet-slowonly-k700-feature",
    "bsn_anet:2048_tem": "bsn_tem_1xb16-2048x100-20e_activitynet-k700-feature",
    "rgbposeconv3d_ntu60:both": "rgbpose_conv3d",
    "rgbposeconv3d_ntu60:pose": "pose_only",
    "rgbposeconv3d_ntu60:rgb": "rgb_only",
    "slowonly_k400_flow": "slowonly_r50_8xb16-16x4x1-256e_kinetics400-flow",
    "tsm_k400:mobileone_s4_u16_deploy": (
        "tsm_imagenet-pretrained-mobileone-s4_deploy_8xb16-1x1x16-50e_kinetics400-rgb"
    ),
    "tsn_k400:mobileone_s4_u8_deploy": (
        "tsn_imagenet-pretrained-mobileone-s4_deploy_8xb32-1x1x8-100e_kinetics400-rgb"
    ),
    "tsn_k400_flow": "tsn_imagenet-pretrained-r50_8xb32_5x1x3-110e_kinetics400-flow",
}
OTHERS = re.compile(r"https://(huggingface\.co|dl\.fbaipublicfiles\.com)/")  # of other projects
# Configs that train published checkpoints which have another name.
NAMES = {
    "uniformerv2-base-p16-res224_clip-pre_8xb32-u8_kinetics700-rgb": (
        "uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics700-rgb"
    ),
    "uniformerv2-base-p16-res224_clip-pre_u8_kinetics710-rgb": (
        "uniformerv2-base-p16-res224_clip_u8_kinetics710-rgb"
    ),
}
# spec of a config: the published config that it is of
PUBLISHED = WITHOUT_CHECKPOINT | {
    re.sub(r"^configs/(\w+)\.py", r"\1", row.config): NAMES.get(row.published, row.published)
    for row in zoo.rows()
    if row.config and not OTHERS.match(row.url)  # the sheet has no recipes of these
}
# name of a config: the specs of its variants
CONFIGS = {
    name: [spec for spec in PUBLISHED if spec.partition(":")[0] == name]
    for name in sorted({spec.partition(":")[0] for spec in PUBLISHED})
}
# Patterns of configs that no published one is like.
UNPUBLISHED = {
    r"quickstart(_\w+)?(:.*)?|finetune:.*|\w+_own(:.*)?": "for generated clips or own data",
    r"bsn_anet:(400|2048)": "published in stages alone",
    r"stgcnpp_jester:hand": "published with a graph of 17 joints",
    r"(stgcnpp|agcn2s|ctrgcn|msg3d)_ntu120:.*": "published for NTU RGB+D 60 alone",
    r"(ctrgcn|msg3d)_ntu60:.*_(b|jm|bm)": "published for the stream of joints alone",
    r"posec3d_ntu60:(c3d|x3d)_.*|posec3d_ntu120:.*": "published by PYSKL alone",
    r"slowonly_(ucf24|jhmdb:.*)": "ours; the published detectors of tubes are other families",
    r"lfb_ava21:avg": "an operator of the paper, which upstream has without a config",
    r"hiera_(k400|pretrain):.*": "the authors published no training code",
    r"vjepa2_\w+(:.*)?": "published by the authors alone",
    r"videoprism_\w+(:.*)?": "ours, on published encoders",
    r"x3d_k400:(xs_4x12|l_16x5)": "published by PySlowFast alone",
    r"uniformer_k400:small_32x4": "published by the official repository alone",
    r"slowfast_k400:r50_8x8_multigrid": "published by PySlowFast and version 0.x alone",
    r"vivit_k400": "published by Scenic alone",
    r"(actionformer|tridet)_(thumos14|anet|epic)(:.*)?": "published by their authors alone",
    r"omnisource_k400:mixed": "the sources of version 0.x, without a published config",
    r"videomae_(k400:(small|huge)|ssv2:.*)": "published by the official repository alone",
    r"videomae_pretrain:.*": "published by the official repository, or for own data",
    r"clip4clip_msrvtt:vitb16": "published for ViT-B/32 alone",
    r"vindlu_(msvd|didemo)(:.*)?": "published by the authors alone",
    r"swin_k400:large,official": "the official repository has no Swin-L",
    r"swin_k400:base_in22k,official": "another name of swin_k400:base_in22k",
}
# Patterns of published configs of our families that have none here.
MISSING = {
    r"actionclip_.*_k400-rgb": "configs of ActionCLIP are for own data so far",
    r"ircsn_ig65m-pretrained-r152-bnfrozen_.*": "upstream's other name of csn_k400:ir152_ig65m",
    r"kd_logits_.*": "nothing distills a model from another yet",
}
# (pattern of specs, fact): why ours differs from what is published
DIFFERENCES = {
    ("uniformerv2_.*:base_u8.*", "val.short_side"): "ours has the short side of training",
    ("uniformerv2_(k[467]00|mit):base_u8", "weights"): (
        "the file of 2022 is not among the published ones; ours is its successor"
    ),
    ("uniformer_k400:.*", "smoothing"): "upstream only tests; the official repository trains so",
    **{
        ("rgbposeconv3d_ntu60:pose", f"train.{fact}"): "the sheet nests these steps of this config"
        for fact in ("heatmap", "crop", "flip", "short_side")
    },
    **{
        ("rgbposeconv3d_ntu60:rgb", f"train.{fact}"): "the sheet nests these steps of this config"
        for fact in ("sampler", "crop", "flip")
    },
    **{
        ("rgbposeconv3d_ntu60:rgb", fact): "the sheet has those of the two pathways"
        for fact in ("mean", "std")
    },
    ("rgbposeconv3d_ntu60:both", "weights"): "upstream merges both pathways into a file",
    ("posec3d_(ucf101|hmdb51)", "weights"): (
        "the file of version 0.x has no config; ours is its successor"
    ),
    ("bsn_anet:.*_pem", "frozen_norm"): "upstream trains the last stage as a network of its own",
    ("tpn_k400:.*", "val.color"): "upstream changes colors at random in validation, too",
    ("tpn_.*", "train.short_side"): "frames are made smaller before a random part of them is cut",
    ("tin_k400", "weights"): "the TSM of version 0.x is no longer published; ours is its successor",
    (r"slowfast_(ava2.:.*|multisports)|acrn_ava2.|slowonly_ava21:(.*_nl|r101.*)", "weights"): (
        "the checkpoint of version 0.x is no longer published; ours is its successor"
    ),
    ("drn_charades:(second|third)", "weights"): "upstream leaves the run before to a flag",
    ("slowonly_k400_flow", "val.sampler"): "the validation of our recipes has one clip, not two",
    (r"ts[mn]_k400:mobileone_.*_deploy", "weights"): (
        "the file is of the training form; ours is for evaluation and has no weights to start from"
    ),
    ("tsn_k400:(densenet161|swin_base)_.*", "weights"): (
        "upstream takes whatever torchvision or timm has"
    ),
    ("tsn_k400:swin_base_.*", "drop_path"): "the default of timm, which the sheet does not have",
    ("vindlu_msrvtt:(retrieval|qa)", "weights"): "the pre-training is a file that the user names",
    ("vindlu_msrvtt:(retrieval|qa)", "dropout"): "a default of BERT, which the sheet has not",
    ("vindlu_msrvtt:.*", "drop_path"): "a default of BEiT, which the sheet does not have",
    ("timesformer_k400:.*", "drop_path"): "inside of upstream's network, so the sheet has it not",
    **{
        (r"(videomae|videomaev2|umt)_k\d+:.*", fact): "upstream tests what others have trained"
        for fact in ("init_std", "drop_path", "smoothing")
    },
    ("tsm_ssv2:r50_u16", "test.sampler"): (
        "upstream gives its loader the test of 16 frames, which only the data set would read"
    ),
}


def specs() -> list[str]:
    """Return NAME or NAME:VARIANT of all shipped configs, also with their endings."""
    found = []
    for name, _, variants in loading.shipped():
        endings = [variant for variant in variants if variant.startswith(",")]
        for variant in [v for v in variants if v not in endings] or [""]:
            spec = f"{name}:{variant}" if variant else name
            found += [spec, *(spec + ending for ending in endings)]
    return found


@functools.cache
def published():
    """Return the records of the sheet, and the facts of its table of official Swins."""
    folder = os.environ.get("JAXVID_REFERENCE")
    if not folder:
        pytest.skip("JAXVID_REFERENCE names no folder with the published recipes, recipes.md")
    text = (Path(folder) / "recipes.md").read_text(encoding="utf-8")
    return sheet.read(text), official_swin.read(text)


@functools.cache
def facts(name: str) -> recipe_facts.Facts:
    records, official = published()
    return official[name] if name in official else recipe_facts.published(name, records[name])


def allowed(spec: str) -> set[str]:
    return {fact for pattern, fact in DIFFERENCES if re.fullmatch(pattern, spec)}


def same(one, other, within: float) -> bool:
    """Compare numbers to 1e-5 of their size or `within`, and all else exactly."""
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(a, b, within) for a, b in pairs)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-5 * max(abs(one), abs(other)) + within
    return one == other


def differences(want: recipe_facts.Facts, have: recipe_facts.Facts) -> dict[str, tuple]:
    """Return {fact: (published, ours)} of those that differ; of learning rates, the first."""
    found = {}
    for key in want.keys() | have.keys():
        one, other = want.get(key), have.get(key)
        if key == "rates" and one and other:
            small = 1e-6 * max(one)
            pairs = enumerate(zip(one, other, strict=True))
            wrong = [(*pair, i) for i, pair in pairs if not same(*pair, small)]
            found |= {key: wrong[0]} if wrong else {}
        elif not same(one, other, 0):
            found[key] = one, other
    return found


def test_every_config_has_a_published_recipe_or_a_reason():
    rest = {spec for spec in specs() if not any(re.fullmatch(p, spec) for p in UNPUBLISHED)}
    assert rest ^ PUBLISHED.keys() == set()


def test_every_published_recipe_of_our_families_has_a_config_or_a_reason():
    """Recipes without training are those of test views, which the zoo has."""
    trained = {name for name, record in published()[0].items() if "train" in record}
    known = {row.published for row in zoo.rows() if tool.loads(row)}
    missing = (known & trained) - set(PUBLISHED.values())
    reasons = {name: [p for p in MISSING if re.fullmatch(p, name)] for name in missing}
    assert {name for name, patterns in reasons.items() if not patterns} == set()
    assert {pattern for patterns in reasons.values() for pattern in patterns} == MISSING.keys()


def test_the_sheet_has_a_record_for_each_of_its_configs():
    records, official = published()
    text = (Path(os.environ["JAXVID_REFERENCE"]) / "recipes.md").read_text(encoding="utf-8")
    announced = map(int, re.findall(r"^## (?!0b).*\((\d+) configs?\)$", text, flags=re.M))
    assert len(records) == sum(announced)
    assert len(official) == 6
    assert records.keys() >= set(WITHOUT_CHECKPOINT.values())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_is_its_published_recipe(config):
    """All variants are, up to the listed differences, which also have to be there."""
    records, official = published()
    for spec in CONFIGS[config]:
        want, have = facts(PUBLISHED[spec]), recipe_facts.configured(loading.load(spec))
        tested = "train" not in records.get(PUBLISHED[spec], {})  # upstream only tests it
        if PUBLISHED[spec] in official or tested:  # the table does not have all facts
            have = {key: value for key, value in have.items() if key in want}
        found = differences(want, have)
        assert found.keys() == allowed(spec), (spec, found)


@pytest.mark.parametrize("config", CONFIGS)
def test_parameters_learn_as_published(config):
    """tests/train/test_optim.py has the groups of the official Video Swin."""
    records = published()[0]
    for spec in CONFIGS[config]:
        given = loading.load(spec).to_dict()
        record = records.get(PUBLISHED[spec], {})
        if given["model"]["name"] == "bsn":  # one network here, one for each stage upstream
            continue
        if "train" in record and param_groups.are_there(record, given["optim"]):
            tensors, paths = param_groups.tensors_of(options.completed(given)["model"])
            want = param_groups.published(record, tensors)
            have = param_groups.configured(given["optim"], paths)
            assert {n: have[n] for n in want if have[n] != want[n]} == {}, spec


@pytest.mark.parametrize("args,given,expected,seed", cases("Schedule"))
def test_learning_rates_are_those_of_mmengine(args, given, expected, seed):
    per_epoch = given["iters_per_epoch"]
    found = rates.curve(args["param_scheduler"], args["lr"], given["epochs"], per_epoch)
    for step, lr in expected.items():
        assert found[int(step)] == pytest.approx(lr, rel=2e-4, abs=6e-9), step


@pytest.mark.parametrize("args,given,expected,seed", cases("OptimGroups"))
def test_multipliers_are_those_of_the_published_constructors(args, given, expected, seed):
    name = Path(args["config"]).stem
    record = published()[0][name]
    wrapper = record["optim_wrapper"]
    (spec,) = (spec for spec, other in PUBLISHED.items() if other == name)
    tensors, _ = param_groups.tensors_of(options.completed(loading.load(spec).to_dict())["model"])
    scales = param_groups.published(record, tensors)
    for tensor, want in expected.items():
        lr, decay = scales[tensor]
        assert lr * wrapper["optimizer"]["lr"] == pytest.approx(want["lr"]), tensor
        assert decay * wrapper["optimizer"]["weight_decay"] == pytest.approx(want["weight_decay"])


@pytest.mark.parametrize(
    "key,value,changed",
    [
        ("batch", 64, {"batch", "rates"}),
        ("optim.lr", 0.04, {"rates"}),
        ("schedule.milestones", (25.0, 46.0), {"rates"}),
        ("schedule.warmup_by", "step", {"rates"}),
        ("optim.clip", 40.0, {"clip"}),
        ("task.augment.flip", 0.0, {"train.flip"}),
        ("task.augment.flip_labels", ((1, 2),), {"train.flip"}),
        ("task.std", (58.395, 57.12, 57.38), {"std"}),
        ("data.recipe.crops", 3, {"test.crop"}),
        ("data.recipe.size", 160, {"train.crop", "val.crop", "test.crop"}),
        ("data.recipe.frames", 16, {"train.sampler", "val.sampler", "test.sampler"}),
        ("data.num_classes", 174, {"classes"}),
        ("data.root", "data/kinetics700", {"dataset"}),
        ("model.dropout", 0.8, {"dropout"}),
        ("init.weights", "tsn_r50_in1k", {"weights"}),
    ],
)
def test_a_change_of_a_config_shows(key, value, changed):
    config = loading.load("tsm_k400:r50_u8")
    before = recipe_facts.configured(config)
    config.update_from_flattened_dict({key: value})
    assert differences(before, recipe_facts.configured(config)).keys() == changed
