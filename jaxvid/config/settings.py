"""The keys of every run, whatever its model, task and data.

`configs.base.config` makes a config of the defaults; `schema` reads ranges and meanings.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from jaxvid.config.values import (
    Count,
    Natural,
    NonNegative,
    Positive,
    Probability,
    Range,
    Rate,
    Share,
)


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The devices of a run as a grid.

    Attributes:
      data: Number of devices along the data axis of the mesh, which shards batches; -1 uses all
        remaining devices.
      model: Number of devices along the model axis of the mesh, which shards parameters with the
        sharding "tensor"; -1 uses all remaining devices.
    """

    data: Count | Literal[-1] = -1
    model: Count | Literal[-1] = 1


@dataclass(frozen=True, kw_only=True)
class Init:
    """Start values of the parameters.

    Attributes:
      weights: Weights to start from: a name of the zoo, a file or the workdir of another run.
        "published" selects the weights of the zoo for `config.model`. "" starts from random
        parameters.
      skip: Patterns (regular expressions) of the paths of parameters that are not loaded and start
        from random values, such as ("head/.*",) for other classes.
      match_classes: If the weights are for other classes, take the head's parameters of each class
        from the class with the same name, as from Kinetics-710 to Kinetics-400. Without this, the
        head starts from random values. All classes of the data need one in the weights.
    """

    weights: str = ""
    skip: tuple[str, ...] = ()
    match_classes: bool = False


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Settings for drawing and reading samples.

    Attributes:
      workers: Number of worker processes that read videos. -1 starts one per core. 0 reads in the
        main process.
      balance: Balance of the classes in training: 0 keeps their frequencies, 1 draws all classes
        equally often, and 0.5 draws each in proportion to the square root of its frequency.
      on_error: What is done with a video that cannot be read in training: "replace" it by another,
        "skip" it, or "raise" an error.
      eval_on_error: What is done with a video that cannot be read in evaluation, with the same
        values as `on_error`.
    """

    workers: Annotated[int, Range(-1)] = -1
    balance: Probability = 0.0
    on_error: Literal["replace", "skip", "raise"] = "replace"
    eval_on_error: Literal["replace", "skip", "raise"] = "raise"


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Settings of evaluation.

    Attributes:
      views: Number of views of a sample that go through the model at once; 0 means all. A small
        number saves memory and does not change the result.
    """

    views: Natural = 1


@dataclass(frozen=True, kw_only=True)
class Multigrid:
    """Multigrid training (Wu et al., 2020): smaller clips and larger batches for most of a run.

    Attributes:
      long: Long cycle: factors of (frames, size) in each phase of a stage of the learning rate,
        such as ((0.25, 0.7071), (0.5, 0.7071), (0.5, 1.0), (1.0, 1.0)). () has no long cycle.
      short: Short cycle: factors of the size in the steps before each step of full size, such as
        (0.5, 0.7071). () has no short cycle.
      epoch_factor: Number of epochs of the run, as a multiple of `config.epochs`. An epoch has
        fewer steps than without cycles.
    """

    long: tuple[tuple[Share, Share], ...] = ()
    short: tuple[Share, ...] = ()
    epoch_factor: Positive = 1.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of a run besides model, task, data, optim and schedule.

    Attributes:
      seed: Seed of the initial parameters, the order of samples and all augmentation.
      dtype: Data type of the computations of the model. Parameters are always float32.
      epochs: Length of the training, in passes over the training set.
      batch: Samples of one optimizer step, over all devices. It must be divisible by the devices on
        the data axis times `accumulate`.
      eval_batch: Samples of one evaluation step, over all devices; 0 uses the value of `batch`.
      accumulate: Number of micro-batches that a batch is divided into. The gradient is that of the
        whole batch.
      nonfinite: What is done with a batch whose loss or gradient is not finite: "stop" the run, or
        "skip" the batch.
      deterministic: Compute the same numbers on every run, also on GPUs. On GPUs this makes
        training slower.
      watchdog: Seconds without progress after which a run ends; 0 turns this off.
      ema: Decay of an exponential moving average of the parameters. If it is above 0, the average
        is used in evaluation. 0 keeps no average.
      precise_bn: Number of training batches over which the statistics of batch normalization are
        computed again before each evaluation (precise BN), with the parameters that are evaluated.
        0 evaluates with the running statistics.
      sharding: Sharding of the parameters over the mesh: "replicated" keeps a copy on each device,
        "fsdp" shards them over the data axis, and "tensor" shards matrices over the model axis.
      offload: "optimizer" keeps the optimizer state in the memory of the host between steps. ""
        keeps it on the device.
      writers: Writers of the metrics and images of a run: names of files in jaxvid/writers. The
        terminal always shows the metrics.
      log_every: Steps between lines of the log. 0 means 50 steps, or fewer if the run would have
        less than ten lines.
      eval_every: Epochs between evaluations; 0 evaluates only at the end.
      save_every: Steps between checkpoints; 0 saves only after evaluations. A checkpoint is saved
        after every evaluation in any case.
      keep: Number of newest checkpoints to keep, in addition to the best.
      best: Metric that selects the best checkpoint by its largest value, such as "val/top1". ""
        keeps no best checkpoint.
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
    precise_bn: Natural = 0
    multigrid: Multigrid = Multigrid()
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
