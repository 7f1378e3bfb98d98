"""Fine-tune a published recognition model on your own clips with several labels each.

    python -m jaxvid.main --config multi_label_own:tiny --config.data.root=DIR

DIR holds train.csv and val.csv with a line `path,label,label` for each video, as many labels as it
has: names, or numbers from 0. Variants and weights are those of finetune.py: `mini` is small and
trains from random values on a CPU. The best checkpoint is that of the highest mean average
precision. Of an evaluation, eval/report.csv has the average precision, and recall and precision at
a score of 0.5, of each class.
"""

from configs import finetune
from jaxvid import plug


def get_config(variant="tiny"):
    c = finetune.get_config(variant)
    options = c.task.to_dict() | dict(name="multi_label", smoothing=0.0)
    c.task = plug.spec("tasks", **options)
    c.best = "val/map"
    return c
