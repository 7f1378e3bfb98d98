"""Goldens of networks that detect actions, with their classes, in untrimmed videos."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.tasks.temporal_detection import TemporalDetection
from tests.parity.cases.case import Case

QUICK = set()
STEPS = 256  # published: 2304, but the steps after the video are hidden
NORMS = " ".join(f"level{i}" for i in range(6))
SEGMENTS = np.array([[[10, 30], [50, 75.5], [100, 160]], [[3, 12.5], [20, 95], [0, 0]]], np.float32)
LABELS = np.array([[3, 5, 1], [0, 4, -1]], np.int32)


def inputs(given, steps=STEPS):
    """Features (n c t) with zeros after the last step, and the number of steps."""
    x, lengths = (given["video"], given["lengths"]) if isinstance(given, dict) else (given, None)
    rows = np.full(len(x), x.shape[2]) if lengths is None else lengths
    x = jnp.pad(x.transpose(0, 2, 1), ((0, 0), (0, steps - x.shape[2]), (0, 0)))
    return {"feature": x, "rows": jnp.asarray(rows, jnp.int32)}


def outputs(out, steps=180):
    """Classes and distances by level, (n, c, t') up to the longest video."""
    found = {}
    for i, (logits, offsets) in enumerate(zip(out.logits, out.offsets, strict=True)):
        t = -(-steps // 2**i)
        found[f"cls{i}"] = jnp.swapaxes(logits, 1, 2)[..., :t]
        found[f"reg{i}"] = jnp.moveaxis(offsets[:, :t, 0], 1, 2)
    return found


def actionformer(out, *maps):
    """Add the first points of the first video, and the means of the maps."""
    found = outputs(out)
    at = np.arange(64.0)
    offsets = out.offsets[0][0, :64, 0]
    found["segments_first"] = jnp.stack([at - offsets[:, 0], at + offsets[:, 1]], -1)
    found["scores_first"] = jax.nn.sigmoid(out.logits[0][0, :64])
    return found | {f"feat{i}_mean": mean_of(x, i) for i, x in enumerate(maps)}


def mean_of(x, level):
    """Return the recorded mean: the sum over 2304 steps, by the number of steps of the video.

    The steps that are missing here equal the last one.
    """
    steps, real = 2304 // 2**level, -(-np.array([[180], [143]]) // 2**level)
    return (x.sum(1) + (steps - x.shape[1]) * x[:, -1]) / real


def losses(out, lengths=(180, 143), steps=STEPS, **options):
    """Return the published terms of the loss of two videos."""
    task = TemporalDetection(num_classes=20, **options)
    batch = {
        "feature": jnp.zeros((2, steps, 1)),
        "rows": jnp.array(lengths),
        "row_step": jnp.ones(2),
        "row_time": jnp.zeros(2),
        "segments": jnp.asarray(SEGMENTS),
        "segment_label": jnp.asarray(LABELS),
        "mask": jnp.ones(2),
    }
    _, terms = task.loss(out, task.prepare(jax.random.key(0), batch, train=True))
    return {"cls_loss": terms["class_loss"], "reg_loss": terms["distance_loss"]}


def tridet(out, *inner):
    """Add all parts of the head, which follow the maps, and the means of the maps."""
    maps, ends, scaled, starts = inner[:6], inner[6:12], inner[12:18], inner[18:]
    found = {}
    for i, (logits, offsets) in enumerate(zip(out.logits, out.offsets, strict=True)):
        t = -(-180 // 2**i)
        parts = {"cls": logits, "start": starts[i], "end": ends[i], "reg": scaled[i]}
        found |= {f"{k}{i}": jnp.swapaxes(x, 1, 2)[..., :t] for k, x in parts.items()}
        found[f"offsets{i}"] = jnp.swapaxes(offsets[0, :t], 0, 1)
        found[f"feat{i}_mean"] = maps[i].mean(1)
    return found


CASES = {
    "actionformer_thumos": Case(
        dict(name="actionformer", variant="thumos"),
        inputs,
        "n t c -> n c t",
        upstream="opentad",
        train=dict(input_dropout=0.0, drop_path=0.0),
        outputs=actionformer,
        classes=20,
        inner=NORMS,
        loss=losses,
    ),
    "tridet_thumos": Case(
        dict(name="tridet", variant="thumos"),
        lambda x: inputs(x, 2304),  # padding takes part in means
        "n t c -> n c t",
        upstream="authors",
        train=dict(drop_path=0.0, noise=0.0),
        outputs=tridet,
        inner=f"{NORMS} ends {NORMS.replace('level', 'scale')} starts",
        loss=lambda out: losses(out, (180, 180), steps=2304, iou_power=0.2),
        classes=20,
    ),
}
