"""Annotations of one split, a file for each format."""

import inspect
from collections.abc import Mapping
from typing import Any

from jaxvid import plug
from jaxvid.data.sample import Source


def read(spec: Mapping, split: str, multi_label: bool = False, **known: Any) -> Source:
    """Build the source that a spec names.

    Args:
      multi_label: the task takes several labels a sample. A source that can read both kinds of
        labels is given it, unless its spec says it already.
      **known: what does not come from the spec: root, names, num_classes.
    """
    package = "data.sources"
    if multi_label and "name" in spec and "multi_label" not in spec:
        takes = inspect.signature(plug.module(package, spec["name"]).build).parameters
        known |= {"multi_label": True} if "multi_label" in takes else {}
    return plug.load(package, spec, split=split, **known)
