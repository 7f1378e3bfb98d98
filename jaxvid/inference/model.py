"""A trained model with its preprocessing: `jaxvid.load(spec).predict(video)`."""

import functools
import inspect
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import compare, plug
from jaxvid.config import hashable
from jaxvid.data.annotations import feature_files
from jaxvid.data.transforms.text import Tokenize, check_texts
from jaxvid.data.transforms.words import NumberWords
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.readers import ArrayReader
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.inference.features import Extractor
from jaxvid.train.step import Compiled, init_variables, make_eval_step
from jaxvid.weights import resolve

logger = logging.getLogger(__name__)

# A mapping is a sample, as sources yield it (`data/sample.py`), for inputs other than videos.
Video = str | Path | bytes | np.ndarray | Mapping[str, Any]


class Model:
    """A trained model with the preprocessing it was evaluated with.

    Attributes:
      config: The resolved config of its training, as nested dicts.
      names: Class names.
      source: The checkpoint folder or the file of weights.
      meta: What else is stored in the checkpoint: step, epoch, metrics and others.
      mesh: The devices of this machine.
      task: The task, which prepares batches and describes predictions.
      net: The Flax module.
      pipeline: The transforms from a sample to the arrays of the model.
      step: The compiled function (variables, batch) -> predictions.
    """

    def __init__(self, config: dict, origin: resolve.Origin, split: str):
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
        self._features = jax.jit(self.maps)
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def predict(
        self,
        video: Video | Sequence[Video],
        topk: int | None = None,
        fps: float = 0.0,
        labels: Sequence[str] = (),
    ) -> Any:
        """Predict for one video or several.

        A model that was trained on features takes videos, too. It then loads the backbone that made
        the features.

        Args:
          video: A path, the bytes of a file, an array uint8 (t, h, w, 3) RGB, a sample, or a list
            of them.
          topk: Number of classes or segments to return; None means the number of the task.
          fps: Frame rate of arrays, for models that sample by time.
          labels: Labels to choose from, for models that compare videos with texts. The default is
            the classes of a published model.

        Returns:
          A result of `jaxvid.results`, such as Recognized or Localized, or a list for a list.

        Raises:
          UserError: a file cannot be read, an array has another shape or dtype, or `topk` or
            `labels` are wrong.
        """
        if isinstance(video, list | tuple):
            return [self.predict(v, topk, fps, labels) for v in video]
        self._check_head()
        if topk is not None and (not isinstance(topk, int | np.integer) or topk < 1):
            raise UserError(f"topk={topk!r}: give a number of at least 1, or None")
        if not (isinstance(labels, Sequence) and len(labels) == 0):
            self._check_texts()
            labels = check_texts("labels", labels)
            if twice := [text for text, count in Counter(labels).items() if count > 1]:
                raise UserError(f'labels: "{twice[0]}" is there twice; give each label once')
        names = tuple(labels) or self.names
        batch = self.batch(video, fps)
        text = self._label_texts(names) if labels or (self._tokenize and len(names) > 1) else None
        if text is not None and self.texts_see_videos:
            batch["text"] = jnp.asarray(text)[None]
        preds = self.step(self.variables, batch)
        sample = {key: np.asarray(value)[0] for key, value in preds.items()}
        if text is not None and not self.texts_see_videos:
            sample["text"] = text
        return self.task.describe(sample, names, topk)

    def scores(self, video: Video, fps: float = 0.0) -> np.ndarray:
        """Return the scores of all classes, float32 (classes,)."""
        self._check_head()
        batch = self.batch(video, fps)
        return np.asarray(self.step(self.variables, batch)["score"])[0]

    def features(self, video: Video | Sequence[Video], fps: float = 0.0):
        """Return the backbone's feature maps, float32 (views, t, h, w, c); a list for a list.

        Backbones with several pathways, such as SlowFast, have a tuple of maps.
        """
        if isinstance(video, list | tuple):
            return [self.features(v, fps) for v in video]
        batch = self.batch(video, fps)
        maps = self._features(self.variables, batch)
        return jax.tree.map(lambda x: np.asarray(x, np.float32), maps)

    @property
    def texts_see_videos(self) -> bool:
        """True if the features of texts depend on the video that they are compared with."""
        return getattr(self.net, "texts_see_videos", False)

    def texts(self, **sample: Sequence[str]) -> np.ndarray:
        """Return features of `captions=`, or of `labels=` in all templates: float32 (n, f), norm 1.

        If texts see videos, as in X-CLIP, the features are those that `step` takes as "text" of a
        batch, and their norm is not 1.

        Raises:
          UserError: the model does not compare videos with texts, or there are wrong texts.
        """
        tokenize = self._check_texts()
        if sample.keys() not in ({"captions"}, {"labels"}):
            raise UserError("texts takes either captions= or labels=")
        sample = {name: check_texts(name, texts) for name, texts in sample.items()}
        tokens = tokenize(dict(sample), np.random.default_rng(0))["text"]
        self._log_cut(tokenize, sample, tokens)
        # Attention looks back only, so what follows the longest text changes nothing.
        tokens = tokens[:, : (tokens > 0).sum(1).max()]
        rest = -len(tokens) % (at_once := min(64, len(tokens)))
        parts = np.pad(tokens, ((0, rest), (0, 0))).reshape(-1, at_once, tokens.shape[1])
        embed = jax.jit(lambda v, part: self.net.apply(v, text=part, train=False).text)
        found = np.concatenate([embed(self.variables, part) for part in parts])[: len(tokens)]
        if self.texts_see_videos:
            return found
        return found / np.linalg.norm(found, axis=-1, keepdims=True)

    @staticmethod
    def _log_cut(tokenize: Tokenize, sample: Mapping, tokens: np.ndarray) -> None:
        """Log how many texts have more tokens than the model takes."""
        if tokens[:, -1].any():
            longer = replace(tokenize, length=20 * tokenize.length)
            whole = longer(dict(sample), np.random.default_rng(0))["text"]
            if cut := int(((whole > 0).sum(1) > tokenize.length).sum()):
                logger.info(f"{cut} of {len(whole)} texts are cut to {tokenize.length} tokens")

    def _check_head(self) -> None:
        """Raise a UserError if there is an encoder alone."""
        if self.meta.get("headless"):
            raise UserError(
                f"{self.source}: an encoder without a classifier, so it predicts no classes."
                " Compute its features, or fine-tune it: --config finetune:FAMILY_VARIANT"
            )

    def _check_texts(self) -> Tokenize:
        """Return the tokenizer of the model, or raise a UserError if it takes no texts."""
        if self._tokenize is None:
            raise UserError(
                f"{self.source}: this model does not compare videos with texts, so it takes no"
                " labels"
            )
        return self._tokenize

    @functools.cached_property
    def _tokenize(self) -> Tokenize | None:
        return next((step for step in self.pipeline if isinstance(step, Tokenize)), None)

    def _label_texts(self, labels: tuple[str, ...]) -> np.ndarray:
        """Return the features of labels, which are kept for the next video."""
        if labels not in self._known:
            logger.info(f"encoding {len(labels)} labels, once for all videos")
            self._known = {labels: self.texts(labels=labels)}
        return self._known[labels]

    def read(self, video: Video, fps: float = 0.0) -> dict[str, np.ndarray]:
        """Return the sample of one video after the transforms of evaluation."""
        sample: dict[str, Any] = {"label": np.int32(0)}
        if isinstance(video, Mapping):
            sample |= video
        elif isinstance(video, np.ndarray):
            if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or not len(video):
                raise UserError(
                    f"a video array is uint8 (t, h, w, 3), not {video.dtype} {video.shape}"
                )
            sample["reader"] = ArrayReader(video, fps)
        elif isinstance(video, bytes | bytearray | memoryview):
            hears = "audio" in getattr(self.task, "keys", ())
            sample |= {"file": bytes(video)} if hears else {"reader": VideoReader(bytes(video))}
        elif isinstance(video, str | os.PathLike):
            sample["path"] = os.fspath(video)
        else:
            kind = type(video).__name__
            raise UserError(f"a video is a path, the bytes of a file, or an array, not a {kind}")
        if "features" in self.meta and "feature" not in sample:
            sample |= self.video_features(sample)
        if self.takes_query:
            sample = {"vocabulary": self.names, **sample}
        rng = np.random.default_rng(0)
        for transform in self.pipeline:
            sample = transform(sample, rng)
        if "feature" in sample:
            found, expected = sample["feature"].shape[-1], self.meta.get("channels", 0)
            feature_files.check_width(sample.get("path", "the features"), found, expected)
        return sample

    @property
    def takes_query(self) -> bool:
        """True if the model looks for what a sentence describes, the key "query" of a sample."""
        return any(isinstance(step, NumberWords) for step in self.pipeline)

    def video_features(self, sample: Mapping) -> dict[str, Any]:
        """Return `feature` (t, c) and `duration` of a video, by the backbone of the training.

        The result is {} if the path of the sample is a file of features.

        Raises:
          UserError: the backbone is missing or has changed, or the file has other features.
        """
        made = feature_files.Made(**self.meta["features"])
        if "path" in sample and Path(sample["path"]).suffix in feature_files.ENDINGS:
            feature_files.check(sample["path"], made)
            return {}
        feature, _ = self._extractor(sample)
        return {"feature": feature, "duration": made.seconds(len(feature))}

    @functools.cached_property
    def _extractor(self) -> Extractor:
        """The backbone that made the features of the training, with its preprocessing."""
        made = feature_files.Made(**self.meta["features"])
        model = load(made.backbone, "val")
        if made.weights and made.weights != model.identity:
            raise UserError(
                f"{made.backbone}: its weights ({model.identity}) are not those that made the"
                f" features for the training of {self.source} ({made.weights})"
            )
        return Extractor(model, made.frames, made.stride, made.every, made.fps)

    @functools.cached_property
    def identity(self) -> str:
        """A hash of the weights, the same wherever they are stored."""
        return resolve.identity(self.source)

    def batch(self, video: Any, fps: float = 0.0) -> dict[str, jax.Array]:
        """Return a video as a batch of one sample, which `step` takes."""
        sample = self.read(video, fps) | {"index": np.int32(0), "mask": np.float32(1)}
        return {k: jnp.asarray(v)[None] for k, v in sample.items()}

    @functools.cached_property
    def variables(self) -> dict:
        """The parameters and running statistics, read on first use; a log line names them."""
        if "batch" in self.meta:
            batch = {
                key: jax.ShapeDtypeStruct((1, *shape), dtype)
                for key, (dtype, shape) in self.meta["batch"].items()
            }
        else:  # published weights
            batch = self.batch(plug.load("data.recipes", self.config["data"]["recipe"], "example"))
        shapes = jax.eval_shape(lambda b: init_variables(self.net, self.task, b, 0), batch)
        layout = meshes.shardings(self.mesh, shapes, self.config["sharding"])
        like = jax.tree.map(meshes.shape_on, shapes, layout)
        variables, line = resolve.read(self._origin, like, self.net, self.config["model"])
        logger.info(line)
        return variables

    def maps(self, variables: dict, batch: dict) -> Any:
        """Return the feature maps of the backbone, (b views, t, h, w, c), one per pathway.

        It has no side effects, so it can be compiled.
        """
        batch = self.task.prepare(jax.random.key(0), batch, train=False)
        only = {k: v["backbone"] for k, v in variables.items() if "backbone" in v}
        takes = inspect.signature(type(self.net.backbone).__call__).parameters  # no boxes, no text
        inputs = {key: x for key, x in self.task.inputs(batch).items() if key in takes}
        return self.net.backbone.apply(only, **inputs, train=False)


