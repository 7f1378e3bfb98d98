"""Evaluation of a checkpoint on all views of the validation set (`--mode eval`), and its report.

The task decides the files. Recognition and localization write:

WORKDIR/eval/predictions.npz   id, score, label, views: for late fusion and further reports
WORKDIR/eval/predictions.json  segments of each video, in the format of ActivityNet's server
WORKDIR/eval/report.csv        one row per class
WORKDIR/eval/confusion.csv     confusion matrix; rows are the true classes
WORKDIR/eval/manifest.json     checkpoint, metrics, videos, preprocessing, list of the files

`train/figures.py` adds figures.
"""

import csv
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import flax.linen as nn
import jax
import numpy as np

from jaxvid import files, log, provenance
from jaxvid.data.loading import loader
from jaxvid.data.sample import Source, Transform
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed import peers
from jaxvid.tasks.base import Report, Task
from jaxvid.train import figures
from jaxvid.train.evaluate import Predictions, batch_size, evaluate
from jaxvid.train.progress import Writer, metrics_line
from jaxvid.train.step import Compiled, make_eval_step

logger = logging.getLogger(__name__)


class Model(Protocol):
    """Interface of a trained model in a test. `jaxvid.inference.model` implements it."""

    config: dict[str, Any]
    meta: dict[str, Any]
    names: tuple[str, ...]
    source: Path
    mesh: jax.sharding.Mesh
    task: Task
    net: nn.Module
    pipeline: Sequence[Transform]

    @cached_property
    def variables(self) -> dict: ...
    @cached_property
    def identity(self) -> str: ...


def test(model: Model, source: Source, workdir: Path) -> dict[str, float]:
    """Evaluate a trained model on `source` and write the files above.

    Returns:
      The metrics under "test/".
    """
    began = time.monotonic()
    identity = model.identity  # read it now: a training run may remove the checkpoint meanwhile
    table, metrics = collect(model, source)
    metrics = {f"test/{k}": v for k, v in metrics.items()}
    seconds = time.monotonic() - began
    count = f"{len(table['index'])} of {len(source)} videos"
    logger.info(f"{metrics_line(metrics)}  ({count}, {seconds:.0f} s)")
    published = model.meta.get("published", {})
    log.bullets(logger, against_published(metrics, published, len(table["index"])))
    step, config = model.meta.get("step", 0), model.config
    chosen = {"names": config["writers"]} if "writers" in config else {}
    writer = Writer(workdir, None, **chosen)
    writer.write(step, model.meta.get("epoch", 0.0), metrics)
    if jax.process_index() == 0:
        report = write(workdir / "eval", model, source, table, metrics, identity)
        shown = figures.of_test(workdir, model.pipeline, source, table["index"], report)
        logger.info(f"{', '.join(f'{name}.png' for name in shown)} are in {workdir / 'eval'}")
        for name, pixels in shown.items():
            writer.picture(step, f"test/{name}", pixels)
    writer.close()
    return metrics


def against_published(metrics: dict, published: Mapping, evaluated: int) -> Iterator[str]:
    """Yield a line for each published metric: our value with its 95 % interval, and theirs.

    Args:
      metrics: our values.
      published: the published values.
      evaluated: number of samples, which decides the interval.
    """
    for name, theirs in published.items():
        if (ours := metrics.get(f"test/{name}")) is not None:
            spread = 1.96 * (ours * (1 - ours) / evaluated) ** 0.5
            verdict = "agrees" if abs(ours - theirs) <= spread else "differs"
            yield f"{name}: {ours:.2%} ± {spread:.2%}, published {theirs:.2%}: {verdict}"


def collect(model: Model, source: Source) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return all predictions as arrays, ordered by `index`, and the metrics of the task."""
    config = model.config
    options = config["loader"]
    batches = loader.eval_batches(
        source,
        model.pipeline,
        batch=batch_size(config, model.mesh, views(config)),
        workers=peers.workers(options["workers"]),
        on_error=options["eval_on_error"],
        process=meshes.part(model.mesh),
    )
    collected = Predictions()
    ready = loader.Prefetch(batches, lambda batch: meshes.put_batch(model.mesh, batch))
    function = make_eval_step(model.net, model.task, config["eval"]["views"], loss=True)
    step = Compiled(function, out_shardings=meshes.replicated(model.mesh))
    with closing(ready):
        metrics = evaluate(step, model.variables, ready, [*model.task.metrics(), collected])
    return collected.table(), metrics


def views(config: Mapping) -> int:
    """Return the number of views of a sample in a test."""
    recipe = config["data"]["recipe"]
    return recipe.get("clips", 1) * recipe.get("crops", 1)


def write(
    folder: Path, model: Model, source: Source, table: dict, metrics: dict, identity: str
) -> Report:
    """Write the files of a test, and remove those of an earlier one.

    manifest.json is written last, so that it is never beside the files of another test.

    Args:
      folder: WORKDIR/eval.
      model: the model.
      source: the samples.
      table: the predictions, from `collect`.
      metrics: metrics by name.
      identity: identity of the checkpoint.
    """
    with files.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    ids = [source.id(i) for i in table["index"]]
    recipe = model.config["data"]["recipe"]
    report = model.task.report(table, ids, model.names)
    manifest = dict(
        checkpoint=str(model.source),
        identity=identity,
        metrics=metrics,
        published=model.meta.get("published", {}),
        weights=model.meta.get("zoo", ""),
        videos=len(source),
        evaluated=len(ids),
        ids_sha256=hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest(),
        recipe=recipe,
        views=views(model.config),
        decoder="PyAV",
        resize="OpenCV bilinear",
        files=list(report.files),
    )
    about = folder / "manifest.json"
    with files.explained(folder):
        if earlier := provenance.read_settings(about):
            log.bullets(logger, replaced(earlier, manifest))
            for name in ("manifest.json", *earlier.get("files", ())):
                (folder / Path(name).name).unlink(missing_ok=True)
        for name, content in report.files.items():
            with files.replacing(folder / name) as part:
                write_file(part, content, views(model.config))
        files.write_text(about, json.dumps(manifest, indent=2) + "\n")
    for line in report.lines:
        logger.info(line)
    logger.info(f"{', '.join([*report.files, 'manifest.json'])} are in {folder}")
    return report


def write_file(path: Path, content: Any, views: int):
    """Write a file of a report in the format of its suffix."""
    if path.suffix == ".npz":
        np.savez(path, **content, views=views)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(content)
    else:
        path.write_text(json.dumps(content) + "\n")


def replaced(earlier: Mapping, now: Mapping) -> Iterator[str]:
    """Yield a line that lists the differences from an earlier test that this one replaces."""
    keys = {"identity": "weights", "ids_sha256": "videos", "recipe": "preprocessing"}
    now = json.loads(json.dumps(now))
    differ = [name for key, name in keys.items() if earlier.get(key, now[key]) != now[key]]
    if differ:
        yield (
            f"replaces the evaluation of {earlier.get('checkpoint')} on {earlier.get('videos')}"
            f" videos: other {', '.join(differ)}"
        )
