"""VindLU (Cheng et al., 2022), https://arxiv.org/abs/2212.05051.

Videos and texts, compared twice: by features that are made independently, and by layers in which
the words of a text attend to all patches of a video. The vision tower is a BEiT whose patches also
attend to those at the same place in other frames. The text tower is a BERT. For questions, a small
decoder spells the answer.

Shapes: b batch, t frames, h w patches, m = t (1 + h w) tokens of a video, n texts, l tokens of a
text, c channels, f features of the space that videos and texts share, a possible answers.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Natural, Rate
from jaxvid.errors import UserError
from jaxvid.layers.beit import VisionTower, relative_index
from jaxvid.layers.bert import Bert, Decoder
from jaxvid.layers.transformer import normal
from jaxvid.weights.names import vindlu as names

VARIANTS: dict[str, dict] = {
    "test": dict(size=32, patch=16, width=16, depth=2, heads=2, frames=4),
    "mini": dict(size=32, patch=8, width=64, depth=2, heads=4, frames=4),
    "beit-base": {},
}
TEXT: dict[str, dict] = {
    "test": dict(vocabulary=64, length=16, width=16, depth=3, fusion=2, heads=2),
    "mini": dict(vocabulary=64, length=16, width=64, depth=3, fusion=2, heads=4),
    "beit-base": {},
}


def tokens_of(maps):
    """Return the tokens (b, m, c) of the frames and the features of frames (b, t, c)."""
    frames, first, patches = maps
    every = jnp.concatenate([rearrange(x, "b t h w c -> b t (h w) c") for x in (first, patches)], 2)
    return rearrange(every, "b t n c -> b (t n) c"), frames[:, :, 0, 0]


class Temperature(nn.Module):
    """The learned number by which cosines are divided: float32 ()."""

    @nn.compact
    def __call__(self):
        return self.param("temperature", nn.initializers.constant(0.07), ())


class Compared(NamedTuple):
    """The outputs of `VindLU`, float32; None without such inputs.

    Attributes:
      video: (b, f), the mean of the features of frames, each of length 1.
      text: (b, n, f) of length 1.
      temperature: () divides the cosines.
      match: (b, n, 2), logits that a text is wrong or right for its video. If each video has one
        text: (b, 3, 2), for the pair, for the video with a wrong text, and the text with a wrong
        video.
      tokens: (b, m, c), the tokens of the video that texts attend to.
    """

    video: jax.Array | None
    text: jax.Array | None
    temperature: jax.Array
    match: jax.Array | None
    tokens: jax.Array | None


class VindLU(nn.Module):
    """video (b, t, h, w, 3) and token ids text (b, n, l) -> Compared; either may be left out.

    The `tokens` (b, m, c) of a former output are also taken, instead of a video.

    Attributes:
      backbone: The vision tower.
      text: The text tower.
      features: Number of channels f of the features that are compared.
      group: Wrong texts and videos are taken from this number of neighbors in a batch.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    backbone: VisionTower
    text: Bert
    features: Count = 256
    group: Count = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video=None, text=None, tokens=None, *, train):
        seen = states = match = None
        given = tokens is not None
        init: dict[str, Any] = dict(kernel_init=normal, dtype=self.dtype)
        if video is not None:
            tokens, frames = tokens_of(self.backbone(video, train=train))
            frames = nn.Dense(self.features, **init, name="vision_proj")(frames)
            seen = unit(frames.astype(jnp.float32)).mean(1)
        read: Any = None
        alone = False
        if text is not None:
            alone = text.ndim == 2  # one text of each video
            text = text[:, None] if alone else text
            states = self.text.encode(text, train)
            read = nn.Dense(self.features, **init, name="text_proj")(states[..., 0, :])
            read = unit(read.astype(jnp.float32))
        temperature = Temperature(name="similarity")()
        if tokens is not None and text is not None:
            head = nn.Dense(2, **init, name="match_head")

            def fuse(states, ids, tokens):
                x = self.text.fuse(states, ids, tokens.astype(self.dtype), train)
                return head(x[..., 0, :]).astype(jnp.float32)

            if text.shape[1] > 1 or given:
                match = fuse(states, text, tokens)
            else:
                rng = self.make_rng("dropout") if train else None
                wrong_text, wrong_video = wrong(seen, read[:, 0], temperature, self.group, rng)
                texts, ids = (pair_up(x, wrong_text) for x in (states, text))
                pairs = fuse(texts, ids, tokens), fuse(states, text, take(tokens, wrong_video))
                match = jnp.concatenate(pairs, 1)
        tokens = None if tokens is None else tokens.astype(jnp.float32)
        read = read[:, 0] if alone else read
        return Compared(seen, read, temperature, match, tokens)


