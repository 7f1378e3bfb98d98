"""The table of published weights: its grammar, its facts, and the tool that prints it."""

import dataclasses
import importlib
import json
import os
import re
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.conv import ROWS as MEASURED
from jaxvid import class_names, plug
from jaxvid.config import flat, hashable
from jaxvid.errors import UserError
from jaxvid.tools import zoo as tool
from jaxvid.weights import licences, resolve, zoo
from tests.models import test_contract
from tests.weights.traces import traced

FILES = sorted(Path(zoo.__file__).parent.glob("*.json"))
ROWS = zoo.rows()
NAMES = {row.name for row in ROWS}
RECOGNIZES = {"recognition", "skeleton", "audio"}
LOADABLE = [row for row in ROWS if row.kind in RECOGNIZES and tool.loads(row)]
# One token for each part but sampling and tag, which may be left out.
GRAMMAR = re.compile(
    r"(?P<family>[a-z0-9]+)_(?P<variant>[a-z0-9-]+)"
    r"(_(?P<sampling>\d+x\d+|u\d+))?(_(?P<tag>[a-z0-9-]+))?_(?P<dataset>[a-z0-9-]+)"
)
KINDS = {
    "recognition",
    "skeleton",
    "audio",
    "detection",
    "localization",
    "grounding",
    "retrieval",
    "question_answering",
    "hand_detection",
    "object_detection",
    "person_detection",
    "pose_estimation",
    "image",
    "pretraining",
}
WITHOUT_CLASSES = {"localization", "grounding", "retrieval", "question_answering", "pretraining"}
WITHOUT_CLASS_NAMES = {"hand", "coco", "coco80", "wholebody", "in1k", "in22k"}
HOSTS = (
    r"download\.openmmlab\.com|github\.com|download\.pytorch\.org|huggingface\.co"
    r"|dl\.fbaipublicfiles\.com|pjlab-gvm-data\.oss-cn-shanghai\.aliyuncs\.com"
)
RANKS = {"t2v_median_rank", "t2v_mean_rank"}


def by_id(row):
    return row.name


def primary(row):
    return next(iter(row.metrics.values()), 0.0)


# The rows


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_has_the_rows_of_its_family(path):
    """They are sorted and indented, and leave out what is as usual."""
    text = path.read_text(encoding="utf-8")
    parsed = json.loads(text)
    assert text == json.dumps(parsed, indent=2, ensure_ascii=False) + "\n"
    assert [row["name"] for row in parsed] == sorted(row["name"] for row in parsed)
    fields = {field.name: field for field in dataclasses.fields(zoo.Row)}
    for row in parsed:
        assert zoo.get(row["name"]).family == path.stem
        assert list(row) == [name for name in fields if name in row]
        usual = {k: f.default for k, f in fields.items()} | {"mirrors": [], "recipe": {}}
        assert [key for key, value in row.items() if value == usual[key]] == []


def test_names_are_unique_over_all_files():
    names = [row.name for row in ROWS]
    assert names == sorted(set(names))
    short = [row.default_for for row in ROWS if row.default_for]
    assert len(set(short) | set(names)) == len(short) + len(names)
    assert len(ROWS) == sum(len(json.loads(path.read_text(encoding="utf-8"))) for path in FILES)


@pytest.mark.parametrize("row", ROWS, ids=by_id)
def test_names_say_what_the_rows_say(row):
    parts = GRAMMAR.fullmatch(row.name)
    assert parts
    assert row.name.startswith(row.family)
    assert (parts["variant"], parts["dataset"]) == (row.variant, row.dataset)
    if "variant" in row.model or row.kind == "detection":
        assert row.variant == row.backbone["variant"]
    else:  # a recognizer on the backbone of another family
        assert row.variant.startswith(
            row.family if row.model is row.backbone else row.backbone["name"].removesuffix("2d")
        )
    spread = f"u{row.frames}" if row.frames else None
    assert parts["sampling"] == (f"{row.frames}x{row.stride}" if row.stride else spread)


