"""Weights, named one way everywhere: a run of ours, a published checkpoint, or a file.

| spec               | what is read                                                           |
|--------------------|------------------------------------------------------------------------|
| a workdir          | its best checkpoint, else its latest; the moving average where kept    |
| a name of the zoo  | the published file: from a mirror folder, the cache, or the network    |
| a file             | .pth, .pt, .safetensors or .npz, with the names of any known upstream  |
| a folder           | the only file of weights in it, as in a copy of a repository           |
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxvid import class_names, compare, param_rules, plug
from jaxvid.checkpoints import integrity, store
from jaxvid.config import former_keys, hashable
from jaxvid.config.settings import Settings
from jaxvid.errors import UserError
from jaxvid.weights import (
    class_rows,
    download,
    local,
    other_run,
    safetensors_file,
    torch_file,
    zoo,
)
from jaxvid.weights.convert import Weights, convert, leaf_key, rename, to_flax

logger = logging.getLogger(__name__)
PUBLISHED = "published"  # init.weights: those of the zoo for config.model
NO_HEAD = "the weights have none"
NOT_PUBLISHED = "; not the published file of that name, by its hash"


@dataclass(frozen=True)
class Origin:
    """Origin of weights, and the facts known about them.

    Attributes:
      source: The checkpoint folder or the file.
      config: The config of their model; None for a file that the zoo does not have.
      names: Class names; empty for such a file.
      meta: What else is stored with them: step, epoch, published metrics and others.
      upstream: A key of the family's WEIGHTS; "" for checkpoints of jaxvid and for such a file.
    """

    source: Path
    config: dict | None
    names: tuple[str, ...]
    meta: dict
    upstream: str = ""

    @property
    def local_config(self) -> dict:
        """The config, with one copy of the parameters on each device of this machine.

        Raises:
          UserError: the file has no config, so the model is not known.
        """
        if self.config is None:
            raise UserError(
                f"{self.source}: a file of weights without a config; name the model with --config,"
                " or rename the file to that of its row in `python -m jaxvid.tools.zoo`"
            )
        return {**self.config, "mesh": asdict(Settings.mesh), "sharding": Settings.sharding}


def locate(spec: str | Path) -> Origin:
    """Return what `spec` names, and download a published file that is not on this machine.

    Raises:
      UserError: there is no such workdir, file or name; the nearest name is suggested.
    """
    if not (isinstance(spec, str | Path) and str(spec)):
        raise UserError(f"checkpoint={spec!r}: give a workdir, a file or a name of the zoo")
    path = Path(spec).expanduser()  # shells leave "--checkpoint=~/run" as it is
    if path.is_dir() and not store.is_run(path):
        path = local.in_folder(path) or path
    if path.is_dir():
        folder = store.best_checkpoint(path)
        meta = store.read_meta(folder)
        config = former_keys.migrate(hashable(meta["config"]))
        return Origin(folder, config, tuple(meta["names"]), meta)
    if path.is_file():
        if exported := exported_meta(path):
            config, names = former_keys.migrate(hashable(exported["config"])), exported["names"]
            return Origin(path, config, tuple(names), exported, exported["upstream"])
        row = local.row_of(path)
        return published(row, path) if row else Origin(path, None, (), {})
    if path.suffix or len(path.parts) > 1:
        raise local.missing(str(spec), path, store.runs_beside(path))
    row = zoo.get(str(spec))
    plug.module("models", row.model["name"])  # before a download that nothing could read
    return published(row, download.fetch(row))


def published(row: zoo.Row, path: Path) -> Origin:
    """Return the origin of a published file, with a config that evaluates it."""
    config = dict(
        **asdict(Settings(dtype="float32", batch=1)),
        model=dict(row.model),
        task=dict(row.task),
        data=dict(recipe=dict(row.recipe)),
    )
    meta = dict(step=0, epoch=0.0, published=dict(row.metrics), zoo=row.name)
    meta |= {"headless": True} if row.is_encoder else {}
    meta |= {"bank": dict(backbone=row.bank, weights="")} if row.bank else {}
    nameless = row.is_start or row.has_texts or row.finds_people
    names = () if nameless else class_names.of(row.dataset)
    return Origin(path, hashable(config), names, meta, row.upstream)


def identity(source: Path) -> str:
    """Return the first twelve hexadecimal digits of a hash of a checkpoint folder or a file."""
    return integrity.identity(source) if source.is_dir() else download.sha256(source)[:12]


def read(origin: Origin, like: Mapping, net: nn.Module, model: Mapping) -> tuple[dict, str]:
    """Read the variables of `origin`.

    Args:
      origin: Where they are.
      like: Their shapes, with the shardings that they get.
      net: The model.
      model: Its spec.

    Returns:
      The variables, and a line for the log.
    """
    if origin.source.is_dir():
        variables, kind = store.load_variables(origin.source, like)
        return variables, f"loaded {kind} parameters of {origin.source}"
    skip = (class_rows.HEAD,) if origin.meta.get("headless") else ()
    return load_tensors(origin, Tensors.of(origin, like, net, model), like, net, skip)


def resolve(spec: str, model: Mapping) -> str:
    """Return what `config.init.weights` names, with "published" replaced by a name of the zoo.

    Args:
      spec: as in the config.
      model: `config.model`.

    Returns:
      A spec as above; "" for random values, also where a model has no published weights.
    """
    if spec != PUBLISHED:
        return spec
    row = zoo.default(model)
    if row is None:
        backbone = model.get("backbone", {})
        named = " ".join(
            spec[k] for spec in (model, backbone) for k in ("name", "variant") if k in spec
        )
        logger.info(f"{named} has no published weights: training starts from random values")
        return ""
    logger.info(f"fine-tuning the published weights {row.name}")
    return row.name


def locate_initial(spec: str) -> Origin:
    """Do the same as `locate` for a run that starts; an error names the flag for random values."""
    try:
        return locate(spec)
    except UserError as error:
        if spec not in zoo.by_name():
            raise
        hint = "--config.init.weights= trains from random values instead"
        raise UserError(f"{error}; {hint}") from None


def starting_from(
    init: Mapping,
    net: nn.Module,
    model: Mapping,
    names: Sequence[str] = (),
    config: Mapping | None = None,
    needed: bool = True,
):
    """Return a function that replaces random variables by the weights that `config.init` names.

    The head keeps its random values if the weights are for other classes. All other parameters and
    running statistics must be in the weights.

    Args:
      init: `config.init`: "weights", a spec as above; "skip", patterns of parameters that keep
        their random values; and "match_classes", take the head of each class by its name.
      net: The model of the run.
      model: Its spec.
      names: The classes of the run; () if they are not known.
      config: The config of the run, to compare the preprocessing.
      needed: Locate the weights now. A run that resumes does not need them.

    Returns:
      The function, or None if `config.init` names no weights.

    Raises:
      UserError: there are no such weights.
    """
    if not init["weights"]:
        return None
    given = tuple(init["skip"])
    known = locate_initial(init["weights"]) if needed else None

    def initial(variables: dict) -> dict:
        origin = known or locate_initial(init["weights"])
        param_rules.label(variables["params"], [(p, True) for p in given], strict=True)
        tensors = None if origin.source.is_dir() else Tensors.of(origin, variables, net, model)
        skip, like, chosen = given, variables, None
        gap = compare.classes(origin.names, names) if origin.names and names else ""
        fresh, heads = class_rows.head(variables)
        if init.get("match_classes"):
            chosen = compare.places(origin.names, names)
            loaded = [key for key in heads if not store.skipped(f"params/{key}", given)]
            like = class_rows.shapes(variables, loaded, len(names), len(origin.names))
            logger.info(f"the head takes {len(names)} of {len(origin.names)} classes, by name")
            gap = ""
        if not gap and tensors:
            gap = tensors.other_head(like, net)
        about = origin.config or {}
        if not tensors and (more := other_run.pretraining_only(origin.source, about, variables)):
            skip, gap = (*skip, *more), NO_HEAD
        if gap == NO_HEAD:
            fresh, heads = class_rows.head(variables, class_rows.HEAD)
        if gap and not all(store.skipped(f"params/{k}", given) for k in heads):
            skip += (fresh,)
            flag = f"--config.init.skip=\"('{fresh}',)\""
            logger.info(f"the head starts fresh, as with {flag}: {gap}")
        try:
            if tensors:
                loaded, line = load_tensors(origin, tensors, like, net, skip)
            else:
                changes = [table.adapt for table in tables(model, net).values() if table.adapt]
                adapt = changes[0] if changes else other_run.keep
                loaded, sized = other_run.load_into(like, origin.source, skip, net, adapt)
                line = "\n  ".join([f"started from {origin.source}", *sized])
        except UserError as error:
            raise UserError(f"{error}{_other_family(origin, model)}") from None
        logger.info(line)
        loaded = class_rows.select(loaded, variables, chosen) if chosen else loaded
        if origin.config and config:
            for key, text in compare.preprocessing(origin.config, config).items():
                if key.rpartition(".")[2] not in compare.VIEWS:
                    logger.info(f"  trained with another config.{key}: {text}")
        return loaded

    return initial


def _other_family(origin: Origin, model: Mapping) -> str:
    """Return the end of an error about weights of another family; "" for the same family."""
    ours = model["name"]
    theirs = origin.config["model"]["name"] if origin.config else ours
    if theirs == ours:
        return ""
    return f"\n{origin.source} is of config.model.name={theirs}, the run is of {ours}"


@dataclass(frozen=True)
class Tensors:
    """The tensors of a file, and the table that has their names.

    Attributes:
      named: Tensors by the names of the upstream.
      table: The rename table.
      note: How the names differ from those in the file, for the log.
    """

    named: Mapping[str, Any]
    table: Weights
    note: str = ""

    @classmethod
    def of(cls, origin: Origin, like: Mapping, net: nn.Module, model: Mapping) -> "Tensors":
        """Read a file; choose the table and the prefix that fit the most tensors."""
        known = tables(model, net)
        # A file of another family, such as a TSM that a TIN starts from, may have its own table.
        own = origin.config is None or origin.config["model"]["name"] == model["name"]
        if origin.upstream in known and own:
            known = {origin.upstream: known[origin.upstream]}
        best, most = None, -1
        for note, named in spellings(torch_file.load(origin.source)):
            table = likeliest(named, known, like, net)
            if (count := fitting(named, table, like, net)) > most:
                best, most = cls(named, table, note), count
        assert best is not None  # the names as they are come first
        return best

    def other_head(self, like: Mapping, net: nn.Module) -> str:
        """Return how the head differs in shape from that of `like`; "" if it does not."""
        want = {k: v for k, v in param_rules.flatten(like).items() if k.startswith("params/head/")}
        rows, shapes = self.table.rows(net), {}
        for name, tensor in self.table.fixes(net)[0](self.named).items():
            path = rename(name, rows)
            if path and (key := leaf_key(path, want)):
                shapes[key] = to_flax(tensor, key).shape
        if not shapes:
            return NO_HEAD if want else ""
        for key, shape in shapes.items():
            if shape != tuple(want[key].shape):
                return f"{key} is {shape} in the file, {tuple(want[key].shape)} in the model"
        return ""


def tables(model: Mapping, net: nn.Module) -> dict[str, Weights]:
    """Return the rename tables of a model, by upstream.

    If the spec has a spec of a backbone inside, the tables of its family are used for the backbone.

    Args:
      model: The spec of `net`.
      net: The model.
    """
    own = plug.module("models", model["name"]).WEIGHTS
    if "backbone" not in model:
        return own
    inner = tables(model["backbone"], net)
    return {upstream: table.with_head(own.get(upstream), net) for upstream, table in inner.items()}


def spellings(tensors: Mapping) -> Iterator[tuple[str, dict]]:
    """Yield (note, tensors): names as in the file, without prefixes, and with "backbone."."""
    yield "", dict(tensors)
    prefix = ""
    while True:
        rest = [n.removeprefix(prefix) for n in tensors if n.startswith(prefix)]
        words = Counter(n.partition(".")[0] for n in rest if "." in n)
        word, count = words.most_common(1)[0] if words else ("", 0)
        if count <= len(tensors) // 2:
            break
        prefix += f"{word}."
        named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if len(named) == len(tensors):
            yield f'; names begin with "{prefix}", which was cut off', named
    yield '; "backbone." was put before all names', {f"backbone.{k}": v for k, v in tensors.items()}


def load_tensors(
    origin: Origin, tensors: Tensors, like: Mapping, net: nn.Module, skip: tuple[str, ...] = ()
) -> tuple[dict, str]:
    """Convert the tensors of a file and put them on the devices, with the shardings of `like`.

    Variables that are skipped keep their values of `like`, or are 0 if it has only their shapes.
    """
    variables, coverage = convert(tensors.named, like, tensors.table, skip=skip, net=net)
    variables = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x,
        variables,
    )
    placed = jax.tree.map(lambda x, where: jax.device_put(x, where.sharding), variables, like)
    row = zoo.of_file(origin.source)
    own = "" if row is None or download.is_published(origin.source, row) else NOT_PUBLISHED
    return placed, f"{coverage} from {origin.source}{tensors.note}{own}"


def likeliest(
    tensors: Mapping, tables: Mapping[str, Weights], like: Mapping, net: nn.Module | None = None
) -> Weights:
    """Return the table that fits the most tensors."""
    return max(tables.values(), key=lambda table: fitting(tensors, table, like, net))


def fitting(tensors: Mapping, table: Weights, like: Mapping, net: nn.Module | None = None) -> int:
    """Return the number of tensors that are variables of the model by a table."""
    want, rows = param_rules.flatten(like), table.rows(net)

    def count(names: Iterable[str]) -> int:
        paths = [rename(name, rows) for name in names]
        return sum(1 for path in paths if path and leaf_key(path, want))

    found = count(tensors)
    if found > len(tensors) / 2:
        return found
    return max(found, count(table.fixes(net)[0](tensors)))  # it reads tensors that it joins


def exported_meta(path: Path) -> dict | None:
    """Return the config and class names in a file of `tools.export_weights`; None in others."""
    if path.suffix != ".safetensors":
        return None
    text = safetensors_file.metadata(path).get("jaxvid")
    return json.loads(text) if text else None
