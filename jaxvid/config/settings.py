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
      data: Devices along the axis that divides batches; -1 takes those that are left.
      model: Devices along the axis that divides parameters in the layout "tensor"; -1 takes those
        that are left.
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
      workers: Processes that read videos; -1 takes one a core, 0 reads in the main process.
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
      views: Views of a sample that go through the model at once; 0 takes all. It bounds the memory
        and does not change the result.
    """

    views: Natural = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of a run besides model, task, data, optim and schedule.

    Attributes:
      seed: Seed of the initial parameters, of the order of samples and of all augmentation.
      dtype: Type that the model computes in; parameters are always float32.
      epochs: Length of the training, in passes over the training set.
      batch: Samples of one optimizer step, over all devices. It must divide by the devices on the
        data axis times `accumulate`.
      eval_batch: Samples of one evaluation step, over all devices; 0 takes `batch`.
      accumulate: Number of parts (micro-batches) that a batch goes through the model in.
      nonfinite: What is done with a batch whose loss or gradient is not finite: "stop" the run, or
        "skip" the batch.
      deterministic: Compute the same numbers on every run, also on GPUs, where it costs time.
      watchdog: Seconds without progress after which a run ends; 0 never ends it.
      ema: Decay of the moving average of the parameters, which is then what is evaluated; 0 keeps
        no average.
      sharding: Layout of the parameters over the mesh: a copy on each device ("replicated"),
        divided over the data axis ("fsdp"), or matrices divided over the model axis ("tensor").
      offload: "optimizer" keeps the optimizer's state in the memory of the host between steps; ""
        keeps it on the device.
      writers: Where numbers and pictures of the run go, besides the terminal: files of
        jaxvid/writers.
      log_every: Steps from one line of the log to the next; 0 takes 50, or fewer where that makes
        less than ten lines.
      eval_every: Epochs from one evaluation to the next; 0 evaluates only at the end.
      save_every: Steps from one checkpoint to the next; 0 saves only after evaluations, as these
        always do.
      keep: Number of newest checkpoints to keep, beside the best.
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