@pytest.mark.parametrize("row", ROWS, ids=by_id)
def test_facts_are_in_range(row):
    assert row.kind in KINDS
    assert bool(row.num_classes) != (row.kind in WITHOUT_CLASSES)
    assert all(0 < v < 1 or name in RANKS for name, v in row.metrics.items())
    assert row.params_m and 0.001 < row.params_m < 10_000
    assert row.flops_g is None or 0.1 < row.flops_g < 10_000
    assert row.published
    page = row.licence.startswith(licences.UNKNOWN)
    assert page or licences.use(row.licence) != "unknown", "an SPDX name that licences.py lacks"
    for url in (row.url, *row.mirrors):
        assert re.fullmatch(rf"https://({HOSTS})/\S+\.(pth|pt|bin|safetensors|npz)", url)
        found = re.search(r"-([0-9a-f]{8})\.pth$", url)
        assert row.sha256 == (found[1] if found else "")


def test_files_of_one_name_are_one_file():
    """They share a folder; and a hash that two files claim is wrong for one of them."""
    links = {row.file: row.url for row in ROWS}
    assert all(links[row.file] == row.url for row in ROWS)
    hashes = Counter({(row.sha256, row.url) for row in ROWS if row.sha256})
    twice = [digest for digest, n in Counter(digest for digest, _ in hashes).items() if n > 1]
    doubtful = {row.name for row in ROWS if row.sha256 in twice}
    assert doubtful == {"slowonly_r50_8x8_in1k-nl_k400", "slowonly_r50_8x8_in1k_k400"}
    assert all(
        "same hash" in zoo.get(n).note or "published hash" in zoo.get(n).note for n in doubtful
    )


def test_a_name_without_its_sampling_is_the_best_of_its_rows():
    groups = {}
    for row in ROWS:
        parts = GRAMMAR.fullmatch(row.name)
        assert parts
        if parts["sampling"]:
            short = row.name.replace(f"_{parts['sampling']}_", "_", 1)
            groups.setdefault(short, []).append(row)
    assert not groups.keys() & NAMES
    defaults = {row.default_for: row for row in ROWS if row.default_for}
    assert defaults.keys() == groups.keys()
    for short, rows in groups.items():
        assert primary(defaults[short]) == max(map(primary, rows))


# What upstream lists and this table corrects. Two entries carry no weights of their own; of pairs
# that describe one file the other one, with the link that is right, became the row.
EXCLUDED = {
    "tsm_imagenet-pretrained-r101_8xb16-1x1x8-50e_sthv2-rgb (Kinetics-400)": "listed twice",
    "rtmpose-m_8xb32-210e_coco-wholebody-hand-256x256 (Pose estimation stage)": "no link",
}
WRONG_LINKS = {
    "tsn_imagenet-pretrained-swin-transformer_32xb8-1x1x8-50e_kinetics400-rgb": "428f0064",
    "vit-small-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400": "25c748fd",
    "uniformerv2-large-p14-res336_clip-kinetics710-pre_u32_kinetics700-rgb": "95cf9046",
}
WRONG_METRICS = {"mvit_base_32x3_k400", "mvit_large_40x3_k400"}
OTHERS = re.compile(
    r"https://(huggingface\.co|dl\.fbaipublicfiles\.com|\S+\.aliyuncs\.com|\S+/mm(pose|detection))/"
)  # of other projects
MORE = {"bsn_pem-400_anet"}  # an entry with two files


def upstream_entries():
    data = os.environ.get("JAXVID_DATA")
    path = Path(data or ".").parent / "reference" / "zoo.json"
    if not data or not path.is_file():
        pytest.skip("needs JAXVID_DATA: a folder with ../reference/zoo.json, the published entries")
    return json.loads(path.read_text())


def row_of(entry):
    """The rows of an upstream entry: those of its name and file."""
    digest = re.search(r"-([0-9a-f]{8})\.pth$", entry["weights_url"])
    digest = WRONG_LINKS.get(entry["name"]) or (digest[1] if digest else "")
    return [
        row
        for row in ROWS
        if row.published == entry["name"]
        and row.sha256 == digest
        and (digest or row.url == entry["weights_url"])
    ]


