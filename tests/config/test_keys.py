"""Keys of a config are read from signatures and docstrings."""

from dataclasses import dataclass
from typing import Any

from jaxvid import plug
from jaxvid.config.keys import BY_VARIANT, REQUIRED, Key, keys_of, settable
from jaxvid.config.values import Count, Natural, explained_by


@dataclass(frozen=True)
class Blur:
    """Attributes:
    width: in pixels.
    """

    width: Natural = 0


def first(*, size: Count, blur: Blur = Blur(3), own: Any = None):
    """Make something.

    Args:
      size: Side of a square,
        in pixels.
    """


@explained_by(first)
def second(*, size: Count, depth: Count = 2, **others):
    """Make something else.

    Args:
      depth: Number of layers.
    """


def test_a_key_has_the_annotation_the_default_and_the_docstring():
    keys = keys_of(first)
    assert keys["size"] == Key(Count, REQUIRED, "Side of a square, in pixels.")
    assert list(keys) == ["size", "blur", "own"]


def test_a_section_stands_for_its_keys_with_the_defaults_that_it_has_there():
    keys = settable(keys_of(first))
    assert keys.keys() == {"size", "blur.width"}  # nothing says what `own` may be
    assert keys["blur.width"].default == 3 and settable(keys_of(Blur))["width"].default == 0
    assert settable(keys_of(first), without=("blur",)).keys() == {"size"}


def test_a_function_leaves_what_it_shares_to_another():
    keys = keys_of(second)
    assert keys["size"].meaning == "Side of a square, in pixels."
    assert keys["depth"].meaning == "Number of layers."
    assert "others" not in keys


def test_options_of_a_family_are_those_of_the_variant():
    swin = plug.module("models", "swin")
    of_tiny, others = plug.options(swin, "build", {"variant": "tiny"})
    assert of_tiny["depths"].default == (2, 2, 6, 2) and not others
    of_all, _ = plug.options(swin, "build", {})
    assert of_all["depths"].default is BY_VARIANT
    assert list(of_all) == list(of_tiny)
    assert {"num_classes", "dtype", "dropout"} <= of_all.keys()
