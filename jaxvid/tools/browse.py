"""Show samples of a config after all augmentation, as an image and as a video.

    python -m jaxvid.tools.browse --config configs/finetune.py:tiny --config.data.root=CLIPS
    python -m jaxvid.tools.browse --config configs/quickstart.py --split val --count 4 --out sheet

OUT_SPLIT.png has one row per view, with its frames from left to right. OUT_SPLIT.mp4 shows all
views side by side as videos. Samples are shown as the model gets them, with the augmentation of the
device, such as flips, erasing, mixup and cutmix. Only the normalization is undone. Boxes are drawn
with their classes, skeletons as lines between their joints, and captions below their clip. Optical
flow is shown as gray images of its first channel, the motion along x. Samples are selected at
random; --config.seed=N shows others.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jaxvid import cli, files, plug
from jaxvid.data import dataset
from jaxvid.data.loading.loader import LoadSample
from jaxvid.data.sample import Source
from jaxvid.data.video.encode import write_video
from jaxvid.draw.sheets import View, contact_sheet, mosaic
from jaxvid.samples import views as views_of

logger = logging.getLogger("jaxvid.tools.browse")


def show(config: Any, split: str, count: int, out: str, fps: float) -> Path:
    """Write the image and the video, and return the path of the image.

    Raises:
      UserError: see `read`, or the folder does not exist.
    """
    path = Path(f"{out}_{split}.png")
    files.probe_file(path)
    views = list(read(config, split, count))
    with files.explained(path):
        path.write_bytes(cv2.imencode(".png", contact_sheet(views)[..., ::-1])[1].tobytes())
    write_video(path.with_suffix(".mp4"), mosaic(views), fps, crf=18)
    frames, height, width, _ = views[0].video.shape
    print(f"{len(views)} views of {frames} frames, {width} x {height} pixels")
    print(f"wrote {path} and {path.with_suffix('.mp4')}")
    return path


def read(config: Any, split: str, count: int) -> Iterator[View]:
    """Yield the views of `count` samples, as the pipeline and the task of a config return them.

    Raises:
      UserError: the data has problems, or samples of this task cannot be drawn.
    """
    import jax
    import jax.numpy as jnp

    data = dataset.for_training(config.data)
    source = data.splits["train" if split == "train" else "val"]
    recipe = plug.load("data.recipes", config.data.recipe, split=split)
    task = plug.load("tasks", config.task, num_classes=data.num_classes)
    batch = draw(source, recipe, count, config.seed)
    seen = {key: jnp.asarray(value) for key, value in batch.items()}
    seen = task.prepare(jax.random.key(config.seed), seen, train=split == "train")
    seen = {key: np.asarray(value) for key, value in seen.items()}
    for row, index in enumerate(batch["index"].tolist()):
        sample = {key: value[row] for key, value in seen.items()}
        clips, notes = views_of(sample, task, config.data.recipe, data.names)
        kind = [classes(sample["target"], data.names)] if np.ndim(sample.get("target")) == 1 else []
        for number, clip in enumerate(clips, 1):
            place = [f"view {number}/{len(clips)}"] if len(clips) > 1 else []
            yield View("  ".join([*kind, *place, Path(source.id(index)).name]), clip, notes)


def draw(source: Source, recipe: Sequence, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return a batch of `count` random samples. Log those that cannot be read."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(source))[:count]
    samples = [LoadSample(source, recipe, masked=False)(row, rng) for row in rows]
    for why in (why for sample in samples for why in sample.pop("why") if why):
        logger.info(f"replaced by another: {why}")
    return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}


def classes(target: np.ndarray, names: tuple[str, ...], shown: int = 3) -> str:
    """Return the classes of a target: 'archery', or after mixup 'archery 70% + bowling 30%'."""
    ranked = np.argsort(-target, kind="stable")[:shown].tolist()
    order: list[int] = [i for i in ranked if target[i] > 0.05]
    if len(order) == 1:
        return names[order[0]]
    return " + ".join(f"{names[i]} {target[i]:.0%}" for i in order) or "no class"


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.browse", __doc__, with_config=True)
    add = parser.add_argument
    add("--split", choices=("train", "val", "test"), default="train", help="(%(default)s)")
    add("--count", type=int, default=8, help="number of samples (%(default)s)")
    add("--out", default="browse", help="path and first part of the file names (%(default)s)")
    add("--fps", type=float, default=8.0, help="frames per second of the video (%(default)s)")
    args, changes = parser.parse_known_args(argv)
    options = vars(args)
    config = options.pop("config")
    return cli.guard(lambda: show(cli.config(config, changes), **options))


if __name__ == "__main__":
    sys.exit(main())
