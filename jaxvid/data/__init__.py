"""Public functions for reading videos and loading batches, with or without a model.

    video = open_video("clip.mp4")
    len(video), video[0], video[::8]  # uint8 (h w 3) and (t h w 3)

This module imports neither a decoder nor JAX. Its functions import what they need.
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
    """Open a video for random access to its frames.

    video[7] is uint8 (h w 3). video[2:9] and video[[0, 4, 4]] are uint8 (t h w 3). Frames are equal
    bit for bit to those of decoding from the start, in any order. Use the result in a `with`
    statement, or close it.

    Args:
      path: a video file, an image, a .npy or .npz file of frames, or a folder of frames.
      template: pattern of the frame file names in a folder, such as "img_{:05}.jpg". A pattern with
        two fields, such as "{}_{:05}.jpg", reads optical flow (t h w 2).
      first: number of the first frame in a folder. None means 0 if a frame with this number exists,
        and 1 otherwise.
      short_side: short side in pixels to which frames are resized while decoding; 0 keeps the size.
      threads: number of threads of the decoder.

    Raises:
      VideoError: the video cannot be opened; the message has the reason.
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
    """Apply a recipe to one video, and return the sample as the loader would batch it.

    from jaxvid.data.recipes import clip
    clips = apply(clip.build("train", frames=32, stride=2), "clip.mp4")["video"]  # (v t h w 3)

    Args:
      recipe: list of transforms, from a `build` function in jaxvid.data.recipes or your own.
      video: a path, or an array uint8 (t h w 3).
      seed: seed of all random choices.
      fps: frames per second, if `video` is an array.
      **keys: other keys of the sample, such as `label`, or `template` for a folder of frames.

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
    """Return the batches of a config: exactly those that `jaxvid.main` trains or evaluates on.

    The result can be iterated once. Workers are processes, so a script that calls this function
    needs `if __name__ == "__main__":`.

    Args:
      config: result of `get_config` of a file in configs/. It needs the keys data, loader, batch,
        eval_batch and seed, and also task if samples have several labels.
      split: "train" (endless without `stop`), "val", or "test" (all views of the test set, or of
        the validation set if there is no test set).
      start, stop: first step of training, and the step before which to stop.
      process: (index of this process, number of processes).

    Raises:
      UserError: the data has problems; the message lists them, each with file and line.
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
