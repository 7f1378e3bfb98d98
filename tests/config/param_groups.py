"""Multipliers of learning rate and weight decay of single parameters: published, and ours.

The names and shapes of the published tensors are those of the manifests in tests/parity.
"""

import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxvid import plug
from jaxvid.config import flat
from jaxvid.weights import resolve
from jaxvid.weights.convert import rename
from tests.parity import manifests
from tests.parity.cases import CASES

Tensors = dict[str, tuple[int, ...]]  # name: shape
Scales = dict[str, tuple[float, float]]  # name: multipliers of learning rate and weight decay

KEYS = ("constructor", "paramwise_cfg", "bn_frozen", "partial_bn", "frozen_layers")
KEYS += ("lr_scale", "decay_scale", "freeze")
BUFFERS = re.compile(r".*(running_mean|running_var|num_batches_tracked)")
MANIFESTS = functools.cache(manifests.read)


def are_there(record: Mapping[str, Any], optimizer: Mapping[str, Any]) -> bool:
    """Return whether a record of the sheet or a `config.optim` treats parameters differently."""
    backbone = record["model"].get("backbone")
    parts = record["optim_wrapper"], record["model"], backbone or {}, optimizer
    return any(key in part for part in parts for key in KEYS)


def published(record: Mapping[str, Any], tensors: Tensors) -> Scales:
    """Return the multipliers of a record of the sheet; they are 0 for frozen parameters.

    Raises:
      KeyError: nothing here has the rules of its constructor.
    """
    wrapper = record["optim_wrapper"]
    rules = wrapper.get("paramwise_cfg", {})
    constructors = {
        "": _default,
        "SwinOptimWrapperConstructor": _swin,
        "TSMOptimWrapperConstructor": _tsm,
        "LearningRateDecayOptimizerConstructor": _layer_wise,
    }
    scales = constructors[wrapper.get("constructor", "")](rules, tensors)
    return scales | dict.fromkeys(_frozen(record["model"], tensors), (0.0, 0.0))


def _frozen(model: Mapping[str, Any], tensors: Tensors) -> list[str]:
    """Return what is not trained: norms of the backbone, or CLIP below its first layer."""
    if "frozen_layers" in model:
        assert model["frozen_layers"] == 0
        kept = r".*(resblocks\.|ln_post|ln_final|projection|visual\.proj|logit_scale).*"
        return [name for name in tensors if not re.fullmatch(kept, name)]
    backbone = model.get("backbone")
    flags = backbone if isinstance(backbone, dict) else {}
    norms = [name for name in tensors if name.startswith("backbone.") and _is_norm(name, tensors)]
    if flags.get("bn_frozen"):
        return norms
    return norms[2:] if flags.get("partial_bn") else []  # the first norm is trained


def _is_norm(name: str, tensors: Tensors) -> bool:
    """Return whether a tensor belongs to a norm, whose weight is a vector."""
    return len(tensors.get(f"{name.rpartition('.')[0]}.weight", (0, 0))) == 1


def _default(rules: Mapping[str, Any], tensors: Tensors) -> Scales:
    """Apply the rules of MMEngine: of the keys that are in a name, the longest one."""
    custom = rules.get("custom_keys", {})
    keys = sorted(sorted(custom), key=len, reverse=True)
    found: Scales = {}
    for name in tensors:
        if key := next((key for key in keys if key in name), ""):
            found[name] = custom[key].get("lr_mult", 1.0), custom[key].get("decay_mult", 1.0)
        elif _is_norm(name, tensors):
            found[name] = 1.0, rules.get("norm_decay_mult", 1.0)
        else:
            bias = name.rpartition(".")[2] == "bias"
            found[name] = 1.0, rules.get("bias_decay_mult", 1.0) if bias else 1.0
    return found


def _swin(rules: Mapping[str, Any], tensors: Tensors) -> Scales:
    """Multiply the rules of all keys that are in a name."""
    found: Scales = {}
    for name in tensors:
        matching = [rule for key, rule in rules.items() if key in f"base.{name}"]
        lr = math.prod(rule.get("lr_mult", 1.0) for rule in matching)
        found[name] = lr, math.prod(rule.get("decay_mult", 1.0) for rule in matching)
    return found


