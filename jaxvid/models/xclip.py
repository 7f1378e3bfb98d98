"""X-CLIP (Ni et al., 2022), https://arxiv.org/abs/2208.02816.

CLIP for videos, in which frames and texts know of each other:

- In each block of the vision tower, a frame sends a message to the others: a token made from its
  class token, that attends to those of the other frames. The patches attend to the answer.
- A small transformer over time joins the features of the frames, as in ActionCLIP.
- Texts attend to the patches of a video, so that their features depend on the video ("prompts").

Shapes: b batch, t frames, h w patches, n texts, l tokens of a text, c channels of tokens, f
features of the space that videos and texts share.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers import transformer
from jaxvid.layers.clip import Adapter, Scale, TextTower, VisionTower, normal, quick_gelu
from jaxvid.layers.transformer import Attention, CrossAttention, Mlp, norm
from jaxvid.models import clip
from jaxvid.models.clip import BY_VARIANT, Matched, Text
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip as names
from jaxvid.weights.names import fixes

VARIANTS: dict[str, dict] = {
    **{name: clip.VARIANTS[name] for name in ("test", "mini", "vitb32", "vitb16", "vitl14")},
    "vitl14-336": clip.VARIANTS["vitl14-336"],
}
HEAD = 64  # channels of a head in the adapter and the prompts, as in the code of the authors


class Block(transformer.Block):
    """A block of frames (b, t, n, c) that exchange messages."""

    @nn.compact
    def __call__(self, x, train):
        init: dict[str, Any] = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        message = nn.Dense(x.shape[-1], **init, name="message_fc")(x[:, :, 0])
        attend = Attention(self.heads, **init, name="message_attn")
        message = message + attend(norm("message_norm", self.dtype)(message), train)
        y = jnp.concatenate([x, message[:, :, None]], 2)
        x = x + self.attend(norm("norm1", self.dtype)(y), train)[:, :, :-1]
        mlp = Mlp(activation=self.activation, **init, name="mlp")
        return x + mlp(norm("norm2", self.dtype)(x), train)


class FramesTower(VisionTower):
    """video (b, t, h, w, 3) -> features of frames (b, t, 1, 1, f), patches (b, t, h', w', c)."""

    @nn.compact
    def __call__(self, video, *, train):
        x = self.tokens(video, kind=Block)
        side = self.size // self.patch
        return self.project(x), x[:, :, 1:].reshape(*x.shape[:2], side, side, -1)


class Prompts(nn.Module):
    """Additions (b, n, f) to texts (b, n, f), from the patches (b, t, h, w, c) of a video.

    Attributes:
      depth: Number of blocks, in which the texts attend to the patches.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    depth: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, text, patches):
        c, f = patches.shape[-1], text.shape[-1]
        init: dict[str, Any] = dict(kernel_init=normal, dtype=self.dtype)
        proj = self.param("visual_proj", nn.initializers.normal(c**-0.5), (c, f))
        # The mean over frames is taken before the projection, where it is the same for less work.
        seen = norm("visual_norm", self.dtype)(patches).mean(1).reshape(len(patches), -1, c)
        seen = norm("norm", self.dtype)(seen @ proj.astype(self.dtype))
        text = text.astype(self.dtype)
        for i in range(self.depth):
            attend = CrossAttention(max(1, f // HEAD), False, **init, name=f"block{i}_attn")
            text = text + attend(norm(f"block{i}_norm1", self.dtype)(text), seen)
            mlp = Mlp(activation=quick_gelu, **init, name=f"block{i}_mlp")
            text = text + mlp(norm(f"block{i}_norm2", self.dtype)(text))
        alpha = self.param("alpha", nn.initializers.constant(0.1), (f,))
        return alpha.astype(self.dtype) * text


class XCLIP(nn.Module):
    """video (b, t, h, w, 3) and text (b, n, l) -> Matched, whose texts (b, n, f) saw the video.

    Either may be left out. Texts without a video have their features before the prompts. Such
    features (b, n, f) are also taken as `text`. A `text` of one row is for all videos.

    Attributes:
      backbone: Features and patches of frames.
      text: The text tower.
      adapter: From features of frames (b, t, f) to those of videos (b, f).
      prompts: Number of blocks in which texts attend to the patches.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    backbone: FramesTower
    text: TextTower
    adapter: Adapter
    prompts: int = 2
    dtype: Any = jnp.float32

    texts_see_videos = True

    @nn.compact
    def __call__(self, video=None, text=None, *, train):
        patches = None
        if video is not None:
            frames, patches = self.backbone(video, train=train)
            video = self.adapter(frames[:, :, 0, 0])
        if text is not None and jnp.issubdtype(text.dtype, jnp.integer):
            text = self.text(text)
        if text is not None and patches is not None:
            text = jnp.broadcast_to(text, (len(patches), *text.shape[1:]))
            text = text + Prompts(self.prompts, self.dtype, name="prompts")(text, patches)
        video, text = (x if x is None else x.astype(jnp.float32) for x in (video, text))
        return Matched(video, text, Scale(name="similarity")())


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, three texts for each video."""
    arrays = clip.example(variant)
    b, length = arrays["text"].shape
    return {**arrays, "text": jax.ShapeDtypeStruct((b, 3, length), jnp.int32)}


def backbone(variant, **overrides):
    return FramesTower(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    frames: Count = 8,
    layers: Count = 1,
    prompts: Count = 2,
    text: Text = BY_VARIANT,
    dtype: Any = jnp.float32,
    **overrides,
):
    """Return both towers, the adapter and the prompts; other arguments are of `VisionTower`.

    Args:
      frames: Largest number of frames of a video.
      layers: Blocks of the adapter, which joins the features of frames.
      prompts: Blocks in which texts attend to the patches of a video.
      text: Options of the text tower.
    """
    vision = backbone(variant, dtype=dtype, **overrides)
    tower = clip.text_tower(variant, text, vision)
    shared: dict[str, Any] = dict(quick=vision.quick, remat=vision.remat, dtype=dtype)
    adapter = Adapter(layers, max(1, vision.features // HEAD), **shared, frames=frames)
    return XCLIP(vision, tower, adapter, prompts, dtype)


# Weights

FRAMES, PROMPTS = "vision_model.encoder.layers.{i}", "prompts_generator.decoder.{i}"
# "prompts_generator.decoder.0.mlp.3.bias" -> "prompts/block0_mlp/fc2/bias"
ROWS = (
    *names.transformers("pre_layernorm"),
    *names.transformers_blocks("mit", "adapter"),
    (f"{FRAMES}.message_fc", "backbone/block{i}/message_fc"),
    (f"{FRAMES}.message_ln", "backbone/block{i}/message_norm"),
    (f"{FRAMES}.message_attn.qkv", "backbone/block{i}/message_attn/qkv"),
    (f"{FRAMES}.message_attn.out_proj", "backbone/block{i}/message_attn/proj"),
    ("mit.position_embedding", "adapter/frame_position_embeddings/weight"),
    ("prompts_visual_layernorm", "prompts/visual_norm"),
    ("prompts_visual_projection", "prompts/visual_proj"),
    ("prompts_generator.layernorm", "prompts/norm"),
    ("prompts_generator.alpha", "prompts/alpha"),
    (f"{PROMPTS}.norm1", "prompts/block{i}_norm1"),
    (f"{PROMPTS}.norm3", "prompts/block{i}_norm2"),
    (f"{PROMPTS}.cross_attn.q_proj", "prompts/block{i}_attn/q"),
    (f"{PROMPTS}.cross_attn.kv", "prompts/block{i}_attn/kv"),
    (f"{PROMPTS}.cross_attn.proj", "prompts/block{i}_attn/proj"),
    (f"{PROMPTS}.mlp.0", "prompts/block{i}_mlp/fc1"),
    (f"{PROMPTS}.mlp.3", "prompts/block{i}_mlp/fc2"),
)
WEIGHTS = {
    "transformers": Weights(
        ROWS,
        names.TRANSFORMERS_SKIP,
        names.TRANSFORMERS_ORDER,
        adapt=names.adapt,
        fix=fixes.chain(
            fixes.joined(("cross_attn.k_proj", "cross_attn.v_proj"), "cross_attn.kv"),
            names.TRANSFORMERS_FIX,
            fixes.without_batch("mit.position_embedding"),
        ),
    )
}
