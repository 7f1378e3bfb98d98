"""Train or evaluate a model.

python -m jaxvid.main --config swin_k400:tiny --workdir runs/swin [--config.KEY=VALUE ...]
python -m jaxvid.main --mode eval --workdir runs/swin [--config.data.root=DIR]
python -m jaxvid.main --mode eval --config swin_k400:tiny --checkpoint swin_tiny_k400
"""

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from jaxvid import cli, files, plug, signals
from jaxvid.config import options, plain, schema
from jaxvid.errors import UserError

if TYPE_CHECKING:
    from flax import linen as nn

    from jaxvid.data.dataset import Dataset
    from jaxvid.data.sample import Transform
    from jaxvid.tasks.base import Task

logger = logging.getLogger("jaxvid.main")

# JAX and what needs it are imported inside functions: data workers are spawned, and import this
# module again.

PATIENCE = 300
# What a signal makes of a run before its first step: words and exit code.
STARTING = "stopped before the first step; nothing is lost, the same command starts again", 130
# No scatters and gradients that add in any order; programs for CPUs are the same without it.
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"

# A program that calls `train` from Python may have flags of the same names.
FLAGS = flags.FLAGS if __name__ == "__main__" else flags.FlagValues()
CONFIG = flags.DEFINE_string("config", None, cli.CONFIG_HELP, flag_values=FLAGS)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; by default runs/CONFIG_VARIANT.", flag_values=FLAGS
)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "eval"], "Train, or evaluate a checkpoint.", flag_values=FLAGS
)
START_TIMEOUT = flags.DEFINE_float(
    "start_timeout",
    PATIENCE,
    "Seconds that processes wait for each other at the start.",
    flag_values=FLAGS,
)
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Checkpoint to evaluate; by default the workdir.", flag_values=FLAGS
)


def main(arguments: Sequence[str]):
    """Train or evaluate as the flags say.

    Args:
      arguments: --config.KEY=VALUE and the like.
    """
    # From here, as the imports take seconds.
    with signals.raising(*STARTING) if MODE.value == "train" else nullcontext():
        config, checkpoint = None, CHECKPOINT.value or WORKDIR.value
        if MODE.value == "train" or CONFIG.value:
            config = cli.config(CONFIG.value, arguments, others=FLAGS)
        elif arguments and checkpoint:
            own = config_of(checkpoint)
            config = cli.config(own, arguments, of_checkpoint=True, others=FLAGS)
        workdir = Path(WORKDIR.value or default_workdir(CONFIG.value)).expanduser()
        if config is not None:
            set_determinism(config)

        from jaxvid.distributed import peers, start
        from jaxvid.train.loop import Interrupted

        with peers.together(stopped=Interrupted):
            start.start(START_TIMEOUT.value)
            if MODE.value == "train":
                train(config, workdir, START_TIMEOUT.value)
            else:
                evaluate(config, workdir, checkpoint or workdir, START_TIMEOUT.value)


def config_of(checkpoint: str | Path) -> ConfigDict:
    """Return the config that a checkpoint was trained with, for the devices of this machine."""
    from jaxvid.weights import resolve

    return ConfigDict(resolve.locate(checkpoint).local_config).lock()


def set_determinism(config: Any) -> None:
    """Ask XLA for the same numbers on every run, if the config says so; before a device is used."""
    if config.deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()


def train(config: Any, workdir: Path, patience: float = PATIENCE) -> dict[str, float]:
    """Build the parts that a config names, and train.

    Args:
      workdir: folder of the run.
      patience: seconds that processes wait for each other at the start.

    Returns:
      The last validation metrics.

    Raises:
      UserError: a wrong key or value in `config`, before data are read; wrong data.
    """
    from jaxvid import console, log, versions
    from jaxvid.checkpoints import store
    from jaxvid.data.loading import spawn
    from jaxvid.distributed import mesh as meshes
    from jaxvid.distributed import start
    from jaxvid.train import loop
    from jaxvid.weights import resolve

    spawn.check_main_guard()  # before the lock, which the parent holds
    schema.check(config)
    with (
        signals.raising(*STARTING),
        log.on_stdout(),
        start.hold(workdir),
        console.copied(workdir / "log.txt" if start.is_first() else None),
    ):
        cache_programs()
        config = config.copy_and_resolve_references()
        options.complete(config)
        config.init.weights = resolve.resolve(config.init.weights, config.model)
        data, model, task, pipelines = build(config)
        resolved = plain(config)
        logger.info(f"jaxvid in {workdir}: {meshes.describe_devices()}")
        log.bullets(logger, versions.faults())
        same = start.digest(resolved, data.splits)
        start.health_check(meshes.build(**config.mesh), same, patience)
        start.claim_workdir(workdir, resolved, patience)
        log.bullets(logger, data.summary())
        about = dict(data.about, config=resolved, names=data.names, data=data.identity)
        initial = resolve.starting_from(
            config.init,
            model,
            config.model,
            names=data.names,
            config=resolved,
            needed=not store.all_steps(workdir / "checkpoints"),
        )
        metrics = loop.train(config, model, task, data.splits, pipelines, workdir, about, initial)
        test = f"python -m jaxvid.main --mode eval --workdir {shlex.quote(str(workdir))}"
        logger.info(f"to test the best checkpoint: {test}")
        return metrics