def test_every_published_entry_is_one_row():
    seen = set()
    entries = upstream_entries()
    for entry in entries:
        if f"{entry['name']} ({entry['dataset']})" in EXCLUDED:
            continue
        rows = row_of(entry)
        assert len(rows) == 1, entry["name"]
        seen.add(rows[0].name)
    assert len(entries) == 234
    others = {row.name for row in ROWS if row.is_start or OTHERS.match(row.url)}
    assert seen | others | MORE == NAMES


def test_metrics_are_the_published_ones():
    for entry in upstream_entries():
        for row in row_of(entry):
            for ours, theirs in (("top1", "top1"), ("top5", "top5"), ("map", "mAP")):
                if theirs in entry["metrics"] and row.name not in WRONG_METRICS:
                    found = row.metrics.get(ours, row.metrics.get("accuracy"))  # of answers
                    assert found and found * 100 == pytest.approx(entry["metrics"][theirs])


# The rows that this version loads


@pytest.mark.parametrize("row", LOADABLE, ids=by_id)
def test_parameters_are_those_of_the_model(row):
    count, _ = traced(json.dumps(row.model), row.num_classes)  # many rows share a model
    assert round(count / 1e6, 4) == pytest.approx(row.params_m, abs=1e-9)


def test_every_convolution_is_measured():
    """Those of all published models are in benchmarks/convolutions.csv."""
    classes = {json.dumps(row.model): 7 for row in ROWS}  # a classifier may be a convolution
    classes |= {json.dumps(row.model): row.num_classes for row in LOADABLE}  # traced above
    used = set()
    for model, num_classes in classes.items():
        spec = json.loads(model)
        family = test_contract.FAMILIES.get(spec["name"])
        if family is None or spec.get("variant") not in family.VARIANTS:
            continue
        if traced(json.dumps(test_contract.spec(spec["name"])), 7)[1]:  # else the family has none
            used |= traced(model, num_classes)[1]
    assert len(used) > 100
    assert used - {row.conv for row in MEASURED} == set()


@pytest.mark.parametrize("row", LOADABLE, ids=by_id)
def test_a_row_that_loads_says_how_to_use_it(row):
    assert plug.load("data.recipes", row.recipe, split="test")
    config = resolve.published(row, Path()).config
    assert plug.load("tasks", config["task"], num_classes=row.num_classes)
    frames, stride = row.recipe["frames"], row.recipe.get("stride", 0)
    ratio = 32 // row.frames if row.family == "slowfast" else 1  # it counts its slow pathway
    assert (row.frames, row.stride) == (
        frames // ratio,
        0 if row.recipe.get("sampler", [""])[0] == "uniform" else stride * ratio,
    )


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind == "retrieval"], ids=by_id)
def test_a_model_of_retrieval_has_no_classes(row):
    assert resolve.published(row, Path()).names == ()


@pytest.mark.parametrize("row", [row for row in ROWS if row.config], ids=by_id)
def test_the_config_of_a_row_is_of_that_model(row):
    path, _, variant = row.config.partition(":")
    config = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    c = config.get_config(*filter(None, [variant]))
    model, given = flat(hashable(row.model)), flat(c.model.to_dict())
    assert {key: given[key] for key in model} == model
    assert (c.data.num_classes or 0) == row.num_classes or row.kind in WITHOUT_CLASSES
    assert {key: c.data.recipe[key] for key in row.recipe} == dict(hashable(row.recipe))
    assert {key: c.task[key] for key in row.task} == dict(hashable(row.task))


# Names


@pytest.mark.parametrize("name", ["swin_tiny_k400", "swin_tiny_32x2_k400"])
def test_the_row_of_a_name(name):
    row = zoo.get(name)
    assert row.name == "swin_tiny_32x2_k400"
    assert row.metrics == {"top1": 0.789, "top5": 0.9377}
    assert row.sha256 == "241016b2"


