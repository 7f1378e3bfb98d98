"""The shape of the code: who imports whom, how long files are, and that every config builds."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.config import hashable, loading, plain
from jaxvid.distributed import mesh
from jaxvid.errors import UserError
from jaxvid.train import optim
from jaxvid.train.plan import scale_rate
from jaxvid.train.step import init_variables

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT / "jaxvid").with_suffix("").parts): path
    for path in sorted((ROOT / "jaxvid").rglob("*.py"))
}

# Who may import what besides the standard library: jaxvid's own modules start with a dot, a name
# covers what is below it, and the longest row that fits a file counts.
TRAIN = (
    ".errors .config.values .compare .files .provenance .param_rules .plug .signals .log"
    " .distributed .checkpoints .weights.zoo .tasks.base .train .data.video.containers"
    " .data.loading .data.sample .draw .ops.formulation .writers jax numpy optax"
)
IMPORTS = {
    "__init__": ".api .log",
    "__main__": ".cli .commands",
    "api": "*",
    "class_names": ".errors",
    "commands": ".errors",
    "errors": "",
    "signals": "",
    "console": ".errors .files .signals",
    "files": ".errors",
    "provenance": ".errors .files",
    "plug": ".errors .config.former_keys .config.keys .config.values",
    "pickles": ".errors numpy",
    "skeletons": ".errors",
    "config": ".errors",
    "config.__init__": ".errors .provenance .config.options .config.former_keys",
    "config.options": ".errors .config .plug ml_collections",
    "config.loading": ".errors ml_collections",
    "config.former_keys": ".errors",
    "config.keys": ".config.values",
    "config.values": ".errors",
    "config.settings": ".config.values",
    "config.schema": ".errors .config .plug .data.dataset .train.optim",
    "config.reference": ".config .plug",
    "config.overrides": ".errors .config absl ml_collections",
    "compare": ".errors .class_names .config .plug",
    "cli": ".errors .config .console .signals absl ml_collections",
    "param_rules": ".errors jax",
    "ops": ".errors .config.values .skeletons .ops jax numpy einops optax dm_pix",
    "layers": ".errors .config.values .skeletons .ops .layers jax flax numpy einops",
    "models": ".errors .config.values .layers .ops .models .weights.convert .weights.inflate"
    " .weights.names jax flax numpy einops",
    "metrics": ".errors .log .ops .metrics numpy",
    "draw": ".draw numpy cv2 PIL",
    "draw.overlays": ".draw .skeletons numpy cv2",
    "results": "numpy",
    "inference": "",
    "inference.action_tubes": ".inference.tracking .metrics.detection .results numpy",
    "inference.detect": ".errors .data .inference .results numpy",
    "inference.draw": ".errors .data .draw .results .skeletons cv2 numpy",
    "inference.feature_bank": ".errors .data .inference.model jax numpy",
    "inference.features": ".errors .data .distributed.mesh .inference.model jax numpy",
    "inference.localize": ".errors .files .provenance .data .inference.model .ops.segments"
    " .results numpy",
    "inference.model": ".errors .compare .config .plug .data .distributed .inference .train"
    " .weights jax numpy",
    "inference.poses": ".errors .plug .models .weights jax numpy cv2",
    "inference.skeleton": ".errors .skeletons .data .inference .results numpy",
    "inference.tracking": ".results numpy",
    "inference.video_index": ".errors .files .provenance numpy",
    "samples": ".errors .skeletons .data .draw numpy",
    "tasks": ".errors .config.values .ops .metrics .results .tasks.base jax optax numpy",
    "tasks.boundaries": ".errors .config.values .ops .tasks jax numpy optax",
    "tasks.omnisource": ".config.values .ops .tasks jax",
    "tasks.rgbpose": ".config.values .errors .metrics .tasks jax numpy",
    "tasks.multi_label": ".errors .config.values .metrics .ops .tasks jax numpy optax",
    "tasks.prompted": ".metrics .ops .tasks jax numpy",
    "tasks.matching": ".config.values .metrics .ops .tasks jax",
    "tasks.multiple_choice": ".config.values .metrics .ops .results .tasks jax numpy",
    "tasks.text_classes": ".errors .config.values .metrics .ops .tasks jax numpy optax",
    "data": ".errors .log .class_names .config.values .compare .signals .files .provenance .plug"
    " .pickles .skeletons .data numpy grain av cv2 absl",
    "data.text.tokenizer": ".errors numpy regex",
    "data.sources.tfds": ".errors .config.values .data numpy cv2 tensorflow_datasets",
    "checkpoints": ".errors .files .param_rules .checkpoints jax orbax flax.traverse_util numpy",
    "weights": ".errors .files .param_rules .pickles .weights jax flax numpy ml_dtypes",
    "weights.inflate": ".errors .ops.position flax numpy",
    "weights.other_run": ".param_rules .checkpoints jax flax numpy",
    "weights.resolve": ".errors .class_names .compare .config .plug .param_rules"
    " .checkpoints .weights jax flax numpy",
    "versions": "packaging",
    "writers": ".errors .files .provenance .plug .writers numpy",
    "writers.tensorboard": ".draw.canvas numpy tensorboardX",
    "log": "rich",
    "distributed": ".errors .files .log .signals .distributed jax numpy",
    "distributed.mesh": ".errors .param_rules jax numpy",
    "distributed.start": ". .errors .config .files .provenance .log .signals .distributed"
    " .data.annotations.labels jax numpy",
    "train": TRAIN,
    "train.__init__": ".",
    "train.fitting": TRAIN + " .config",
    "train.flops": TRAIN + " .ops.formulation",
    "train.batch_norm": TRAIN + " flax",
    "train.step": TRAIN + " flax",
    "train.loop": TRAIN + " flax",
    "train.plan": TRAIN + " .data.recipes.base flax",
    "train.report": TRAIN + " flax",
    "train.progress": TRAIN + " rich",
    "main": "*",
    "predict": "*",
    "tools": "*",
}


def imports(source: str) -> Iterator[str]:
    """Dotted names of all that a module imports, inside functions too; '.x' for jaxvid's own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "relative" if node.level else node.module
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            own = name == "jaxvid" or name.startswith("jaxvid.")
            yield name.removeprefix("jaxvid") or "." if own else name


def covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def forbidden(module: str, source: str) -> list[str]:
    """What `module` imports and its row of IMPORTS does not have."""
    row = max((row for row in IMPORTS if covers(row, module)), key=len, default="")
    allowed = IMPORTS.get(row, "").split()
    return [
        name
        for name in imports(source)
        if allowed != ["*"]
        and name.split(".")[0] not in sys.stdlib_module_names
        and not any(covers(prefix, name) for prefix in allowed)
    ]


def users(package: str) -> set[str]:
    """The modules of jaxvid that import `package`."""
    return {
        module
        for module, path in FILES.items()
        if any(covers(package, name) for name in imports(path.read_text()))
    }


@pytest.mark.parametrize("module", FILES)
def test_imports_go_one_way(module):
    assert forbidden(module, FILES[module].read_text()) == []


def test_every_package_has_a_row_and_every_row_a_package():
    packages = {module.split(".")[0] for module in FILES}
    assert packages == {row.split(".")[0] for row in IMPORTS}
    assert {row for row in IMPORTS if "." in row} <= FILES.keys()


@pytest.mark.parametrize(
    "module,source,found",
    [
        ("data.loading.loader", "import jax", ["jax"]),
        ("data.loading.loader", "def f():\n    from jax import numpy as jnp", ["jax.numpy"]),
        ("data.loading.loader", "import jaxtyping", ["jaxtyping"]),
        ("data.loading.loader", "from jaxvid.train import loop", [".train.loop"]),
        (
            "data.loading.loader",
            "import numpy.random, os\nfrom jaxvid.data.video import decode",
            [],
        ),
        ("checkpoints.store", "from flax import linen", ["flax.linen"]),
        ("train.optim", "from flax import struct", ["flax.struct"]),
        ("train.step", "from flax import struct", []),
        ("train.step", "from jaxvid.tasks.recognition import build", [".tasks.recognition.build"]),
        ("ops.losses", "from .boxes import iou", ["relative.iou"]),
        ("ops.losses", "import jaxvid", ["."]),
    ],
)
def test_a_forbidden_import_is_found(module, source, found):
    assert forbidden(module, source) == found


def test_torch_is_imported_nowhere():
    assert users("torch") == set()
    assert users("numpy")  # the search finds something where there is something


def test_flax_is_for_what_has_parameters():
    places = (
        "layers",
        "models",
        "checkpoints",
        "weights",
        "train.batch_norm",
        "train.step",
        "train.loop",
        "train.plan",
        "train.report",
        "main",
    )
    assert [m for m in users("flax") if not any(covers(p, m) for p in places)] == []


def test_nothing_that_data_reaches_imports_jax():
    reached, ahead = set(), {module for module in FILES if covers("data", module)}
    while ahead:
        reached |= ahead
        names = {n[1:] for m in ahead for n in imports(FILES[m].read_text()) if n[0] == "."}
        # Importing what is in a package runs its __init__, too.
        ahead = {m for m in FILES for n in names if covers(m.removesuffix(".__init__"), n)}
        ahead -= reached
    assert {"plug", "config.__init__"} <= reached
    for package in ("jax", "flax", "optax", "orbax"):
        assert reached & users(package) == set()


