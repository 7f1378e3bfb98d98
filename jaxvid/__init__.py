"""Video understanding in JAX: train, evaluate and use video models.

Six functions do the same as the commands:

    import jaxvid

    jaxvid.train("quickstart", "runs/quickstart")         # a shipped config, a file or a ConfigDict
    jaxvid.evaluate("runs/quickstart")                    # {"test/top1": ..., ...}
    jaxvid.predict("clip.mp4", "runs/quickstart")         # labels and scores
    jaxvid.features("clip.mp4", "swin_tiny_k400")         # float32 (views, t, h, w, channels)
    model = jaxvid.load("runs/quickstart")                # loaded once, for many calls
    model.predict(["a.mp4", "b.mp4"]), model.features("a.mp4")
    jaxvid.pipeline("skeleton", "runs/stgcnpp")("clip.mp4", poses="clip.pkl")  # people's actions

Data workers import the script that calls `train` or `evaluate`: put its calls under
`if __name__ == "__main__":`.

`python -m jaxvid` lists the commands. `help(jaxvid.api)` explains the arguments of the functions.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jaxvid import log

if TYPE_CHECKING:
    from jaxvid.api import evaluate, features, load, pipeline

__version__ = "0.1.0"
__all__ = ["evaluate", "features", "load", "pipeline", "predict", "train"]  # pyright: ignore[reportUnsupportedDunderAll]

MODULES = ("predict", "train")  # these names are functions of `jaxvid.api` and modules as well


log.start()


class CallableModule(ModuleType):
    """A module that calls the function of its name in `jaxvid.api`, as jaxvid.train does."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        api = importlib.import_module("jaxvid.api")
        return getattr(api, self.__name__.rpartition(".")[2])(*args, **options)


def __getattr__(name: str) -> Any:
    # Lazy, so that data workers and `import jaxvid` start neither JAX nor a decoder.
    if name in MODULES:
        return importlib.import_module(f"jaxvid.{name}")
    if name in __all__:
        return getattr(importlib.import_module("jaxvid.api"), name)
    raise AttributeError(f"module 'jaxvid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