@pytest.mark.parametrize(
    "name",
    [zoo.get("swin_tiny_k400").file, "swin_tiny_k400.pth", "swin_tiny_32x2_k400.safetensors"],
)
def test_the_row_of_a_file(name):
    row = zoo.of_file(Path("folder") / name)
    assert row is not None
    assert row.name == "swin_tiny_32x2_k400"


@pytest.mark.parametrize("repository,name", [("a-b", "model.safetensors"), ("c", "d.npz")])
def test_a_file_whose_name_many_share_has_that_of_its_repository(repository, name, monkeypatch):
    url = f"https://huggingface.co/someone/{repository}/resolve/main/{name}"
    row = dataclasses.replace(zoo.get("swin_tiny_k400"), url=url)
    assert row.file == {"model.safetensors": "a-b.safetensors"}.get(name, name)
    monkeypatch.setattr(zoo, "rows", lambda: (row,))
    for path in (Path(row.file), Path("folder") / repository / name):
        assert zoo.of_file(path) is row
    assert zoo.of_file(Path("folder") / "another" / "model.safetensors") is None


def test_the_row_of_a_file_that_the_authors_call_otherwise_than_the_hub():
    row = zoo.of_file(Path("mae_hiera_base_16x224.pth"))
    assert row is not None
    assert row.name == "hiera_base_mae_k400"


def test_a_file_of_another_name_has_no_row():
    assert zoo.of_file(Path("mine.pth")) is None


@pytest.mark.parametrize(
    "name,hint",
    [
        ("swin_tny_k400", 'Did you mean "swin_tiny_k400"?'),
        ("swn_tiny_k400", 'Did you mean "swin"?'),
        ("resnet", "python -m jaxvid.tools.zoo"),
    ],
)
def test_an_unknown_name_is_an_error_with_a_hint(name, hint):
    with pytest.raises(UserError, match=f'named "{name}"') as error:
        zoo.get(name)
    assert hint in str(error.value)


# Class names


@pytest.mark.parametrize("dataset", sorted({row.dataset for row in ROWS if row.num_classes}))
def test_there_are_as_many_class_names_as_classes(dataset):
    counts = {row.num_classes for row in ROWS if row.dataset == dataset and row.num_classes}
    if dataset in WITHOUT_CLASS_NAMES:
        with pytest.raises(UserError, match=f'"{dataset}"'):
            class_names.of(dataset)
    else:
        names = class_names.of(dataset)
        assert {len(names)} == counts
        assert all(name and name == name.strip() for name in names)


@pytest.mark.parametrize(
    "dataset,index,name",
    [
        ("k400", 6, "arm wrestling"),
        ("ntu60", 0, "drink water"),
        ("ava22", 0, "bend/bow (at the waist)"),
        ("ava21", 79, "watch (a person)"),
        ("multisports", 0, "aerobic_push_up"),
    ],
)
def test_class_names_are_in_the_order_of_the_labels(dataset, index, name):
    assert class_names.of(dataset)[index] == name


@pytest.mark.parametrize(
    "dataset,pairs",
    [("ssv1", [(2, 4), (30, 41), (52, 66)]), ("ssv2", [(86, 87), (93, 94), (166, 167)])],
)
def test_the_published_pairs_of_mirrored_classes_are_left_and_right(dataset, pairs):
    names = class_names.of(dataset)
    mirrored = {"left": "right", "right": "left"}
    for one, two in pairs:
        swapped = re.sub(r"left|right", lambda word: mirrored[word[0]], names[one])
        assert swapped == names[two] != names[one]


def test_an_unknown_data_set_is_an_error_with_a_hint():
    with pytest.raises(UserError, match=r'"k40".*Did you mean "k400"'):
        class_names.of("k40")


# The tool


