"""A trained model in two calls, `jaxvid.load(spec).predict(video)`, and the same as a command.

python -m jaxvid.predict VIDEO... --checkpoint WORKDIR [--topk 5] [--json] [--out annotated.mp4]
"""

import argparse
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import mesh as meshes
from jaxvid import plug, weights
from jaxvid.cli import guard
from jaxvid.config import hashable
from jaxvid.data.decode import VideoReader
from jaxvid.data.encode import write_video
from jaxvid.data.transforms.video import ArrayReader
from jaxvid.errors import UserError
from jaxvid.train.step import Compiled, init_variables, make_eval_step

Video = str | Path | np.ndarray


@dataclass(frozen=True)
class Recognized:
    """The most likely classes of a video, best first: names and their scores 0..1."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]


class Model:
    """A trained model with the preprocessing it was evaluated with.

    Attributes:
      config: the resolved config of its training, as nested dicts.
      names: class names.
      source: the checkpoint it came from.
      meta: all else that travelled with it.
      step: (variables, batch) -> predictions, compiled.
    """

    def __init__(self, config: dict, origin: weights.Origin, split: str):
        self.config, self.meta, self.source = config, origin.meta, origin.source
        count = config["data"].get("num_classes") or len(origin.names)
        self.names = names = origin.names or tuple(map(str, range(count)))
        self._origin = origin
        self.mesh = meshes.build(**config["mesh"])
        dtype = jnp.dtype(config["dtype"])
        self.task = plug.load("tasks", config["task"], num_classes=len(names))
        self.net = plug.load("models", config["model"], num_classes=len(names), dtype=dtype)
        self.pipeline = plug.load("data.recipes", config["data"]["recipe"], split=split)
        self.step = Compiled(
            make_eval_step(self.net, self.task, config["eval"]["views"]),
            out_shardings=meshes.replicated(self.mesh),
        )
        self._features = jax.jit(self._forward_features)

    @overload
    def predict(self, video: Video, topk: int = 5, fps: float = 0.0) -> Recognized: ...
    @overload
    def predict(
        self, video: Sequence[Video], topk: int = 5, fps: float = 0.0
    ) -> list[Recognized]: ...
    def predict(self, video, topk=5, fps=0.0):
        """Classify videos.

        Args:
          video: a path, an array uint8 (t, h, w, 3) RGB, or a list of them.
          topk: number of classes to return.
          fps: frame rate of arrays, where the model samples by time.

        Returns:
          A Recognized, or a list of them for a list.

        Raises:
          UserError: a file that cannot be read, an array of another shape or dtype.
        """
        if isinstance(video, list | tuple):
            return [self.predict(v, topk, fps) for v in video]
        score = self.scores(video, fps)
        order = np.argsort(-score, kind="stable")[:topk]
        names = tuple(self.names[i] for i in order)
        return Recognized(names, tuple(float(score[i]) for i in order))

    def scores(self, video: Video, fps: float = 0.0) -> np.ndarray:
        """Scores of all classes, float32 (classes,)."""
        batch = self._batch(video, fps)
        return np.asarray(self.step(self.variables, batch)["score"])[0]

    def features(self, video: Video | Sequence[Video], fps: float = 0.0):
        """The backbone's feature maps, float32 (views, t, h, w, c); a list for a list."""
        if isinstance(video, list | tuple):
            return [self.features(v, fps) for v in video]
        batch = self._batch(video, fps)
        return np.asarray(self._features(self.variables, batch), np.float32)

    def read(self, video: Video, fps: float = 0.0) -> dict[str, np.ndarray]:
        """The evaluation pipeline's sample of one video."""
        sample: dict[str, Any] = {"label": np.int32(0)}
        if isinstance(video, np.ndarray):
            if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or not len(video):
                raise UserError(
                    f"a video array is uint8 (t, h, w, 3), not {video.dtype} {video.shape}"
                )
            sample["reader"] = ArrayReader(video, fps)
        else:
            sample["path"] = str(video)
        rng = np.random.default_rng(0)
        for transform in self.pipeline:
            sample = transform(sample, rng)
        return sample

    def _batch(self, video, fps):
        sample = self.read(video, fps) | {"index": np.int32(0), "mask": np.float32(1)}
        return {k: jnp.asarray(v)[None] for k, v in sample.items()}

    @functools.cached_property
    def variables(self) -> dict:
        """Read on first use; says which checkpoint and which parameters."""
        recipe = self.config["data"]["recipe"]
        clip = np.zeros((recipe["frames"], recipe["size"], recipe["size"], 3), np.uint8)
        shapes = jax.eval_shape(
            lambda b: init_variables(self.net, self.task, b, 0), self._batch(clip, 0.0)
        )
        layout = meshes.shardings(self.mesh, shapes, self.config["sharding"])
        like = jax.tree.map(meshes.shape_on, shapes, layout)
        variables, line = weights.read(self._origin, like, self.net, self.config["model"]["name"])
        print(line, file=sys.stderr)
        return variables

    def _forward_features(self, variables, batch):
        batch = self.task.prepare(jax.random.key(0), batch, train=False)
        only = {k: v["backbone"] for k, v in variables.items() if "backbone" in v}
        return self.net.backbone.apply(only, **self.task.inputs(batch), train=False)