class Parts(NamedTuple):
    """Parts of a run that a config names.

    Attributes:
      pipelines: the transforms of samples, by split: "train", "val" and perhaps "images".
    """

    data: "Dataset"
    model: "nn.Module"
    task: "Task"
    pipelines: "dict[str, list[Transform]]"


def build(config: Any) -> Parts:
    """Build the parts of a training run.

    Raises:
      UserError: a part that does not exist or does not take what it is given, or wrong data.
    """
    import jax.numpy as jnp

    from jaxvid import writers
    from jaxvid.data import dataset, source_checks
    from jaxvid.data.recipes.base import still

    writers.check(config.writers)
    data = dataset.for_training(config.data, config.task)
    classes = data.num_classes
    if config.task.get("class_balance") and not config.task.get("class_counts"):
        each = source_checks.counts(data.splits["train"].labels, classes)
        with config.unlocked():
            config.task.class_counts = tuple(each.tolist())
    model = plug.load("models", config.model, num_classes=classes, dtype=jnp.dtype(config.dtype))
    task = plug.load("tasks", config.task, num_classes=classes)
    if classes == 1 and task.sample_labels == "one":
        raise UserError(
            f'{data.splits["train"].origin}: with one class ("{data.names[0]}") there is nothing to'
            " learn; add a folder, or lines, of other clips"
        )
    recipe = config.data.recipe
    pipelines = {s: plug.load("data.recipes", recipe, split=s) for s in ("train", "val")}
    if config.data.get("images"):
        if not hasattr(task, "image_weight"):
            raise UserError('config.data.images needs config.task.name="omnisource"')
        data.splits["images"] = dataset.images(config.data, config.model.image_classes)
        pipelines["images"] = plug.load("data.recipes", still(recipe), split="train")
    return Parts(data, model, task, pipelines)


def evaluate(
    config: Any, workdir: Path, checkpoint: str | Path, patience: float = PATIENCE
) -> dict[str, float]:
    """Test a checkpoint on all views.

    Args:
      config: None takes the config of the checkpoint.
      workdir: folder of the predictions and reports, which are in its folder "eval".
      checkpoint: a workdir, a name of the zoo, or a file of weights.
      patience: seconds that processes wait for each other at the start.

    Returns:
      The metrics.

    Raises:
      UserError: no such checkpoint or data, or a config that does not fit the checkpoint.
    """
    from jaxvid import log
    from jaxvid.data import dataset
    from jaxvid.data.loading import spawn
    from jaxvid.distributed import start
    from jaxvid.inference.model import load
    from jaxvid.train import report

    spawn.check_main_guard()  # before the lock, which the parent holds
    with log.on_stdout():
        cache_programs()
        model = load(checkpoint, config=plain(config) if config else None)
        source = dataset.for_evaluation(
            model.config["data"], model.names, model.meta, model.config["task"]
        )
        same = start.digest(model.config, {"test": source})
        start.health_check(model.mesh, same, patience)
        with start.hold(workdir / "eval"):
            return report.test(model, source, workdir)


def cache_programs():
    """Keep compiled programs from run to run, and on GPUs the choice of the fastest kernels."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(files.cache_root() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    # A program that has changed is compiled again, but its unchanged parts are not timed again.
    jax.config.update(
        "jax_persistent_cache_enable_xla_caches", "xla_gpu_per_fusion_autotune_cache_dir"
    )


def default_workdir(config: str | None) -> str:
    """Return the folder of a run of a config, such as "runs/swin_k400_tiny"."""
    if config is None:
        raise UserError("--workdir is needed")
    file, _, variant = config.partition(":")
    return f"runs/{Path(file).stem}" + (f"_{variant}" if variant else "")


if __name__ == "__main__":
    sys.exit(cli.run(main))
