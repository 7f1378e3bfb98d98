"""A recognizer of your own sounds, or of the sound of your own videos.

    python -m jaxvid.main --config audio_own:r18 --config.data.root=DIR

DIR holds one folder of sounds (.wav, .mp3 ...), videos or features (.npy) for each class, or
train.csv and val.csv with a line `path,label` for each (see jaxvid/data/sources/user_clips.py).
`r18` starts from the weights of TSN on the sound of Kinetics-400. `mini` is small and trains from
random values on a CPU.
"""

from configs import base, datasets
from jaxvid import plug
from jaxvid.config import loading


def get_config(variant="r18"):
    mini = base.pick({"r18": False, "mini": True}, variant)
    published = loading.load("tsn_k400_audio")
    c = base.config()
    c.epochs = 20.0
    c.batch = 16
    c.model = published.model
    c.task = published.task
    c.data = datasets.own(dict(name="user_clips", sounds=True))
    recipe = dict(published.data.recipe, clips=10, beyond="last", amplify=(0.5, 2.0))
    c.data.recipe = plug.spec("data.recipes", **recipe)
    c.init.weights = "" if mini else "published"
    c.optim = {**published.optim, "lr": 0.01, "base_batch": 16}
    c.schedule = dict(name="cosine", warmup=2.0)
    if mini:
        c.model.update(variant="mini-audio", dropout=0.0)
        c.dtype = "float32"
        c.data.recipe.clips = 2
        c.optim = dict(name="adamw", lr=2e-3, weight_decay=0.02, clip=1.0)
    return c
