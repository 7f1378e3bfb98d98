"""Keys that had another name: hints for configs, and migration of the configs of checkpoints."""

from collections.abc import Mapping
from typing import Any

# Former key -> what to write now. Flags are written in the same way: --config.KEY=VALUE.
RENAMED = {
    **{
        f"task.{key}": f"config.task.augment.{key}"
        for key in ("flip", "flip_labels", "flow", "crop", "color", "erasing", "mixup", "cutmix")
    },
    **{f"task.heatmap_{key}": f"config.task.heatmap.{key}" for key in ("size", "sigma", "limbs")},
    "task.multi_label": 'config.task.name="multi_label"',
}


def hint(key: str) -> str:
    """Return ' It is now config.task.augment.flip.' for a former key, '' for any other."""
    return f" It is now {RENAMED[key]}." if key in RENAMED else ""


def migrate(config: Mapping) -> dict[str, Any]:
    """Return the config of a checkpoint with today's keys; one that has them is the same."""
    found = dict(config)
    if "task" in found:
        found["task"] = _task(found["task"])
    return found


def _task(spec: Mapping) -> dict[str, Any]:
    """Return the spec of a task with today's keys."""
    task = dict(spec)
    if task.get("name") != "recognition":
        return task
    moved: dict[str, dict[str, Any]] = {}
    for key in [key for key in task if f"task.{key}" in RENAMED and key != "multi_label"]:
        _, _, section, name = RENAMED[f"task.{key}"].split(".")
        moved.setdefault(section, {})[name] = task.pop(key)
    for section, values in moved.items():
        task[section] = {**values, **task.get(section, {})}
    if task.pop("multi_label", False):
        task |= {"name": "multi_label", "smoothing": 0.0}  # which had no effect on several labels
    elif "multi_label" in spec:
        task = {k: v for k, v in task.items() if k not in ("categories", "category_weights")}
    return task
