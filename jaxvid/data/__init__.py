"""Videos in, batches out: what anyone can call, with or without a model.

    video = open_video("clip.mp4")
    len(video), video[0], video[::8]  # uint8 (h w 3) and (t h w 3)

Importing this imports neither a decoder nor JAX; the functions import what they use.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxvid.data.loading.loader import Batches
    from jaxvid.data.sample import Sample, Transform
    from jaxvid.data.video.timeline import Reader


def open_video(
    path: str | os.PathLike,
    *,
    template: str = "",
    first: int | None = None,
    short_side: int = 0,
    threads: int = 1,
) -> "Reader":
    """Frames by number: video[7] is uint8 (h w 3); video[2:9], video[[0, 4, 4]] are (t h w 3).

    Any order is exact, equal bit for bit to decoding from the start. Use it in `with`, or close it.

    Args:
      path: a video file, an image, a .npy or .npz file of frames, or a folder with a `template`.
      template: of the frames in a folder, "img_{:05}.jpg"; with two places optical flow (t h w 2).
      first: number of the first frame in a folder; None is 0 where there is such a frame, else 1.
      short_side: resize frames to it while decoding; 0 leaves them.
      threads: of the decoder.

    Raises:
      VideoError: it cannot be opened; says why.
    """
    from jaxvid.data.video.readers import open_reader

    return open_reader(path, template=template, first=first, short_side=short_side, threads=threads)


def apply(
    recipe: Sequence["Transform"],
    video: str | os.PathLike | np.ndarray,
    *,
    seed: int = 0,
    fps: float = 0.0,
    **keys: Any,
) -> "Sample":
    """What a recipe makes of one video, as the loader would batch it.

    from jaxvid.data.recipes import clip
    clips = apply(clip.build("train", frames=32, stride=2), "clip.mp4")["video"]  # (v t h w 3)

    Args:
      recipe: transforms, from a `build` of jaxvid.data.recipes or your own list.
      video: a path, or uint8 (t h w 3).
      seed: of all that is random.
      fps: of an array.
      **keys: more of the sample, such as `label`, or `template` for a folder of frames.

    Raises:
      VideoError: the video cannot be read.
    """
    from jaxvid.data.video.readers import ArrayReader

    array = isinstance(video, np.ndarray)
    sample = keys | ({"reader": ArrayReader(video, fps)} if array else {"path": os.fspath(video)})
    rng = np.random.default_rng(seed)
    for transform in recipe:
        sample = transform(sample, rng)
    return sample


def batches(
    config: Mapping,
    split: str = "train",
    *,
    start: int = 0,
    stop: int | None = None,
    process: tuple[int, int] = (0, 1),
) -> "Batches":
    """The batches of a config, exactly those that `jaxvid.main` trains or validates on.

    Iterate it once; workers are processes, so a script needs `if __name__ == "__main__":`.

    Args:
      config: of `get_config` in a file of configs/, with the keys data, loader, batch,
        eval_batch and seed, and task where samples have several labels.
      split: "train" (endless without `stop`), "val", or "test" (all views of the test set, or
        of the validation set where there is none).
      start, stop: steps of training.
      process: (index, number) of this process.

    Raises:
      UserError: what is wrong with the data, each with file and line.
    """
    from jaxvid import plug
    from jaxvid.data import dataset
    from jaxvid.data.loading import loader

    data, options = dataset.with_test(config["data"]), config["loader"]
    splits = ("train", "test") if split == "test" and data.get("test") else ("train", "val")
    sources = dataset.for_training(data, dict(config).get("task"), splits=splits).splits
    recipe = plug.load("data.recipes", data["recipe"], split=split)
    if split == "train":
        return loader.train_batches(
            sources["train"],
            recipe,
            batch=config["batch"],
            seed=config["seed"],
            start=start,
            stop=stop,
            workers=options["workers"],
            balance=options["balance"],
            on_error=options["on_error"],
            process=process,
        )
    return loader.eval_batches(
        sources[splits[1]],
        recipe,
        batch=config["eval_batch"] or config["batch"],
        workers=options["workers"],
        on_error=options["eval_on_error"],
        process=process,
    )
