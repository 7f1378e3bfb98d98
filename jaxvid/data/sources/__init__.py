"""Annotations of one split, a file for each format."""

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
    if multi_label and "multi_label" not in spec:
        known["multi_label"] = True
    return plug.load("data.sources", spec, split=split, **known)
