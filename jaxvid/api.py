"""Python functions for the commands: train, evaluate, predict, features, load and pipeline.

They are also attributes of `jaxvid`, such as `jaxvid.train`.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxvid import main
from jaxvid.config import loading, schema
from jaxvid.config.overrides import set_values
from jaxvid.errors import UserError
from jaxvid.inference import detect, skeleton
from jaxvid.inference.model import Model, Video, load

__all__ = ["Model", "evaluate", "features", "load", "pipeline", "predict", "train"]


def train(
    config: str | Path | ConfigDict,
    workdir: str | Path,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Train a model, or resume a run that was stopped.

        jaxvid.train("quickstart", "runs/quickstart")
        jaxvid.train("finetune:tiny", "runs/mine", {"data.root": "CLIPS", "epochs": 5.0})

    Data workers import the script that calls this, so a script needs `if __name__ == "__main__":`.

    Args:
      config: the name of a shipped config or the path of a file, with or without :VARIANT, or a
        ConfigDict, which is not changed.
      workdir: folder of the run.
      overrides: new values of config keys by their dotted names, such as {"data.root": "CLIPS"}.

    Returns:
      The last validation metrics, such as {"val/top1": 0.93}; empty if the run was complete before.

    Raises:
      UserError: wrong config, wrong data, or a workdir of another run; the message says what to
        change.
    """
    folder = _path("workdir", workdir)
    changed = _copy(config)
    set_values(changed, overrides or {})
    main.set_determinism(changed)
    return main.train(changed, folder)


def evaluate(
    checkpoint: str | Path,
    workdir: str | Path | None = None,
    config: str | Path | ConfigDict | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Test a model on all views of its test or validation set.

        jaxvid.evaluate("runs/quickstart")
        jaxvid.evaluate("swin_tiny_k400", "runs/check", "swin_k400", {"data.root": "data/k400"})

    A script needs `if __name__ == "__main__":`, as for `train`.

    Args:
      checkpoint: the workdir of a run, a name of the zoo, or a file of weights.
      workdir: predictions and reports go into its folder eval; by default `checkpoint`, if that is
        a folder.
      config: as in `train`; None takes the config of the checkpoint.
      overrides: new values of keys of that config, such as {"data.root": "moved"}.

    Returns:
      The metrics, such as {"test/top1": 0.93}.

    Raises:
      UserError: no such checkpoint or data, or no workdir to write to.
    """
    source = _path("checkpoint", checkpoint)
    if workdir is None and not source.is_dir():
        raise UserError(f"{checkpoint} is no folder of a run: name a workdir for the reports")
    folder = source if workdir is None else _path("workdir", workdir)
    if config is None and not overrides:
        return main.evaluate(None, folder, checkpoint)
    changed = _copy(main.config_of(checkpoint) if config is None else config)
    keys = set_values(changed, overrides or {})
    schema.check(changed, only=keys if config is None else None)
    return main.evaluate(changed, folder, checkpoint)


def predict(video: Video | Sequence[Video], checkpoint: str | Path, **options: Any) -> Any:
    """Predict the classes of a video, or of each video of a list.

        found = jaxvid.predict("clip.mp4", "runs/quickstart")
        print(found.labels[0], found.scores[0])

    Args:
      video: a path, an array uint8 (t, h, w, 3) RGB, or a list of them.
      checkpoint: a workdir, a published name or a file. For several calls, use `load` instead.
      **options: arguments of `Model.predict`: topk, fps, labels.

    Returns:
      A result of `jaxvid.results`, such as Recognized; a list for a list.

    Raises:
      UserError: no such checkpoint, or a video that cannot be read.
    """
    return load(checkpoint).predict(video, **options)


def features(video: Video | Sequence[Video], checkpoint: str | Path, fps: float = 0.0) -> Any:
    """Compute the feature maps of a model's backbone.

        maps = jaxvid.features("clip.mp4", "swin_tiny_k400")  # float32 (views, t, h, w, channels)

    Args:
      video, checkpoint: as in `predict`.
      fps: frame rate of arrays, needed if the model samples by time.

    Returns:
      The maps, float32; a list for a list.

    Raises:
      UserError: no such checkpoint, or a video that cannot be read.
    """
    return load(checkpoint).features(video, fps)


def pipeline(task: str, checkpoint: str | Path, **options: Any) -> Callable[..., Any]:
    """Load all that a task needs, from a video to its result.

        recognize = jaxvid.pipeline("skeleton", "runs/stgcnpp", detector=people, estimator=joints)
        found = recognize("clip.mp4")
        found = jaxvid.pipeline("skeleton", "runs/stgcnpp")("clip.mp4", poses="clip.pkl")

    Args:
      task: "skeleton" (people, their joints and actions), "gesture" (the same for one hand),
        "detection" (actions of each person), or the task of the checkpoint, such as "recognition".
      checkpoint: a workdir, a published name or a file.
      **options: arguments of `inference.skeleton.SkeletonPipeline`, of `inference.detect.detect`,
        or of `load`.

    Returns:
      A function from a video to a result of `jaxvid.results`.

    Raises:
      UserError: the checkpoint is of another task, or cannot be loaded.
    """
    if task in skeleton.TASKS:
        return skeleton.build(task, checkpoint, **options)
    if task == "detection":
        return functools.partial(detect.detect, load(checkpoint), **options)
    model = load(checkpoint, **options)
    if (own := model.config["task"]["name"]) != task:
        raise UserError(f'{checkpoint}: a model of {own}; jaxvid.pipeline("{own}", ...) loads it')
    return model.predict


def _copy(config: str | Path | ConfigDict) -> ConfigDict:
    """Return the config that is named, or a copy of one."""
    given = config if isinstance(config, ConfigDict) else loading.load(str(config))
    return given.copy_and_resolve_references()


def _path(name: str, value: Any) -> Path:
    """Return an argument as a path; a UserError if it is none."""
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"{name}={value!r}: give a path, as text or as a pathlib.Path")
    return Path(value)
