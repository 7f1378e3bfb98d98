"""Optimizers, learning-rate schedules and rules for single parameters, with Optax."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from jaxvid import param_rules
from jaxvid.config.values import Natural, NonNegative, Positive, Probability, Rate
from jaxvid.errors import UserError, did_you_mean

Scales = tuple[tuple[str, NonNegative], ...]
Epochs = tuple[tuple[str, NonNegative], ...]


def build(
    params,
    *,
    name: Literal["adamw", "adam", "sgd"],
    lr: NonNegative,
    factor: Callable[[Any], Any],
    weight_decay: NonNegative = 0.0,
    clip: NonNegative = 0.0,
    lr_scale: Scales = (),
    decay_scale: Scales = (),
    freeze: tuple[str, ...] = (),
    unfreeze: Epochs = (),
    epoch: Callable[[Any], Any] = lambda step: step,
    b1: Rate = 0.9,
    b2: Rate = 0.999,
    eps: Positive = 1e-8,
    momentum: Rate = 0.9,
    nesterov: bool = True,
) -> optax.GradientTransformation:
    """Return the optimizer for `params`.

    Weight decay is multiplied by the learning rate of its parameter, as PyTorch does: decoupled
    in AdamW (Loshchilov & Hutter, 2019), added to the gradient in Adam and SGD.

    Args:
      params: the tree of parameters, or of their shapes.
      name: Optimizer.
      lr: Learning rate. The schedule multiplies it by a factor.
      factor: step -> multiplier of the learning rate (see `schedule`).
      weight_decay: Weight decay.
      clip: Largest global norm of the gradient; 0 turns clipping off.
      lr_scale: (pattern, factor) pairs that multiply the learning rate of parameters. A pattern is
        a regular expression for the whole path of a parameter. The first pattern that matches is
        used.
      decay_scale: (pattern, factor) pairs that multiply the weight decay of parameters.
      freeze: Patterns (regular expressions) of the paths of parameters that are not trained. They
        have no optimizer state, and their gradient is 0. A BatchNorm whose scale is frozen
        normalizes with its running statistics and does not update them, as with MMAction2's
        `frozen_stages` and `partial_bn`.
      unfreeze: (pattern, epoch) pairs for gradual unfreezing: parameters that are trained from this
        epoch on, and do not change before it. The first pattern that matches is used.
      epoch: step -> epoch, for `unfreeze`.
      b1: Decay of the mean of gradients, in AdamW and Adam.
      b2: Decay of the mean of squared gradients, in AdamW and Adam.
      eps: Number added to the denominator, the root of the mean of squared gradients, in AdamW and
        Adam.
      momentum: Momentum, in SGD.
      nesterov: Use Nesterov's momentum, in SGD.

    Raises:
      UserError: the name is unknown, a pattern matches no parameter, or all parameters are frozen.
    """
    kind = phases(params, freeze, unfreeze)
    if {*jax.tree.leaves(kind)} == {"frozen"}:
        raise UserError("config.optim.freeze matches all parameters, so nothing would be trained")
    decay = param_rules.label(params, decay_scale, 1.0, strict=True)
    decay = jax.tree.map(lambda s, k: weight_decay * s * (k != "frozen"), decay, kind)
    scale = param_rules.label(params, lr_scale, 1.0, strict=True)

    def trained(rule):  # frozen parameters have no state, and their update is 0
        rules: dict[Any, Any] = {"trained": rule, "frozen": optax.set_to_zero()}
        for _, start in unfreeze:  # until its epoch, a rule keeps its state, too
            begun: Any = functools.partial(lambda start, step: epoch(step) >= start, start)
            rules[f"from epoch {start}"] = optax.conditionally_mask(rule, begun)
        return optax.multi_transform(rules, kind)

    # Left out of the chain where nothing is unfrozen: checkpoints have the positions in the chain.
    only_trained = [trained(optax.identity())] if unfreeze else []

    if name == "adamw":
        rules = [trained(optax.scale_by_adam(b1, b2, eps)), add_decay(decay)]
    elif name == "adam":
        rules = [add_decay(decay), trained(optax.scale_by_adam(b1, b2, eps))]
    elif name == "sgd":
        rules = [add_decay(decay), trained(optax.trace(momentum, nesterov))]
    else:
        known = did_you_mean(name, ("adamw", "adam", "sgd"))
        raise UserError(f'there is no optimizer named "{name}".{known}')
    return optax.chain(
        *only_trained,
        optax.clip_by_global_norm(clip) if clip else optax.identity(),
        *rules,
        *only_trained,  # weight decay is among the rules
        optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, scale)),
        optax.scale_by_learning_rate(lambda step: lr * factor(step)),
    )


def phases(params: Any, freeze: Sequence[str], unfreeze: Epochs) -> Any:
    """Return a tree that says when each parameter is trained.

    Its leaves are "trained" (always), "frozen" (never) and, such as, "from epoch 2.0".

    Args:
      params: the tree of parameters, or of their shapes.
      freeze: as in `build`.
      unfreeze: as in `build`.

    Raises:
      UserError: a pattern matches no parameter.
    """
    later = [(pattern, f"from epoch {start}") for pattern, start in unfreeze]
    frozen = [(pattern, "frozen") for pattern in freeze]
    return param_rules.label(params, [*frozen, *later], "trained", strict=True)


def scaled(lr: float, batch: int, *, base_batch: Natural = 0) -> float:
    """Return the learning rate for a batch size, in proportion to it.

    Args:
      lr: Learning rate for `base_batch` samples.
      batch: Samples of a step.
      base_batch: Batch size for which `lr` is given. With another batch size, the learning rate is
        scaled in proportion. 0 uses `lr` unchanged with any batch size.
    """
    return lr * (batch / base_batch if base_batch else 1)


def add_decay(decay) -> optax.GradientTransformation:
    """Return a transformation that adds `decay` (tree of floats) times parameters to updates."""

    def update(updates, params):
        return jax.tree.map(lambda u, p, d: u + d * p if d else u, updates, params, decay)

    return optax.stateless(update)


def schedule(
    *,
    steps_per_epoch: float,
    epochs: float,
    name: Literal["constant", "cosine", "multistep", "step", "exponential"] = "cosine",
    by: Literal["step", "epoch"] = "step",
    begin: NonNegative = 0.0,
    period: Positive | None = None,
    final: NonNegative = 0.0,
    milestones: tuple[NonNegative, ...] = (),
    every: Positive = 1.0,
    gamma: NonNegative = 0.1,
    warmup: NonNegative = 0.0,
    warmup_by: Literal["step", "epoch"] = "step",
    warmup_factor: Probability = 0.1,
) -> Callable[[Any], Any]:
    """Return a function from step to multiplier of the learning rate: linear warm-up times decay.

    The two are also multiplied where they overlap, as in published recipes in which warm-up and
    cosine both begin at 0. All lengths are in epochs.

    Args:
      steps_per_epoch: optimizer steps in an epoch.
      epochs: length of the run.
      name: Decay of the learning rate: "constant", "cosine", "multistep" (times `gamma` at each of
        `milestones`), "step" (times `gamma` every `every` epochs) or "exponential" (times `gamma`
        per epoch).
      by: "step" updates the decay at every step. "epoch" keeps it constant during an epoch.
      begin: Epoch at which the decay begins.
      period: Number of epochs in which the cosine falls from 1 to `final`. None means all remaining
        epochs.
      final: Factor at the end of the cosine.
      milestones: Epochs at which "multistep" multiplies by `gamma`.
      every: Number of epochs between two decays of "step".
      gamma: Factor of each decay of "multistep", "step" and "exponential".
      warmup: Number of epochs of the linear warm-up. Its last step (or epoch) already has the full
        learning rate.
      warmup_by: "step" updates the warm-up at every step. "epoch" keeps it constant during an
        epoch.
      warmup_factor: Factor of the learning rate at step 0 of the warm-up.

    Raises:
      UserError: `name`, `by` or `warmup_by` is unknown.
    """
    for value, known in ((by, ("step", "epoch")), (warmup_by, ("step", "epoch"))):
        if value not in known:
            raise UserError(f'a schedule goes by step or epoch, not by "{value}"')
    period = period or max(epochs - begin, 1e-9)
    decays = {
        "constant": lambda epoch: 1.0,
        "cosine": lambda epoch: (
            final
            + (1 - final) * (1 + jnp.cos(jnp.pi * jnp.clip((epoch - begin) / period, 0, 1))) / 2
        ),
        "multistep": lambda epoch: (
            gamma ** sum((epoch >= m).astype(jnp.float32) for m in milestones)
        ),
        "step": lambda epoch: gamma ** jnp.floor(jnp.maximum(epoch - begin, 0) / every),
        "exponential": lambda epoch: gamma ** jnp.maximum(epoch - begin, 0),
    }
    if name not in decays:
        raise UserError(f'there is no schedule named "{name}".{did_you_mean(name, decays)}')

    def epoch_at(step, unit):
        # The half step keeps the floor correct if step / steps_per_epoch is rounded down.
        return (
            jnp.floor((step + 0.5) / steps_per_epoch) if unit == "epoch" else step / steps_per_epoch
        )

    def factor(step):
        step = jnp.asarray(step, jnp.float32)
        value = decays[name](epoch_at(step, by))
        if warmup:
            length = warmup * (steps_per_epoch if warmup_by == "step" else 1) - 1
            done = step if warmup_by == "step" else epoch_at(step, "epoch")
            ramp = jnp.clip(done / jnp.maximum(length, 1e-9), 0, 1)
            value = value * (warmup_factor + (1 - warmup_factor) * ramp)
        return value

    return factor
