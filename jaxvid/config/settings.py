"""The keys of every run, whatever its model, task and data.

`configs.base.config` makes a config of the defaults; `schema` reads ranges and meanings.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from jaxvid.config.values import Count, Natural, NonNegative, Positive, Probability, Range, Rate


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The devices of a run as a grid.

    Attributes:
      data: Devices along the axis that divides batches; -1 takes all remaining devices.
      model: Devices along the axis that divides parameters with the sharding "tensor"; -1 takes
        all remaining devices.
    """

    data: Count | Literal[-1] = -1
    model: Count | Literal[-1] = 1


@dataclass(frozen=True, kw_only=True)
class Init:
    """What the parameters start from.

    Attributes:
      weights: Weights to start from: a name of the zoo, a file or the workdir of another run.
        "published" takes those of the zoo for `config.model`, "" starts from random parameters.
      skip: Patterns (regular expressions) of parameter paths that stay random, such as
        ("head/.*",) for other classes.
    """

    weights: str = ""
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Loader:
    """How samples are drawn and read.

    Attributes:
      workers: Processes that read videos; -1 starts one per core, 0 reads in the main process.
      balance: Balance of the classes in training: 0 leaves them as frequent as they are, 1 makes
        all equally frequent, 0.5 draws them by the square root of their frequency.
      on_error: What is done with a video that cannot be read in training: "replace" it by another,
        "skip" it, or "raise" an error.
      eval_on_error: The same in evaluation.
    """

    workers: Annotated[int, Range(-1)] = -1
    balance: Probability = 0.0
    on_error: Literal["replace", "skip", "raise"] = "replace"
    eval_on_error: Literal["replace", "skip", "raise"] = "raise"


@dataclass(frozen=True, kw_only=True)
class Eval:
    """How evaluation computes.

    Attributes:
      views: Views of a sample that go through the model at once; 0 takes all. A small number saves
        memory and does not change the result.
    """

    views: Natural = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of a run besides model, task, data, optim and schedule.

    Attributes:
      seed: Seed of the initial parameters, the order of samples and all augmentation.
      dtype: Type of the computation of the model; parameters are always float32.
      epochs: Length of the training, in passes over the training set.
      batch: Samples of one optimizer step, over all devices. It must be divisible by the devices on
        the data axis times `accumulate`.
      eval_batch: Samples of one evaluation step, over all devices; 0 takes `batch`.
      accumulate: Number of micro-batches that a batch is divided into. The gradient is that of the
        whole batch.
      nonfinite: What is done with a batch whose loss or gradient is not finite: "stop" the run, or
        "skip" the batch.
      deterministic: Compute the same numbers on every run, also on GPUs, where it costs time.
      watchdog: Seconds without progress after which a run ends; 0 never ends it.
      ema: Decay of a moving average of the parameters, with which the model is then evaluated; 0
        keeps no average.
      sharding: Placement of the parameters on the mesh: a copy on each device ("replicated"),
        divided over the data axis ("fsdp"), or matrices divided over the model axis ("tensor").
      offload: "optimizer" keeps the optimizer's state in the memory of the host between steps; ""
        keeps it on the device.
      writers: Where metrics and images of the run are written, besides the terminal: names of
        files in jaxvid/writers.
      log_every: Steps between lines of the log; 0 takes 50, or fewer if the run would have less
        than ten lines.
      eval_every: Epochs between evaluations; 0 evaluates only at the end.
      save_every: Steps between checkpoints; 0 saves only after evaluations. A checkpoint is saved
        after every evaluation in any case.
      keep: Number of newest checkpoints to keep, in addition to the best.
      best: Metric whose largest value marks the best checkpoint, such as "val/top1"; "" keeps none.
    """

    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    epochs: Positive = 30.0
    batch: Count = 64
    eval_batch: Natural = 0
    accumulate: Count = 1
    nonfinite: Literal["stop", "skip"] = "stop"
    deterministic: bool = False
    watchdog: NonNegative = 600.0
    ema: Rate = 0.0
    mesh: Mesh = Mesh()
    sharding: Literal["replicated", "fsdp", "tensor"] = "replicated"
    offload: Literal["", "optimizer"] = ""
    init: Init = Init()
    loader: Loader = Loader()
    eval: Eval = Eval()
    writers: tuple[Literal["jsonl", "tensorboard", "wandb", "trackio"], ...] = (
        "jsonl",
        "tensorboard",
    )
    log_every: Natural = 0
    eval_every: NonNegative = 1.0
    save_every: Natural = 1000
    keep: Count = 3
    best: str = "val/top1"
