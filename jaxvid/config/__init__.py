"""A run's config outside of the run: as JSON, flat, and compared with that of an earlier start."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from jaxvid.config import former_keys
from jaxvid.errors import did_you_mean
from jaxvid.provenance import differences

# Keys that may change when a run goes on: its speed, its layout, where its files lie, what is
# checked before it and evaluated beside it.
FREE = (
    "log_every", "save_every", "keep", "mesh", "sharding", "offload", "watchdog", "nonfinite",
    "deterministic", "writers", "eval", "eval_batch", "eval_every", "loader.workers",
    "loader.on_error", "loader.eval_on_error", "data.root", "data.checks", "data.train.manifest",
    "data.val.manifest", "data.test",
)  # fmt: skip


def plain(config: Any) -> dict:
    """ConfigDict -> nested dicts of what JSON can hold."""
    return json.loads(config.to_json_best_effort())


def hashable(tree: Any) -> Any:
    """Lists to tuples, all the way down: JSON has no tuples, modules need them."""
    if isinstance(tree, dict):
        return {k: hashable(v) for k, v in tree.items()}
    return tuple(map(hashable, tree)) if isinstance(tree, list) else tree


def flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    items = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping)
        items |= flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return items


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return what is wrong with the name of a key, and the nearest one; "" for a known key.

    Args:
      name: with dots, such as "optim.lr".
      known: all keys with dots. A dict that holds some of them is known, too.
    """
    known, start = set(known), ""
    for part in name.split("."):
        beside = {key.removeprefix(start).split(".")[0] for key in known if key.startswith(start)}
        if not beside:
            return f'no config key "{name}": config.{start[:-1]} is not a dict'
        if part not in beside:
            inside = [k for k in known if k.startswith(start) and k.endswith(f".{part}")]
            nearest = did_you_mean(inside[0], inside) if len(inside) == 1 else ""
            return f'no config key "{start}{part}".{nearest or did_you_mean(part, beside)}'
        start += f"{part}."
    return ""


def changes(there: Mapping, now: Mapping) -> list[str]:
    """Return a line for each key that differs and must not change when a run is resumed."""
    from jaxvid.config import options  # which imports this file

    there = former_keys.migrate(hashable(there))
    old, new = (flat(hashable(options.filled(hashable(c)))) for c in (there, now))
    keys = [key for key in sorted(old | new) if not is_free(key)]
    return differences(*({f"config.{key}": c.get(key) for key in keys} for c in (old, new)))


def is_free(key: str) -> bool:
    """Return whether a key may change when a run is resumed."""
    return any(key == k or key.startswith(k + ".") for k in FREE)
