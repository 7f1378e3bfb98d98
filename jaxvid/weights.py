"""Weights, named one way everywhere: a run of ours, a published checkpoint, or a file.

| spec               | what is read                                                           |
|--------------------|------------------------------------------------------------------------|
| a workdir          | its best checkpoint, else its latest; the moving average where kept    |
| a name of the zoo  | the published file: from a mirror folder, the cache, or the network    |
| a file             | .pth, .pt, .safetensors or .npz, with the names of any known upstream  |
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxvid import paths, plug
from jaxvid.ckpt import fetch, safetensors_file, store, torch_file, zoo
from jaxvid.ckpt.convert import Weights, convert, find_leaf, rename
from jaxvid.config import hashable
from jaxvid.errors import UserError

# What a task of the zoo's is trained as.
TASKS = {"skeleton": "recognition", "audio": "recognition"}
NOT_PUBLISHED = "; not the published file of that name, by its hash"


@dataclass(frozen=True)
class Origin:
    """Where weights come from, and what is known of them.

    Attributes:
      source: the checkpoint folder or the file.
      config: the config of their model, None for a bare file.
      names: class names, empty for a bare file.
      meta: what else travels with them: step, epoch, published metrics ...
      upstream: key into the family's WEIGHTS; "" for our own checkpoints and for bare files.
    """

    source: Path
    config: dict | None
    names: tuple[str, ...]
    meta: dict
    upstream: str = ""


def find(spec: str | Path) -> Origin:
    """What `spec` names; downloads a published file that is not here yet.

    Raises:
      UserError: there is no such workdir, file or name; the nearest name is suggested.
    """
    path = Path(spec)
    if path.is_dir():
        folder = store.find(path)
        meta = store.read_meta(folder)
        return Origin(folder, hashable(meta["config"]), tuple(meta["names"]), meta)
    if path.is_file():
        if told := exported_meta(path):
            names = tuple(told["names"])
            return Origin(path, hashable(told["config"]), names, told, told["upstream"])
        row = zoo.of_file(path)
        return published(row, path) if row else Origin(path, None, (), {})
    if path.suffix or len(path.parts) > 1:
        raise UserError(f"{spec}: no such workdir, checkpoint or file")
    row = zoo.find(spec)
    plug.module("models", row.spec["name"])  # before a download that nothing could read
    return published(row, fetch.fetch(row))


def published(row: zoo.Row, path: Path) -> Origin:
    """A row of the zoo as the config of an evaluation."""
    config = dict(
        dtype="float32",
        mesh=dict(data=-1, model=1),
        sharding="replicated",
        batch=1,
        eval_batch=0,
        eval=dict(views=1),
        loader=dict(workers=-1, on_error="replace", eval_on_error="raise"),
        model=row.spec,
        task={"name": TASKS.get(row.task, row.task), **row.task_options},
        data=dict(recipe=dict(row.recipe)),
    )
    meta = dict(step=0, epoch=0.0, published=dict(row.metrics), zoo=row.name)
    names = () if row.task == "image" else zoo.labels(row.dataset)
    return Origin(path, hashable(config), names, meta, row.upstream)


def read(origin: Origin, like: Mapping, net: Any, family: str) -> tuple[dict, str]:
    """The variables of `origin`, where `like` (shapes with shardings) says, and a line on them."""
    if origin.source.is_dir():
        variables, kind = store.load_variables(origin.source, like)
        return variables, f"loaded {kind} parameters of {origin.source}"
    return place(origin, like, net, family)


def starting_from(init: Mapping, net: Any, family: str, say: Callable[[str], object]):
    """What replaces a run's fresh variables by those that `config.init` names; None if it does not.

    Args:
      init: "weights", a spec as above, and "skip", patterns of parameters that stay fresh.
      say: is told what was loaded.

    Raises:
      UserError: there are no such weights; before anything is compiled.
    """
    if not init["weights"]:
        return None
    origin, skip = find(init["weights"]), tuple(init["skip"])

    def initial(variables: dict) -> dict:
        if origin.source.is_dir():
            params = store.load_into(variables["params"], origin.source, skip)
            say(f"started from {origin.source}")
            return {**variables, "params": params}
        loaded, line = place(origin, variables, net, family, skip)
        say(line)
        return loaded

    return initial


def place(origin: Origin, like: Mapping, net: Any, family: str, skip=()) -> tuple[dict, str]:
    """Convert the tensors of a file and put them where `like` says."""
    tensors = torch_file.load(origin.source)
    tables = plug.module("models", family).WEIGHTS
    table = tables[origin.upstream] if origin.upstream else likeliest(tensors, tables, like, net)
    variables, coverage = convert(tensors, like, table, skip=skip, net=net)
    placed = jax.tree.map(lambda x, where: jax.device_put(x, where.sharding), variables, like)
    row = zoo.of_file(origin.source)
    own = "" if row is None or fetch.is_published(origin.source, row) else NOT_PUBLISHED
    return placed, f"{coverage} from {origin.source}{own}"


def likeliest(
    tensors: Mapping, tables: Mapping[str, Weights], like: Mapping, net: Any = None
) -> Weights:
    """The table by which most tensors find a place."""
    want = paths.flatten(like)

    def fits(table):
        rows = table.rows(net)
        names = [rename(name, rows) for name in tensors]
        return sum(1 for name in names if name and find_leaf(name, want))

    return max(tables.values(), key=fits)


def exported_meta(path: Path) -> dict | None:
    """The config and class names inside a file that `tools.export_weights` wrote."""
    if path.suffix != ".safetensors":
        return None
    text = safetensors_file.metadata(path).get("jaxvid")
    return json.loads(text) if text else None