def test_the_tool_prints_a_line_a_row(capsys):
    assert tool.main(["--dataset", "k400", "--family", "swin"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    table = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert len(table) == 8
    tiny = next(line for line in table if line["name"] == "swin_tiny_32x2_k400")
    row = zoo.get("swin_tiny_k400")
    assert tiny == {
        "name": row.name,
        "task": "recognition",
        "data set": "k400",
        "params": "28.16 M",
        "FLOPs": "88 G",
        "metric": "top1 78.90%",
        "loads": "yes",
        "licence": "Apache-2.0",
        "sha256": "241016b2",
        "url": row.url,
    }


def test_the_tool_prints_every_field_as_json(capsys):
    assert tool.main(["--json", "--task", "skeleton"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["name"] for line in lines} == {r.name for r in ROWS if r.kind == "skeleton"}
    assert all(line.keys() >= {"metrics", "url", "loads"} for line in lines)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--dataset", "k401"], 'dataset "k401". Did you mean "k400"?'),
        (["--family", "swin", "--task", "skeleton"], "match all of these options"),
    ],
)
def test_the_tool_says_that_nothing_fits(arguments, message, capsys):
    assert tool.main(arguments) == 1
    assert message in capsys.readouterr().err


def test_the_tool_selects_by_licence(capsys):
    def listed(*arguments):
        assert tool.main(arguments) == 0
        header, *lines = capsys.readouterr().out.splitlines()
        table = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
        return {line["name"]: line["licence"] for line in table}

    uses = {use: listed("--licence", use) for use in licences.USES}
    assert set(uses["permissive"].values()) >= {"Apache-2.0", "MIT", "BSD-3-Clause"}
    assert set(uses["permissive"].values()) <= set(licences.PERMISSIVE)
    assert uses["non-commercial"]["timesformer_hr_16x16_k400"] == "CC-BY-NC-4.0 (non-commercial)"
    assert all(value.endswith(tool.MARK) for value in uses["non-commercial"].values())
    assert all(value.startswith("see ") for value in uses["unknown"].values())
    assert sum(map(len, uses.values())) == len(ROWS)
    assert listed("--license", "MIT", "--task", "image").keys() <= uses["permissive"].keys()
    assert tool.main(["--license", "MTI"]) == 1
    assert 'of license "MTI". Did you mean "MIT"?' in capsys.readouterr().err


def test_the_table_of_a_terminal_has_all_rows_and_links():
    grid = tool.table(ROWS)
    assert grid.row_count == len(ROWS)
    links = list(grid.columns[-1].cells)
    assert all(row.url in str(link) for row, link in zip(ROWS, links, strict=True))


def test_only_rows_whose_family_is_here_load():
    row = zoo.get("swin_tiny_k400")
    assert tool.loads(row)
    for changes in (
        dict(model=dict(name="nothing")),
        dict(model=dict(name="swin", variant="nothing")),
        dict(model=dict(row.model, nothing=3)),
        dict(upstream="nothing"),
        dict(recipe={}),
    ):
        assert not tool.loads(dataclasses.replace(row, **changes))


# Detection: a head for boxes on another family's backbone


DETECTOR = zoo.get("slowonly_r50_ava21")
DETECTS = [row for row in ROWS if row.kind == "detection" and tool.loads(row)]


def test_all_detectors_load():
    assert len(DETECTS) == 28
    assert {row.family for row in DETECTS} == {"slowonly", "slowfast", "videomae"}
    assert [row for row in ROWS if row.kind == "detection"] == DETECTS
    assert {row.bank for row in DETECTS if row.model["name"] == "lfb"} == {DETECTOR.name}


@pytest.mark.parametrize("row", DETECTS, ids=by_id)
def test_a_detector_says_how_to_use_it(row):
    config = resolve.published(row, Path()).config
    net = plug.load("models", config["model"], num_classes=row.num_classes)
    assert plug.load("tasks", config["task"], num_classes=row.num_classes)
    assert plug.load("data.recipes", config["data"]["recipe"], split="test")
    example = plug.module("models", row.model["name"]).example("test")
    if "bank" in example:
        example["bank"] = jax.ShapeDtypeStruct((2, 300, 2048), np.float32)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), example)
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes["params"]))
    assert round(count / 1e6, 4) == pytest.approx(row.params_m, abs=1e-9)
    frames, stride = row.recipe["frames"], row.recipe["stride"]
    ratio = 32 // row.frames if row.family == "slowfast" else 1
    assert (row.frames, row.stride) == (frames // ratio, stride * ratio)
