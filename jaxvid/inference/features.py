"""Features of a long video: the mean of a backbone's feature map for each of its clips.

Clips are evenly spaced in time, even if the frame rate of the video varies: they use the frames
that are on screen at 0, 1 / fps, 2 / fps ... seconds. So row k of the features covers the time from
k * every / fps to (k + 1) * every / fps seconds.

Shapes: t rows of features, f frames of a clip, c channels.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.data.loading import loader
from jaxvid.data.sample import Sample, Transform
from jaxvid.data.transforms.sampling import ClipsEvery
from jaxvid.data.transforms.video import Decode, Open
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError

if TYPE_CHECKING:
    from jaxvid.inference.model import Model  # which imports this module

INSTEAD = "take the features of a model that recognizes actions in videos, such as swin_tiny_k400"


def video_steps(model: "Model") -> tuple[Transform, list[Transform]]:
    """Return the transform of a model that opens a video, and those from decoding on.

    Raises:
      UserError: the model takes no videos, as one of key points or of features.
    """
    kinds = [type(step) for step in model.pipeline]
    if Open not in kinds or Decode not in kinds:
        recipe = model.config["data"]["recipe"]["name"]
        raise UserError(
            f"{model.source}: a model of {task_of(model)} whose data (recipe {recipe}) hold no"
            f" videos; {INSTEAD}"
        )
    return model.pipeline[kinds.index(Open)], model.pipeline[kinds.index(Decode) :]


def task_of(model: "Model") -> str:
    """Return the name of a model's task."""
    return model.config["task"]["name"]


class Extractor:
    """Computes the features of long videos with the backbone of a trained model.

    Args:
      model: A model of `jaxvid.load(..., "val")`, whose preprocessing crops and normalizes frames.
      frames, stride, every: As in `feature_files.Made`.
      fps: Frame rate at which these are counted; 0 means the average rate of each video.
      rows: Clips that go through the backbone at once, rounded up to a multiple of the devices.

    Raises:
      UserError: the model does not take videos, see `video_steps`.
    """

    def __init__(
        self, model: "Model", frames: int, stride: int, every: int, fps: float = 0.0, rows: int = 32
    ):
        if min(frames, stride, every) < 1 or fps < 0:
            raise UserError(
                "frames, stride and every are 1 or more, fps 0 or more; not"
                f" {frames}, {stride}, {every} and {fps:g}"
            )
        self.model, self.fps = model, fps
        self.clips = ClipsEvery(frames, stride, every)
        self._open, self._rest = video_steps(model)
        devices = model.mesh.shape["data"]
        self._rows = -(-rows // devices) * devices
        self._pooled = jax.jit(self._pool)

    def __call__(self, sample: Mapping) -> tuple[np.ndarray, float]:
        """Return the features of a video, float32 (t, c), and the frame rate that was used.

        Args:
          sample: A sample with a `path` or a `reader`.

        Raises:
          VideoError: the file cannot be read.
          UserError: the frames have no rate.
        """
        opened = self._open(dict(sample), np.random.default_rng(0))
        with opened["reader"] as reader:
            fps = self.fps or reader.fps
            kept = reader.at_rate(fps)
            clips = kept[self.clips.indices(len(kept))]
            with closing(loader.Prefetch(self._batches(opened, clips), self._put)) as batches:
                rows = [np.asarray(self._pooled(self.model.variables, batch)) for batch in batches]
        return np.concatenate(rows)[: len(clips)], fps

    def _batches(self, opened: Sample, clips: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yield batches of clips; the last clip is repeated to fill the last batch."""
        rng, reader = np.random.default_rng(0), opened["reader"]
        for start in range(0, len(clips), self._rows):
            rows = np.minimum(np.arange(start, start + self._rows), len(clips) - 1)
            # Decode closes its reader; this one stays open for the clips to come.
            sample = {**opened, "frames": clips[rows], "reader": nullcontext(reader)}
            try:
                for transform in self._rest:
                    sample = transform(sample, rng)
            except KeyError as error:
                needed = (
                    f"a model of {task_of(self.model)}, which needs {error} in addition to a video"
                )
                raise UserError(f"{self.model.source}: {needed}; {INSTEAD}") from None
            rest = {
                "label": np.zeros(self._rows, np.int32),
                "mask": np.ones(self._rows, np.float32),
            }
            yield {"video": sample["video"][:, None], **rest}

    def _put(self, batch):
        return meshes.put_batch(self.model.mesh, batch)

    def _pool(self, variables, batch):
        maps = jax.tree.leaves(self.model.maps(variables, batch))
        means = [x.astype(jnp.float32).mean(tuple(range(1, x.ndim - 1))) for x in maps]
        return jnp.concatenate(means, -1)
