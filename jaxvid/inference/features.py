"""A long video as features: a trained backbone's, averaged over a clip, a row every so many frames.

Rows are evenly spaced in time, also where the rate of a video varies: frames are taken on screen at
0, 1 / fps, 2 / fps ... seconds. So row k covers k * every / fps to (k + 1) * every / fps seconds.

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

INSTEAD = "take the features of a recogniser of videos, such as swin_tiny_k400"


def video_steps(model: "Model") -> tuple[Transform, list[Transform]]:
    """The transforms of a model that open a video, and those from decoding on.

    Raises:
      UserError: the model takes something else, such as key points or features.
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
    """The name of a model's task."""
    return model.config["task"]["name"]


class Extractor:
    """The backbone of a trained model, as it sees the clips of a long video.

    Args:
      model: of `jaxvid.load(..., "val")`, whose preprocessing crops and normalises the frames.
      frames, stride, every: as in `feature_files.Made`.
      fps: the rate at which they count; 0 is each video's own, on average.
      rows: clips that go through the backbone at once, rounded up to fill the devices.

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
        """`feature` float32 (t, c), and the rate at which its frames count.

        Args:
          sample: with a `path`, or a `reader`.

        Raises:
          VideoError: the file cannot be read.
          UserError: frames without a rate.
        """
        opened = self._open(dict(sample), np.random.default_rng(0))
        with opened["reader"] as reader:
            fps = self.fps or reader.fps
            kept = reader.at_rate(fps)
            clips = kept[self.clips.indices(len(kept))]
            with closing(loader.Prefetch(self._batches(opened, clips), self._put)) as batches:
                found = [np.asarray(self._pooled(self.model.variables, batch)) for batch in batches]
        return np.concatenate(found)[: len(clips)], fps

    def _batches(self, opened: Sample, clips: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Samples of one clip each, in batches; the last clip fills the last batch."""
        rng, reader = np.random.default_rng(0), opened["reader"]
        for start in range(0, len(clips), self._rows):
            rows = np.minimum(np.arange(start, start + self._rows), len(clips) - 1)
            # Decode closes its reader; this one stays open for the clips to come.
            sample = {**opened, "frames": clips[rows], "reader": nullcontext(reader)}
            try:
                for transform in self._rest:
                    sample = transform(sample, rng)
            except KeyError as error:
                needed = f"a model of {task_of(self.model)}, which needs {error} beside a video"
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
