"""TriDet on EPIC-Kitchens-100: SlowFast features of 32 frames every 16 frames.

The published average mAP is 25.4 for verbs and 23.8 for nouns.
"""

from configs import actionformer_epic, base

# Epochs, steps of the smaller and factor of the larger convolutions, last rate, smoothing.
SETTINGS = {"verb": (27.0, 5, 2.0, 0.5, 0.0), "noun": (19.0, 1, 4.0, 0.0, 0.1)}


def get_config(variant="verb"):
    epochs, window, k, final, smoothing = base.pick(SETTINGS, variant)
    c = actionformer_epic.get_config(variant)
    c.epochs = epochs
    c.schedule.update(dict(final=final))
    c.model = dict(name="tridet", variant="epic", window=(window,) * 6, k=k, bins=16, remat=False)
    c.task.update(dict(iou_power=0.25, smoothing=smoothing))
    return c
