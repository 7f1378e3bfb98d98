"""Sources read the annotations of one split. Each format has its own module."""

from collections.abc import Mapping
from typing import Any

from jaxvid import plug
from jaxvid.data.sample import Source


def read(spec: Mapping, split: str, multi_label: bool = False, **known: Any) -> Source:
    """Build the source that a spec names.

    Args:
      spec: name of a module in `data/sources/`, and arguments of its `build`.
      split: "train", "val" or "test".
      multi_label: whether samples have several labels. It is passed to the source, unless the spec
        has its own value.
      **known: arguments that the spec does not contain: root, names, num_classes.
    """
    if multi_label and "multi_label" not in spec:
        known["multi_label"] = True
    return plug.load("data.sources", spec, split=split, **known)
