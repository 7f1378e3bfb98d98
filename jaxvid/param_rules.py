"""Regex rules over parameter paths: the one way to say "these parameters"."""

import re
from collections.abc import Sequence
from typing import Any

import jax

from jaxvid.errors import UserError

Rules = Sequence[tuple[str, Any]]  # ordered; the first pattern that matches a whole path wins


def name(path) -> str:
    """JAX key path -> 'backbone/stage0_block1/attn/qkv/kernel'."""
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


def flatten(tree) -> dict[str, Any]:
    """Tree -> {path: leaf}, in the tree's order."""
    return {name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def label(tree, rules: Rules, default: Any = None, strict: bool = False):
    """Tree of the same shape that holds, for each leaf, the value of the first rule it matches.

    Raises:
      UserError: a pattern that is not a regular expression, or with `strict`, one that matches no
        path at all (a typing error).
    """
    for pattern, _ in rules:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f'the rule "{pattern}" is not a regular expression: {error}') from None
    paths = list(flatten(tree))
    for pattern, _ in rules if strict else ():
        if not any(re.fullmatch(pattern, path) for path in paths):
            raise UserError(
                f'the rule "{pattern}" matches no parameter; they look like "{paths[0]}"'
            )

    def pick(path, _):
        return next(
            (value for pattern, value in rules if re.fullmatch(pattern, name(path))), default
        )

    return jax.tree_util.tree_map_with_path(pick, tree)