def test_importing_starts_neither_jax_nor_a_decoder():
    """Also of main: every data worker imports it again."""
    script = (
        "import sys, jaxvid, jaxvid.main;"
        "print(*{'jax', 'flax', 'av', 'cv2', 'grain'} & set(sys.modules));"
        "import jaxvid.data.video.decode; print('av' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["", "True False"]


# Words


def words(source: str) -> set[str]:
    """Identifiers and string constants of a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "arg", "name", "value", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                found |= {value, *value.split(".")} if field != "value" else {value}
    return found


def test_the_loop_names_no_task_and_no_family():
    names = {m.split(".")[1] for m in FILES if m.startswith(("tasks.", "models."))}
    names -= {"__init__", "base", "clip"}  # a clip is also a part of a video
    assert {"recognition", "swin"} <= names
    for module, path in FILES.items():
        if covers("train", module):
            assert words(path.read_text()) & names == set(), module
    assert words('from jaxvid.models import swin\nif task == "recognition": pass') >= {
        "swin",
        "recognition",
    }


def test_defaults_live_in_signatures():
    pattern = re.compile(r"\bconfig\.get\(")
    assert [m for m, path in FILES.items() if pattern.search(path.read_text())] == []
    assert pattern.search("rate = config.get('lr', 0.1)")


# Size and docstrings

LONGEST = 500  # lines of a file; at 400 it probably has two subjects


@pytest.mark.parametrize("folder", ["jaxvid", "configs", "data_prep", "tests"])
def test_files_are_short(folder):
    lengths = {p: len(p.read_text().splitlines()) for p in (ROOT / folder).rglob("*.py")}
    assert lengths
    assert {str(p): n for p, n in lengths.items() if n > LONGEST} == {}


def undocumented(source: str) -> list[str]:
    """The module, and the public functions and classes in it that are long enough to ask why.

    What a command's `main` does stands in the docstring of its module.
    """
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) or not tree.body else ["module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            private = node.name.startswith("_") or node.name == "main"
            if lines > 8 and not private and not ast.get_docstring(node):
                found.append(node.name)
    return found


def test_the_public_surface_is_documented():
    found = {m: names for m, path in FILES.items() if (names := undocumented(path.read_text()))}
    assert found == {}
    body = "\n".join(f"    x{i} = {i}" for i in range(9))
    source = f"def f():\n{body}\n\ndef _g():\n{body}\n\nclass C:\n{body}\n\ndef h():\n    pass"
    assert undocumented(source) == ["module", "f", "C"]


# Configs


def documented_configs() -> list[tuple[str, str]]:
    """(file, variant) of every row of configs/README.md; a variant ",x" goes with all others."""
    found = []
    for file, _, variants in loading.shipped():
        endings = ["", *(v for v in variants if v.startswith(","))]
        whole = [v for v in variants if not v.startswith(",")] or [""]
        found += [(file, v + ending) for v in whole for ending in endings]
    return found


CONFIGS = documented_configs()
CLASSES = 7


def get_config(file, variant):
    build = importlib.import_module(f"configs.{file}").get_config
    return build(variant) if variant else build()


def parts(config):
    """What main builds from a config (a ConfigDict, or nested dicts)."""
    known: Any = dict(num_classes=config["data"]["num_classes"] or CLASSES)
    dtype = jnp.dtype(config["dtype"])
    recipe = config["data"]["recipe"]
    return (
        plug.load("models", config["model"], **known, dtype=dtype),
        plug.load("tasks", config["task"], **known),
        {s: plug.load("data.recipes", recipe, split=s) for s in ("train", "val", "test")},
    )


def source_specs(spec) -> Iterator[dict]:
    """A source's spec, or those that it joins."""
    joined = [v for v in spec.values() if isinstance(v, Mapping)]
    for part in joined:
        yield from source_specs(part)
    if not joined:  # without what the source that joins them takes
        yield {k: v for k, v in spec.items() if k not in ("ratio", "repeat")}


def test_the_readme_lists_every_config():
    shared = {"__init__", "base", "common", "datasets", "recognizers"}
    files = {p.stem for p in (ROOT / "configs").glob("*.py")} - shared
    assert {file for file, _ in CONFIGS} == files


@pytest.mark.parametrize("file", sorted({file for file, _ in CONFIGS}))
def test_the_default_is_a_documented_variant(file):
    documented = [plain(get_config(f, variant)) for f, variant in CONFIGS if f == file]
    assert plain(get_config(file, "")) in documented


@pytest.mark.parametrize("file,variant", CONFIGS)
def test_every_config_builds(file, variant):
    config = get_config(file, variant)
    model, task, pipelines = parts(config)
    assert all(pipelines.values())
    for split in ("train", "val"):
        for spec in source_specs(config.data[split].to_dict()):
            build = plug.module("data.sources", spec.pop("name")).build
            inspect.signature(build).bind(split, root="", names=(), num_classes=CLASSES, **spec)
    assert config.sharding in mesh.LAYOUTS
    # What travels with a checkpoint as JSON builds the same.
    assert parts(hashable(plain(config))) == (model, task, pipelines)


PARAMETERS: dict[str, dict] = {}  # shapes by the specs of model and task


@pytest.mark.parametrize("file,variant", CONFIGS)
def test_every_config_trains_what_it_says(file, variant):
    """Its optimizer's rules match parameters, and its schedule has a rate at every step."""
    config = get_config(file, variant)
    # Parameters have the same names in all variants.
    spec = config.model.get("backbone", config.model)
    published = plug.module("models", spec.name).VARIANTS[spec.variant]
    if "block" in str(config.optim.get("lr_scale")) or "layers" in spec:  # blocks by their number
        spec.update({key: published[key] for key in ("depth", "depths") if key in published})
    like = f"test-{spec.variant.partition('-')[2]}"  # such as test-audio for r18-audio
    spec.variant = like if like in plug.module("models", spec.name).VARIANTS else "test"
    if "frames" in spec:  # layers of the network depend on it
        spec.frames = plug.module("models", spec.name).VARIANTS["test"].get("frames", spec.frames)
    if config.task.name == "masked":  # its patches are those of the model
        patch = plug.module("models", spec.name).backbone("test").patch
        config.task.update(patch=patch, ratio=0.5)
    if isinstance(spec.get("layers"), tuple):  # numbers of the blocks of the published depth
        spec.layers = ()
    if isinstance(spec.get("window"), tuple):  # one for each level
        test = plug.module("models", spec.name).VARIANTS["test"]
        spec.window = test.get("window", spec.window)
    if "layout" in spec:  # joints of the example
        spec.layout = plug.module("models", spec.name).VARIANTS["test"]["layout"]
    if "span" in config.model:  # divides the frames of the published clips
        config.model.span = 0
    net, task, _ = parts(config)
    inputs = plug.module("models", config.model.name).example(config.model.get("variant", "test"))
    views = dict.fromkeys(inputs, () if "feature" in inputs else (1,))
    batch = {
        **{k: np.zeros((2, *views[k], *x.shape[1:]), x.dtype) for k, x in inputs.items()},
        "label": np.zeros(2, np.int32),
        "mask": np.ones(2, np.float32),
    }
    if "video" in batch:
        batch["video"] = batch["video"].astype(np.uint8)
    if "boxes" in batch:
        batch["proposals"] = batch.pop("boxes")[:, 0]
        batch["proposal_mask"] = batch.pop("valid", np.ones((2, 1, 5), bool))[:, 0]
    if config.task.name == "question_answering":
        batch["question"] = batch["answer"] = batch.pop("text")
    if "bank" in batch:
        batch["bank"] = batch["bank"][:, 0]
    key = repr((hashable(plain(config.model)), hashable(plain(config.task))))
    if key not in PARAMETERS:  # many configs share a model
        shapes = jax.eval_shape(lambda b: init_variables(net, task, b, 0), batch)
        PARAMETERS[key] = shapes["params"]
    factor = optim.schedule(steps_per_epoch=10, epochs=config.epochs, **config.schedule)
    settings = scale_rate(config.optim, config.batch)
    assert optim.build(PARAMETERS[key], factor=factor, **settings)
    rates = np.asarray(factor(np.arange(round(10 * config.epochs))))
    assert rates.min() >= 0
    assert 0.9 < rates.max() <= 1
    assert config.batch % config.accumulate == 0


@pytest.mark.parametrize("file", sorted({file for file, _ in CONFIGS}))
def test_a_misspelt_key_is_an_error_that_names_the_nearest(file):
    config = get_config(file, "")
    known: Any = dict(num_classes=CLASSES)
    sources = [s for split in ("train", "val") for s in source_specs(config.data[split].to_dict())]
    for package, spec, extra in (
        ("models", config.model, known),
        ("tasks", config.task, known),
        ("data.recipes", config.data.recipe, dict(split="train")),
        *(("data.sources", s, dict(split="train", root="")) for s in sources),
    ):
        keys = [key for key in spec if key not in ("name", "variant")]
        if not keys:
            continue
        key = keys[-1]
        with pytest.raises(UserError, match=f'no "{key}x". Did you mean "{key}"'):
            plug.load(package, {**spec, f"{key}x": 0}, **extra)
