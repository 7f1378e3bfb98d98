"""Multigrid training (Wu et al., 2020), https://arxiv.org/abs/1912.00998.

Most steps see smaller clips than the recipe's, and more of them, so that each step costs about the
same and an epoch has fewer steps. In a long cycle, the frames and the size of the clips grow from
phase to phase. Each stage of the learning rate has one long cycle. Within a phase, the size changes
from step to step in a short cycle. At the end, a fine-tuning phase has the shapes of the last
phase. Frames that are fewer are farther apart, so that a clip covers the same time.

The learning rate and the number of groups of BatchNorm are in proportion to the batch of the long
cycle. The short cycle changes neither. All of this is as in PySlowFast, except that phases begin at
any step, and not only with an epoch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvid import plug
from jaxvid.data.sample import Transform
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Shape:
    """The clips of a step, and their number.

    Attributes:
      stride: distance between neighboring frames, in frames of the video.
      size: side of the frames in pixels.
      batch: clips of a step, over all devices.
      groups: factor of the number of groups of BatchNorm.
    """

    frames: int
    stride: int
    size: int
    batch: int
    groups: int


@dataclass(frozen=True)
class Grid:
    """The shape of the clips of every step of a run.

    Attributes:
      shapes: all shapes that occur.
      kinds: int (steps,), index into `shapes` of each step.
      phase_steps: int (phases + 1,), first step of each phase, and the number of steps.
      phase_epochs: float (phases + 1,), the same in epochs.
      phase_rates: float (phases,), factor of the learning rate in each phase.
    """

    shapes: tuple[Shape, ...]
    kinds: np.ndarray
    phase_steps: np.ndarray
    phase_epochs: np.ndarray
    phase_rates: np.ndarray

    @property
    def total(self) -> int:
        """Return the number of steps."""
        return len(self.kinds)

    @property
    def positions(self) -> np.ndarray:
        """Return the number of clips that are used before each step, int64 (steps + 1,)."""
        batches = np.array([shape.batch for shape in self.shapes])[self.kinds]
        return np.concatenate([[0], np.cumsum(batches)])

    def at(self, step: int) -> Shape:
        """Return the shape of a step, from 0."""
        return self.shapes[self.kinds[step]]

    def epoch(self, step: Any) -> Any:
        """Return the epoch after `step` steps, also of a traced step."""
        return jnp.interp(step, self.phase_steps, self.phase_epochs)

    def step_at(self, epoch: float) -> int:
        """Return the number of steps until an epoch, at least 1."""
        return max(1, round(float(np.interp(epoch, self.phase_epochs, self.phase_steps))))

    def rate(self, warmup: float, warmup_factor: float) -> Callable[[Any], Any]:
        """Return a function from step to multiplier of the learning rate, with a linear warm-up."""

        def factor(step):
            step = jnp.asarray(step, jnp.float32)
            last = len(self.phase_rates) - 1
            phase = jnp.searchsorted(jnp.asarray(self.phase_steps), step, side="right") - 1
            value = jnp.asarray(self.phase_rates, jnp.float32)[jnp.clip(phase, 0, last)]
            if not warmup:
                return value
            done = jnp.clip(self.epoch(step) / warmup, 0, 1)
            return value * (warmup_factor + (1 - warmup_factor) * done)

        return factor

    def lines(self) -> Sequence[str]:
        """Return the schedule in words, with the number of programs that are compiled."""
        found = [
            f"multigrid: {self.total:,} steps in {len(self.phase_rates)} phases compile"
            f" {len(self.shapes)} training steps"
        ]
        for i, rate in enumerate(self.phase_rates.tolist()):
            first, end = self.phase_steps[i : i + 2].tolist()
            shapes = [self.shapes[k] for k in dict.fromkeys(self.kinds[first:end].tolist())]
            sizes = ", ".join(f"{s.batch} x {s.frames} x {s.size}" for s in shapes)
            epochs = "{:.1f} to {:.1f}".format(*self.phase_epochs[i : i + 2])
            found.append(f"epochs {epochs}: clips x frames x pixels {sizes}; rate x {rate:g}")
        return found


def build(config: Any, clips: int) -> Grid | None:
    """Return the grid of a run, or None if the config has no cycles.

    Args:
      config: config of the run.
      clips: number of clips of an epoch.

    Raises:
      UserError: the schedule is not "multistep", or the recipe has no frames and size.
    """
    cycles, recipe = config.multigrid, config.data.get("recipe", {})
    if not (cycles["long"] or cycles["short"]):
        return None
    if config.schedule.get("name") != "multistep" or not config.schedule.get("milestones"):
        raise UserError(
            'config.multigrid needs config.schedule.name="multistep" with milestones: each stage of'
            " the learning rate has a long cycle"
        )
    if not {"frames", "stride", "size"} <= set(recipe):
        raise UserError("config.multigrid needs a recipe with frames, stride and size, as clip")
    cycle = [
        _shapes(config.batch, recipe, factors, cycles) for factors in cycles["long"] or [(1, 1)]
    ]
    mean = np.array([np.mean([s.batch for s in shapes]) for shapes in cycle]) / config.batch
    stages = [0.0, *config.schedule["milestones"]]
    phases = []  # (stage of the learning rate, shapes, epochs)
    for stage, epochs in enumerate(np.diff(stages).tolist()):
        share = epochs * mean / mean.sum()
        phases += [(stage, shapes, own) for shapes, own in zip(cycle, share.tolist(), strict=True)]
    # Fine-tuning saves as much as the stages do. Its second half has the lowest rate.
    saved = sum(own / mean[i % len(cycle)] for i, (_, _, own) in enumerate(phases)) / stages[-1]
    rest = max(config.epochs - stages[-1], 0) * saved * float(mean[-1])
    last = len(stages) - 1
    phases += [(stage, cycle[-1], rest / 2) for stage in (last - 1, last) if rest]
    scale = config.epochs * cycles["epoch_factor"] / sum(own for _, _, own in phases)
    return _grid(phases, scale, clips, config.schedule.get("gamma", 0.1))


def check(grid: Grid, config: Any, devices: int):
    """Raise a UserError if a batch cannot be divided over devices, micro-batches and groups."""
    accumulate, groups = config.accumulate, config.model.get("bn_groups", 1)
    for shape in grid.shapes:
        if shape.batch // accumulate % (groups * shape.groups):
            raise UserError(
                f"config.multigrid has {groups * shape.groups} groups of BatchNorm in batches of"
                f" {shape.batch} clips, which they must divide; change config.model.bn_groups or"
                " the short cycle"
            )
        if shape.batch % (devices * accumulate):
            raise UserError(
                f"config.multigrid has batches of {shape.batch} clips, which must divide by"
                f" {devices * accumulate}: {devices} devices on the data axis x"
                f" config.accumulate={accumulate}; change config.batch"
            )


def pipelines(grid: Grid, recipe: Mapping) -> list[list[Transform]]:
    """Return the transforms of training for each shape of a grid."""

    def of(shape: Shape) -> list[Transform]:
        own = dict(frames=shape.frames, stride=shape.stride, size=shape.size)
        if tuple(recipe.get("crop", ()))[:1] == ("plain",):  # its share of the frame stays
            own["short_side"] = round(recipe["short_side"] * shape.size / recipe["size"])
        return plug.load("data.recipes", {**recipe, **own}, split="train")

    return [of(shape) for shape in grid.shapes]


def _shapes(batch: int, recipe: Mapping, factors: tuple, cycles: Mapping) -> list[Shape]:
    """Return the shapes of a short cycle, the full one last.

    Args:
      batch: clips of a step of the recipe's shape.
      recipe: the recipe.
      factors: factors of frames and size in this phase of the long cycle.
      cycles: `config.multigrid`.
    """
    full, side = recipe["frames"], recipe["size"]
    frames, size = max(1, round(full * factors[0])), round(side * factors[1])

    def more(size: float) -> int:
        return max(1, round(full * side**2 / (frames * size**2)))

    found = []
    for small in (*(round(side * factor) for factor in cycles["short"]), size):
        small = min(small, size)
        stride = recipe["stride"] * (full // frames)
        found.append(Shape(frames, stride, small, batch * more(small), more(size)))
    return found


def _grid(phases: Sequence[tuple], scale: float, clips: int, gamma: float) -> Grid:
    shapes: dict[Shape, int] = {}
    kinds, steps, epochs, rates = [], [0], [0.0], []
    for stage, cycle, own in phases:
        mean = np.mean([shape.batch for shape in cycle])
        count = max(1, round(own * scale * clips / mean))
        numbers = [shapes.setdefault(shape, len(shapes)) for shape in cycle]
        kinds += [numbers[i % len(cycle)] for i in range(count)]
        steps.append(steps[-1] + count)
        epochs.append(epochs[-1] + own * scale)
        rates.append(gamma**stage * cycle[-1].groups)
    return Grid(tuple(shapes), np.array(kinds), np.array(steps), np.array(epochs), np.array(rates))
