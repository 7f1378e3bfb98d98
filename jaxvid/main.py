"""Train and evaluate.

python -m jaxvid.main --config configs/swin_k400.py:tiny --workdir runs/swin [--config.KEY=VALUE]
python -m jaxvid.main --mode eval --config configs/swin_k400.py:tiny --checkpoint runs/swin
"""

import os
import sys
from pathlib import Path
from typing import Any

from absl import flags

from jaxvid import cli, plug
from jaxvid.config import claim, plain
from jaxvid.errors import UserError

# JAX and what needs it are imported inside functions: data workers are spawned, and import this
# module again.

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; by default runs/CONFIG_VARIANT.")
MODE = flags.DEFINE_enum("mode", "train", ["train", "eval"], "What to do.")
CHECKPOINT = flags.DEFINE_string("checkpoint", None, "What to evaluate; by default the workdir.")


def main():
    if MODE.value == "train":
        config = cli.config(CONFIG)
        train(config, Path(WORKDIR.value or default_workdir()))
    else:
        config = cli.config(CONFIG) if cli.config_file() else None
        workdir = Path(WORKDIR.value or default_workdir())
        evaluate(config, workdir, CHECKPOINT.value or workdir)


def train(config: Any, workdir: Path):
    """Build the parts that `config` names and train; returns the last validation metrics."""
    import jax.numpy as jnp

    from jaxvid import log, weights
    from jaxvid.data import dataset
    from jaxvid.train import loop

    start_jax()
    data = dataset.for_training(config.data)
    model = plug.load(
        "models", config.model, num_classes=data.num_classes, dtype=jnp.dtype(config.dtype)
    )
    task = plug.load("tasks", config.task, num_classes=data.num_classes)
    recipe = config.data.recipe
    pipelines = {s: plug.load("data.recipes", recipe, split=s) for s in ("train", "val")}
    resolved = plain(config)
    claim(workdir, resolved)
    log.say(f"jaxvid in {workdir}: {log.devices()}")
    log.bullet(data.summary())
    about = dict(data.about, config=resolved, names=data.names)
    initial = weights.starting_from(config.init, model, config.model.name, log.say)
    return loop.train(config, model, task, data.splits, pipelines, workdir, about, initial)


def evaluate(config: Any, workdir: Path, checkpoint: str | Path):
    """Test a checkpoint on all views; `config` (or None) stands in for the one it came with."""
    from jaxvid import predict
    from jaxvid.data import dataset
    from jaxvid.train import report

    start_jax()
    model = predict.load(checkpoint, config=plain(config) if config else None)
    source = dataset.for_evaluation(model.config["data"], model.names, model.meta)
    return report.test(model, source, workdir)


def start_jax():
    """Join the other processes, if there are any, and keep compiled programs from run to run."""
    import jax

    if any(
        v in os.environ
        for v in ("JAX_COORDINATOR_ADDRESS", "SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri")
    ):
        jax.distributed.initialize()
    cache = os.environ.get("JAXVID_CACHE") or Path.home() / ".cache" / "jaxvid"
    jax.config.update("jax_compilation_cache_dir", str(Path(cache, "compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 2.0)


def default_workdir() -> str:
    name = cli.config_file()
    if name is None:
        raise UserError("--workdir is needed")
    file, _, variant = name.partition(":")
    return f"runs/{Path(file).stem}" + (f"_{variant}" if variant else "")


if __name__ == "__main__":
    sys.exit(cli.run(main))