def load(
    spec: str | Path,
    split: str = "test",
    config: Any = None,
    recipe: Mapping | None = None,
    deploy: bool = False,
) -> Model:
    """Load a trained or published model, ready to predict.

        model = jaxvid.load("runs/quickstart")  # or "swin_tiny_k400", or a file of weights
        print(model.predict("clip.mp4"))

    Args:
      spec: A workdir, of which the best checkpoint is loaded or else the latest, a name of the zoo,
        or a file of weights.
      split: Split whose preprocessing is used: "test" (all views, as in published results) or
        "val".
      config: A ConfigDict or nested dicts that replace the config of the checkpoint.
      recipe: Changes to the preprocessing, such as {"clips": 1, "crops": 1} for fewer views.
      deploy: Convert the model to the form for inference that its family has, such as MobileOne,
        whose branches become one convolution. Its outputs are the same up to rounding.

    Raises:
      UserError: there are no such weights, they are of another model, `config` prepares other
        inputs than those of the training, or the family has no form for inference.
    """
    if isinstance(config, str | os.PathLike):
        raise UserError(
            f"config={config!r}: give a ConfigDict, as get_config() of a config file returns it"
        )
    origin = resolve.locate(spec)
    if config and origin.config:
        compare.evaluated(origin.source, origin.config, config)
    used = hashable(config or origin.local_config)
    used["data"]["recipe"] |= recipe or {}
    if not deploy:
        return Model(used, origin, split)
    form = deployed(used["model"])
    model, other = (Model(used | {"model": spec}, origin, split) for spec in (used["model"], form))
    if form != used["model"]:
        family = plug.module("models", form.get("backbone", form)["name"])
        variables = family.deploy(model.variables)
        other.variables = jax.device_put(variables, meshes.replicated(model.mesh))
    return other


def deployed(spec: Mapping) -> dict:
    """Return the spec of a model in its form for inference.

    Raises:
      UserError: the family of the model, or of its backbone, has no such form.
    """
    if "backbone" in spec:
        return {**spec, "backbone": deployed(spec["backbone"])}
    if spec["name"] not in (known := plug.names("models", "deploy")):
        raise UserError(
            f"deploy: only {' and '.join(known)} has a deploy form; leave it out for {spec['name']}"
        )
    return {**spec, "deploy": True}
