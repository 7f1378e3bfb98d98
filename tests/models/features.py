"""The page on the features of every family: `python -m tests.models.features > docs/features.md`.

Shapes come from traces of the backbones, and sizes of clips from the published recipes.
"""

import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import jax

from jaxvid import models, plug
from jaxvid.errors import UserError
from jaxvid.weights import zoo

PAGE = """\
# Features

```python
import jaxvid

model = jaxvid.load("videomae_base_k400")
maps = model.features("clip.mp4")  # float32 (views, t, h, w, c)
```

`model.features` returns the output of the backbone, before the head averages it. With
`jaxvid.load(..., "val")`, a video has one view, the clip in its middle. To write one vector for
each clip of long videos, use `python -m jaxvid.tools.extract_features`.

The table has the shape of one view for clips of the published size. With clips of another size,
which most models take, t, h and w change in proportion. If t, h and w are 1, the features are one
vector, such as a class token, and with h and w of 1 they are one vector for each frame. A model
with two shapes returns a tuple, such as the slow and the fast pathway of SlowFast. TPN and Fast
R-CNN have the features of the backbone that they are on.

`python -m tests.models.features > docs/features.md` writes this page from traces of all models.

| Model | Variants | Input (t, h, w) | Features |
|---|---|---|---|"""


def families() -> list[str]:
    """Return the families that have a backbone of their own."""
    names = [module.name for module in pkgutil.iter_modules(models.__path__)]
    return [name for name in names if hasattr(plug.module("models", name), "backbone")]


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield PAGE
    for family in families():
        variants = [v for v in plug.module("models", family).VARIANTS if not is_small(v)]
        found: dict[tuple[str, str], list[str]] = {}
        for variant in variants:
            found.setdefault(shapes(family, variant), []).append(variant)
        for (given, features), same in found.items():
            yield f"| `{family}` | {', '.join(same)} | {given} | {features} |"


def is_small(variant: str) -> bool:
    """Return whether a variant is for tests of the code or for a CPU."""
    return variant.partition("-")[0] in ("test", "mini")


def shapes(family: str, variant: str) -> tuple[str, str]:
    """Return the shape of the input of a backbone, without the batch, and that of its features."""
    model = plug.load("models", plug.of_variant(family, variant), num_classes=2)
    takes = inspect.signature(type(model.backbone).__call__).parameters
    example = plug.module("models", family).example(variant)
    small = {key: struct(x.shape[1:], x.dtype) for key, x in example.items() if key in takes}
    try:
        given = small | published(family, variant, small, model.backbone)
        features = trace(model.backbone, given)
    except UserError:  # a model of another size of clips
        given = small
        features = trace(model.backbone, given)
    if set(given) == {"video"}:
        return written(given["video"].shape[1:-1]), features
    return ", ".join(f"{key} {written(x.shape[1:])}" for key, x in given.items()), features


def published(family: str, variant: str, small: dict, backbone: Any) -> dict[str, Any]:
    """Return a clip of the size of the published recipe, if the model takes videos alone."""
    if "video" not in small or "heatmap" in small:
        return {}
    _, frames, height, _, channels = small["video"].shape
    rows = [row for row in zoo.rows() if (row.family, row.variant) == (family, variant)]
    rows = [row for row in rows if "frames" in row.recipe]
    recipe: dict[str, Any] = {"size": max(height, 224)}
    if rows:
        row = max(rows, key=lambda row: bool(row.default_for))
        recipe |= plug.spec("data.recipes", **row.recipe)
    frames = getattr(backbone, "frames", recipe.get("frames", frames))
    size = getattr(backbone, "size", recipe.get("test_size") or recipe["size"])
    return {"video": struct((frames, size, size, channels), small["video"].dtype)}


def struct(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *shape), dtype)


def trace(backbone: Any, given: dict[str, Any]) -> str:
    """Return the shape of the features of one view, without the batch."""
    features = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), **x, train=False)[0], given
    )
    return " and ".join(written(x.shape[1:]) for x in jax.tree.leaves(features))


def written(shape: tuple[int, ...]) -> str:
    """Return a shape as a text."""
    return f"({', '.join(map(str, shape))})"


if __name__ == "__main__":
    print("\n".join(page()))
