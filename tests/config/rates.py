"""The learning rate of published schedules, by the arithmetic of MMEngine.

Each scheduler multiplies the current rate, in turn, so that those that overlap are multiplied.
"""

import math
from typing import Any

import numpy as np

INF = float("inf")
PER_EPOCH = 10  # steps of an epoch in comparisons, so that 2.5 epochs are whole steps


class Scheduler:
    """One entry of `param_scheduler`, which changes the rate at each of its steps.

    Attributes:
      every: training steps between two of its own: those of an epoch, or 1.
    """

    def __init__(self, given: dict[str, Any], base: float, per_epoch: int):
        unit = per_epoch if given.get("convert_to_iter_based") else 1
        self.every = 1 if unit > 1 or not given.get("by_epoch", True) else per_epoch
        self.given, self.base = given, base
        self.begin = int(given.get("begin", 0) * unit)
        self.end = given.get("end", INF) * unit
        self.period = given["T_max"] * unit if "T_max" in given else self.end - self.begin
        self.milestones = [milestone * unit for milestone in given.get("milestones", ())]
        self.count, self.own = -1, -1

    def __call__(self, rate: float) -> float:
        """Return the rate after one more step of this scheduler."""
        self.count += 1
        if not self.begin <= self.count < self.end:
            return rate
        self.own += 1
        return getattr(self, self.given["type"])(rate, self.own)

    def LinearLR(self, rate: float, step: int) -> float:
        start = self.given["start_factor"]
        if step == 0:
            return rate * start
        length = self.end - self.begin - 1
        return rate * (1 + (1 - start) / (length * start + (step - 1) * (1 - start)))

    def MultiStepLR(self, rate: float, step: int) -> float:
        return rate * self.given["gamma"] ** self.milestones.count(step)

    def CosineAnnealingLR(self, rate: float, step: int) -> float:
        ratio, least = self.given.get("eta_min_ratio"), self.given.get("eta_min", 0)
        least = self.base * ratio if ratio else least
        if step == 0:
            return rate
        now, before = (1 + math.cos(math.pi * s / self.period) for s in (step, step - 1))
        return now / before * (rate - least) + least


def curve(schedulers: list[dict], lr: float, epochs: float, per_epoch: int = PER_EPOCH) -> list:
    """Return the learning rate of every step of a run."""
    active = [Scheduler(given, lr, per_epoch) for given in schedulers]
    rate, rates = lr, []
    for step in range(round(epochs * per_epoch)):
        for scheduler in active:
            if step % scheduler.every == 0:
                rate = scheduler(rate)
        rates.append(rate)
    return rates


def sampled(epochs: float, per_epoch: int = PER_EPOCH) -> np.ndarray:
    """Return steps of a run at which rates are compared, as many for runs of any length."""
    return np.linspace(0, round(epochs * per_epoch) - 1, 1000).round().astype(np.int64)
