"""`--mode eval`: a checkpoint on all views of the validation set, and files that say how it did.

The task says what they hold; of recognition and of localization:

WORKDIR/eval/predictions.npz   id, score, label, views: for late fusion and further reports
WORKDIR/eval/predictions.json  segments of each video, as ActivityNet wants them submitted
WORKDIR/eval/report.csv        a row a class
WORKDIR/eval/confusion.csv     rows are the true classes
WORKDIR/eval/manifest.json     checkpoint, metrics, videos, preprocessing, which files there are

and the figures of `train/figures.py`.
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

from jaxvid import files, log
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
    """A trained model, as a test needs it: the class of `jaxvid.inference.model`."""

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
    identity = model.identity  # now: a training that goes on may remove the checkpoint meanwhile
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
    """A line for each published metric: ours with its 95 % interval for so many videos, theirs."""
    for name, theirs in published.items():
        if (ours := metrics.get(f"test/{name}")) is not None:
            spread = 1.96 * (ours * (1 - ours) / evaluated) ** 0.5
            verdict = "agrees" if abs(ours - theirs) <= spread else "differs"
            yield f"{name}: {ours:.2%} ± {spread:.2%}, published {theirs:.2%}: {verdict}"


def collect(model: Model, source: Source) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """All predictions, as arrays ordered by `index`, and the metrics of the task."""
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
    """Of a sample in test."""
    recipe = config["data"]["recipe"]
    return recipe.get("clips", 1) * recipe.get("crops", 1)


def write(
    folder: Path, model: Model, source: Source, table: dict, metrics: dict, identity: str
) -> Report:
    """The files of a test, in place of those of an earlier one; `table` is what `collect` returns.

    manifest.json is written last, so that it never stands beside files of another test.
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
        if earlier := files.read_settings(about):
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
    """A file of a report, of the format that its ending says."""
    if path.suffix == ".npz":
        np.savez(path, **content, views=views)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(content)
    else:
        path.write_text(json.dumps(content) + "\n")


def replaced(earlier: Mapping, now: Mapping) -> Iterator[str]:
    """A line that names what is different where a test replaces an earlier one."""
    keys = {"identity": "weights", "ids_sha256": "videos", "recipe": "preprocessing"}
    now = json.loads(json.dumps(now))
    differ = [name for key, name in keys.items() if earlier.get(key, now[key]) != now[key]]
    if differ:
        yield (
            f"replaces the evaluation of {earlier.get('checkpoint')} on {earlier.get('videos')}"
            f" videos: other {', '.join(differ)}"
        )
