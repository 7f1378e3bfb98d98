"""Fine-tune a published recognition model, or train a small one, on your own clips.

    python -m jaxvid.main --config finetune:tiny --config.data.root=DIR

DIR holds one folder of videos for each class, or train/ and val/ with such folders, or train.csv
and val.csv with a line `path,label` for each video (see jaxvid/data/sources/user_clips.py). Classes
and their number come from the data.

| variant                            | model                                                       |
|------------------------------------|-------------------------------------------------------------|
| tiny, small, base, large           | Video Swin, from its Kinetics-400 weights                   |
| FAMILY_VARIANT, such as tsm_r50    | any other family, from its Kinetics-400 weights             |
| a name of `jaxvid.tools.zoo`       | that checkpoint, such as slowfast_r50_4x16_k400             |
| mini                               | a small Video Swin from random values, for minutes on a CPU |
| FAMILY_VARIANT of an encoder       | a classifier on it, such as vjepa2_vitl or videoprism_base  |
| FAMILY_VARIANT without weights     | such as tsn_r18, from random values                         |

Model, parameter groups, frames and size are those of the published recipe. The learning rate is the
published one where the recipe itself starts from other weights, else a tenth of it. With AdamW, it
is at least 1e-5: recipes that keep the head of their weights have less. Other weights are
`--config.init.weights=FILE` or a workdir, and an empty value trains from random values.
"""

from configs import base, datasets, recognizers
from jaxvid import plug
from jaxvid.config import hashable
from jaxvid.weights import zoo

CPU = ("mini", "test")  # variants that are small enough for a CPU
LEAST_RATE = 1e-5  # with AdamW, for the batch below; the head then learns ten times as fast


def get_config(variant="tiny"):
    row, family, size = recognizers.find(variant)
    published = recognizers.recipe_of(row, family, size)
    spec = hashable(row.model) if row else plug.of_variant(family, size)
    model = {**published.model, **spec}
    c = base.config()
    c.epochs = 20.0
    c.batch = 16
    c.model = model
    # A mirror that swaps the classes of the published data set is wrong for other classes.
    flip = 0.0 if published.task.augment.flip_labels else 0.5
    augment = {**published.task.augment, "flip": flip, "flip_labels": ()}
    c.task = {**published.task, "augment": augment}
    c.data = datasets.own(dict(name="user_clips", train_share=0.8))
    c.data.recipe = {**published.data.recipe, **(hashable(row.recipe) if row else {})}
    c.optim = {**published.optim, "clip": published.optim.clip or 1.0}
    if not published.init.weights:
        c.optim.lr *= 0.1
    rate = c.optim.lr * c.batch / c.optim.get("base_batch", c.batch)
    if c.optim.name == "adamw" and rate < LEAST_RATE:
        scales = (("head/.*", 10.0), *c.optim.get("lr_scale", ()))
        c.optim.update(lr=LEAST_RATE, base_batch=c.batch, lr_scale=scales)
    c.schedule = dict(name="cosine", warmup=2.0)
    # "published" follows --config.model.variant; all other checkpoints go by their name.
    c.init.weights = "published" if row in (None, zoo.default(spec)) else row.name
    if size in CPU:
        make_small(c)
    return c


def make_small(c):
    """Change a config to short clips of few pixels, for models that train on a CPU."""
    c.dtype = "float32"
    c.batch = 8
    c.model.update({key: 0.0 for key in ("dropout", "drop_path") if key in c.model})
    recipe = dict(frames=8, stride=4, size=64, short_side=64, clips=2, crops=1)
    recipe |= dict(test_frames=0, test_size=0, test_short_side=0, short_side_max=0)
    if c.data.recipe.crop[0] == "resized":
        recipe["crop"] = ("resized", (0.5, 1.0))
    c.data.recipe.update({key: value for key, value in recipe.items() if key in c.data.recipe})
    # Some models are for one size of clips, by their position embeddings.
    takes = plug.spec("models", **c.model)
    c.model.update({key: recipe[key] for key in ("frames", "size") if key in takes})
    c.optim = dict(name="adamw", lr=1e-3, weight_decay=0.02, clip=1.0)
    c.init.weights = ""