def load(
    spec: str | Path, split: str = "test", config: Any = None, recipe: Mapping | None = None
) -> Model:
    """A model ready to predict.

    Args:
      spec: a workdir (its best checkpoint, else its latest), a name of the zoo, or a file.
      split: whose preprocessing: "test" (all views, as published results are made) or "val".
      config: instead of the one that travels with the checkpoint.
      recipe: changes to the preprocessing, such as {"clips": 1, "crops": 1} for fewer views.

    Raises:
      UserError: nothing there, or a checkpoint of another model.
    """
    origin = weights.find(spec)
    if config is None and origin.config is None:
        raise UserError(
            f"{spec}: a file of weights without a config; name the model with --config, or rename"
            " the file to that of its row in `python -m jaxvid.tools.zoo`"
        )
    # The layout of the training machine says nothing about this one.
    here = dict(mesh=dict(data=-1, model=1), sharding="replicated")
    config = hashable(config or {**(origin.config or {}), **here})
    config["data"]["recipe"] |= recipe or {}
    return Model(config, origin, split)


def annotate(video: str | Path, found: Recognized, path: str | Path):
    """Write `video` to `path` with the classes and their scores drawn on every frame."""
    with VideoReader(video) as reader:
        fps = reader.fps or 25.0
        size = max(0.4, reader.height / 480)

        def frames():
            # In runs, so that a long video is never in memory as a whole.
            for start in range(0, reader.frames, 64):
                for frame in reader.read(range(start, min(start + 64, reader.frames))):
                    yield draw_labels(frame, found, size)

        write_video(path, frames(), fps)


def draw_labels(frame: np.ndarray, found: Recognized, size: float) -> np.ndarray:
    """A copy of a uint8 (h, w, 3) frame with one line a class, on a darkened corner."""
    frame, line = frame.copy(), round(28 * size)
    width = min(frame.shape[1], round(340 * size))
    height = min(frame.shape[0], line * len(found.labels) + round(10 * size))
    frame[:height, :width] = frame[:height, :width] // 3
    for i, (label, score) in enumerate(zip(found.labels, found.scores, strict=True)):
        at = (round(8 * size), line * (i + 1) - round(6 * size))
        text = f"{score:4.0%} {label}"
        cv2.putText(
            frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * size, (255, 255, 255),
            max(1, round(1.5 * size)), cv2.LINE_AA,
        )  # fmt: skip
    return frame


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jaxvid.predict", description=__doc__)
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--checkpoint", required=True, help="workdir of a run, or one checkpoint")
    parser.add_argument("--topk", type=int, default=5, help="classes to print")
    parser.add_argument("--json", action="store_true", help="one JSON object a video")
    parser.add_argument("--out", help="write the video with its labels drawn on it (one VIDEO)")
    args = parser.parse_args(argv)
    if args.out and len(args.videos) > 1:
        parser.error("--out takes one VIDEO")
    return guard(lambda: report(args))


def report(args: argparse.Namespace):
    """Predict and print, as the command's arguments say."""
    model = load(args.checkpoint)
    for video in args.videos:
        found = model.predict(video, args.topk)
        if args.json:
            print(json.dumps({"video": video, **asdict(found)}))
        else:
            print(video)
            for label, score in zip(found.labels, found.scores, strict=True):
                print(f"  {score:6.1%}  {label}")
        if args.out:
            annotate(video, found, args.out)
            print(f"wrote {args.out}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