def _tsm(rules: Mapping[str, Any], tensors: Tensors) -> Scales:
    """Norms and biases have no decay; biases, and with `fc_lr5` the last layer, learn faster."""
    last = [name for name, shape in tensors.items() if len(shape) == 2][-1].rpartition(".")[0]
    found: Scales = {}
    for name in tensors:
        module, _, leaf = name.rpartition(".")
        weight, bias = (5.0, 10.0) if rules["fc_lr5"] and module == last else (1.0, 2.0)
        if _is_norm(name, tensors):
            found[name] = 1.0, 0.0
        else:
            found[name] = (bias, 0.0) if leaf == "bias" else (weight, 1.0)
    return found


def _layer_wise(rules: Mapping[str, Any], tensors: Tensors) -> Scales:
    """Each block learns faster than the one before; vectors and biases have no decay."""
    count = rules["num_layers"] + 1
    first = r"backbone\.(patch_embed\..*|cls_token|mask_token|pos_embed)"
    found: Scales = {}
    for name, shape in tensors.items():
        block = re.match(r"backbone\.blocks\.(\d+)\.", name)
        layer = 1 + int(block[1]) if block else 0 if re.fullmatch(first, name) else count
        decay = 0.0 if len(shape) == 1 or name.endswith(".bias") else 1.0
        found[name] = rules["decay_rate"] ** (count - layer), decay
    return found


def configured(optimizer: Mapping[str, Any], paths: dict[str, str]) -> Scales:
    """Return the multipliers of a `config.optim`, for {name: our path}."""

    def first(rules, path):
        return next((value for pattern, value in rules if re.fullmatch(pattern, path)), 1.0)

    stopped = [(pattern, 0.0) for pattern in optimizer.get("freeze", ())]
    lr, decay = ([*stopped, *optimizer.get(key, ())] for key in ("lr_scale", "decay_scale"))
    return {name: (first(lr, path), first(decay, path)) for name, path in paths.items()}


def tensors_of(model: Mapping[str, Any]) -> tuple[Tensors, dict[str, str]]:
    """Return the published parameters of the golden of a model, and our paths of them."""
    options = flat(dict(model))
    known = {name: flat(dict(CASES[name].model)) for name in CASES if name in MANIFESTS()}
    alike = [n for n, spec in known.items() if all(options.get(k) == v for k, v in spec.items())]
    return _named(max(alike, key=lambda name: len(known[name])))


@functools.cache
def _named(golden: str) -> tuple[Tensors, dict[str, str]]:
    case, manifest = CASES[golden], MANIFESTS()[golden]
    net = plug.load("models", case.model, num_classes=manifest["num_classes"])
    weights = resolve.tables(case.model, net)[case.upstream]
    skip = re.compile("|".join([BUFFERS.pattern, *weights.skip]))
    shapes = {name: tuple(shape) for name, shape, _ in manifest["tensors"]}
    tensors = {name: shape for name, shape in shapes.items() if not skip.fullmatch(name)}
    rows, paths = weights.rows(net), {}
    present = _present(weights.fixes(net)[0], tensors)
    tensors = {name: shape for name, shape in tensors.items() if name in present}
    for name, shape in tensors.items():
        stem, _, leaf = (rename(present[name], rows) or name).rpartition("/")
        kind = {"weight": "scale" if len(shape) == 1 else "kernel"}.get(leaf, leaf)
        kind = {"q_bias": "qkv/bias", "v_bias": "qkv/bias"}.get(kind, kind)  # joined
        paths[name] = f"{stem}/{kind}"
    return tensors, paths


def _present(fix: Any, tensors: Tensors) -> dict[str, str]:
    """Return the names of tensors after a change that joins some, and drops copies of others."""
    numbers = {name: np.array([i]) for i, name in enumerate(tensors)}
    names = list(tensors)
    try:
        joined = fix(numbers)
    except (IndexError, ValueError):  # it needs the values
        return dict(zip(names, names, strict=True))
    return {names[i]: name for name, x in joined.items() for i in np.ravel(x)}