def unit(x):
    """Scale vectors to length 1. Zeros are unchanged."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def take(x, rows):
    """Return rows (g, s) of x (g s, ...), each from its own group of s rows.

    It is a product, because a gather by index would collect the batch from all devices.
    """
    grouped = x.reshape(*rows.shape, *x.shape[1:])
    chosen = jax.nn.one_hot(rows, rows.shape[1], dtype=x.dtype)
    found = jnp.einsum("gsr,gr...->gs...", chosen, grouped, precision="highest")
    return found.reshape(x.shape)


def pair_up(x, rows):
    """Return x (g s, 1, ...) with a row of another sample after each: (g s, 2, ...)."""
    return jnp.concatenate([x, take(x, rows)], 1)


def wrong(video, text, temperature, group, rng):
    """Return, for each video, the number of a wrong text in its group, and the other way round.

    Similar ones are likelier, in proportion to the softmax over the group. Without a random key
    the most similar is taken.

    Args:
      video, text: Features (b, f).
      temperature: Divides their cosines.
      group: Size of the groups into which the batch is divided; if it does not divide the batch,
        the whole batch is one group.
      rng: Random key, or None.

    Returns:
      Two arrays of integers (groups, size).

    Raises:
      UserError: a training batch is a single sample.
    """
    size = len(video) if len(video) % group else group
    if size < 2 and rng is not None:
        raise UserError("a batch of one sample has no wrong texts: raise config.batch")
    video, text = (x.reshape(-1, size, x.shape[-1]) for x in (video, text))
    score = jax.lax.stop_gradient(jnp.einsum("gvf,gtf->gvt", video, text) / temperature)
    score = jnp.where(np.eye(size, dtype=bool), -jnp.inf, score)
    ways = score, score.swapaxes(1, 2)
    if rng is None:
        return tuple(x.argmax(-1) for x in ways)
    keys = jax.random.split(rng)
    return tuple(jax.random.categorical(k, x) for k, x in zip(keys, ways, strict=True))


class Answered(NamedTuple):
    """The outputs of `Answerer`, float32; None without such inputs.

    Attributes:
      loss: (b, n), the negative log-likelihood of each given answer.
      score: (b, a), probabilities of the candidates; 0 for all but the best by their first token.
      first: (b, vocabulary), logits of the first token of the answer.
    """

    loss: jax.Array | None
    score: jax.Array | None
    first: jax.Array


class Answerer(nn.Module):
    """video (b, t, h, w, 3) and token ids of a question -> Answered.

    Attributes:
      backbone: The vision tower.
      text: The text tower, for the questions.
      decoder: The decoder of answers.
      candidates: Number of answers whose other tokens are considered, the best by the first token.
    """

    backbone: VisionTower
    text: Bert
    decoder: Decoder
    candidates: Count = 128

    def __call__(self, video, question, answer=None, candidates=None, *, train):
        """Answer questions.

        Args:
          video: (b, t, h, w, 3).
          question: Token ids (b, 1, l).
          answer: Token ids (b, n, l) of answers whose loss is returned.
          candidates: Token ids (1, a, l) of the possible answers.
          train: Use dropout.
        """
        tokens, _ = tokens_of(self.backbone(video, train=train))
        states = self.text(question, tokens, train)[:, 0]
        shown = question[:, 0] > 0
        loss = score = None
        ids = question[:, :, :1] if answer is None else answer
        logits = self.decoder(ids, states, train, shown)
        first = logits[:, 0, 0]
        if answer is not None:
            loss = -likelihood(logits, answer)
        if candidates is not None:
            candidates = candidates[0]
            # All texts begin with the same token, so that of a question begins an answer, too.
            by_first = jax.nn.softmax(first)[:, candidates[:, 1]]
            best, rows = jax.lax.top_k(by_first, min(self.candidates, len(candidates)))
            chosen = candidates[rows]
            rest = likelihood(self.decoder(chosen, states, train, shown), chosen)
            ranked = jax.nn.softmax(jnp.log(best) + rest)
            score = jnp.zeros_like(by_first).at[jnp.arange(len(rows))[:, None], rows].set(ranked)
        return Answered(loss, score, first)


def likelihood(logits, ids):
    """Return the log-likelihood (...) of the tokens after the first, by the logits before them."""
    logits, target = logits[..., :-1, :], ids[..., 1:]
    each = jnp.take_along_axis(logits, target[..., None], -1)[..., 0]
    each = each - jax.nn.logsumexp(logits, -1)
    return jnp.where(target > 0, each, 0).sum(-1)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    size, length = VARIANTS[variant].get("size", 224), min(TEXT[variant].get("length", 32), 32)
    return {
        "video": jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32),
        "text": jax.ShapeDtypeStruct((2, length), jnp.int32),
    }


def backbone(variant, **overrides):
    return VisionTower(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    decoder: Natural = 0,
    candidates: Count = 128,
    features: Count = 256,
    group: Count = 32,
    dropout: Rate = 0.1,
    vocabulary: Natural = 0,
    dtype: Any = jnp.float32,
    **overrides,
):
    """Return the model; other arguments are those of `VisionTower`.

    Args:
      decoder: Number of layers of the decoder of answers. 0 compares videos with texts instead.
      candidates: Number of answers whose other tokens are considered, the best by the first token.
      features: Number of features by which videos and texts are compared.
      group: Wrong texts and videos are taken from this number of neighbors in a batch.
      dropout: Dropout rate of the text tower and the decoder in training.
      vocabulary: Number of token ids; 0 takes the value of the variant.
    """
    vision = backbone(variant, dtype=dtype, **overrides)
    options: dict[str, Any] = dict(TEXT[variant], remat=vision.remat, dropout=dropout, dtype=dtype)
    if vocabulary:
        options["vocabulary"] = vocabulary
    text = Bert(**options)
    if not decoder:
        return VindLU(vision, text, features, group, dtype)
    options |= dict(depth=decoder, fusion=0)
    return Answerer(vision, text, Decoder(**options), candidates)


# Weights


def index_buffers(net, stored):
    """Return the constants that upstream stores: rows of bias tables, and numbers of positions."""
    index = relative_index(net.backbone.size // net.backbone.patch)
    positions = np.arange(net.text.length)[None]
    tables, words = "relative_position_bias_table", "word_embeddings.weight"
    found = {name.replace("bias_table", "index"): index for name in stored if tables in name}
    return found | {
        name.replace(words, "position_ids"): positions for name in stored if words in name
    }


WEIGHTS = {
    "mmaction": replace(names.MMACTION, buffers=index_buffers),
    "vindlu": names.VINDLU,  # the pre-training that its authors published
}
