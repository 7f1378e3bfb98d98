"""Families that Hugging Face's transformers has, beside it: small models with random weights.

Each row makes a model of transformers and ours, loads its tensors into ours by the rename table,
and compares outputs. It needs torch and transformers, which jaxvid does not depend on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
from einops import rearrange

from jaxvid import plug
from jaxvid.weights import resolve
from jaxvid.weights.convert import convert, export
from tests.parity.cases.image_text import unit
from tests.parity.check import named, relative
from tests.parity.golden import draw, weight

pytestmark = pytest.mark.long
NOISE = 2e-5  # relative, of float32 against float32


@dataclass(frozen=True)
class Row:
    """A model of transformers, and ours with its weights.

    Attributes:
      model: Name of its class.
      config: Options of its config.
      spec: The spec of ours.
      shapes: Shapes of the inputs of ours, by name.
      feed: Inputs of ours -> keyword arguments of theirs, arrays.
      theirs: What theirs returns -> an array, or arrays by name.
      ours: What ours returns -> the same.
      change: Draws of standard normal numbers -> inputs of ours, such as masks.
      classes: Number of classes.
      upstream: The rename table.
    """

    model: str
    config: Mapping[str, Any]
    spec: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    feed: Callable[[Any], dict[str, Any]]
    theirs: Callable[[Any], Any] = lambda out: out.logits
    ours: Callable[[Any], Any] = lambda out: out
    change: Callable[[Any], dict[str, Any]] = lambda inputs: inputs
    classes: int = 5
    upstream: str = "transformers"


def channels_first(inputs):
    """A video as most models of transformers take it."""
    return {"pixel_values": rearrange(inputs["video"], "b t h w c -> b t c h w")}


def hide(inputs):
    """Three quarters of 32 tokens, others in each clip."""
    order = np.random.default_rng(1).permuted(np.tile(np.arange(32), (2, 1)), axis=1)
    numbers = dict(visible=np.sort(order[:, 24:]), hidden=np.sort(order[:, :24]))
    return inputs | {key: x.astype(np.int32) for key, x in numbers.items()}


def with_mask(inputs):
    mask = np.zeros((2, 32), bool)
    np.put_along_axis(mask, inputs["hidden"], True, 1)
    return channels_first(inputs) | {"bool_masked_pos": mask}


VIDEOMAE: dict[str, Any] = dict(
    image_size=32,
    patch_size=8,
    num_frames=4,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=128,
    num_labels=5,
)
SMALL: dict[str, Any] = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
TIMESFORMER = dict(SMALL, image_size=32, patch_size=8, num_frames=4, intermediate_size=64)


def timesformer(theirs, ours):
    """TimeSformer with one kind of attention."""
    return Row(
        "TimesformerForVideoClassification",
        dict(TIMESFORMER, attention_type=theirs, num_labels=5),
        dict(name="timesformer", variant="test", attention=ours),
        {"video": (2, 4, 32, 32, 3)},
        channels_first,
    )


SIGLIP_TEXT = dict(SMALL, intermediate_size=40, vocab_size=64, max_position_embeddings=8)
SIGLIP_IMAGE = dict(SMALL, intermediate_size=40, image_size=32, patch_size=16)


def tokens(inputs):
    """Token ids for draws, and grids for patches."""
    found = inputs | {"text": np.int64(abs(inputs["text"]) * 20) % 63 + 1}
    if "grid" in inputs:
        found["grid"] = np.array([[2, 5], [3, 4]])
    return found


def images_and_texts(inputs):
    """Frames of videos of one frame, and texts."""
    images = rearrange(inputs["video"], "b 1 h w c -> b c h w")
    return {"pixel_values": images, "input_ids": inputs["text"]}


def patches_and_texts(inputs):
    """Patches of such frames, their grids and which are shown, and texts."""
    patches = rearrange(inputs["video"], "b 1 n p c -> b n (p c)")
    shown = np.arange(patches.shape[1]) < inputs["grid"].prod(-1)[:, None]
    more = dict(spatial_shapes=inputs["grid"], pixel_attention_mask=shown.astype(int))
    return {"pixel_values": patches, "input_ids": inputs["text"], **more}


def similarities(out):
    """What the models of transformers return of images and texts."""
    names = {"image": "image_embeds", "text": "text_embeds", "pairs": "logits_per_image"}
    return {key: out[name] for key, name in names.items()}


def of_matched(out):
    """The same of ours."""
    image, text = unit(out.video), unit(out.text)
    bias = 0 if out.bias is None else out.bias
    return {"image": image, "text": text, "pairs": out.scale * image @ text.T + bias}


# With this end token, a text is read at its largest token, as OpenAI does.
CLIP_TEXT = dict(SMALL, intermediate_size=64, vocab_size=64, max_position_embeddings=8)
CLIP_TEXT |= dict(eos_token_id=2)
CLIP_IMAGE = dict(SMALL, intermediate_size=64, image_size=32, patch_size=16)
MIT = dict(mit_hidden_size=8, mit_intermediate_size=32, mit_num_attention_heads=1)


def videos_and_texts(inputs):
    """Videos, and texts for all of them."""
    return {**channels_first(inputs), "input_ids": inputs["text"][0]}


def of_xclip(out):
    """What X-CLIP returns, by the names of transformers."""
    video, text = unit(out.video), unit(out.text)
    pairs = out.scale * (text @ video[..., None])[..., 0]
    return {"video_embeds": video, "text_embeds": text, "logits_per_video": pairs}


VJEPA2 = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    crop_size=32,
    frames_per_clip=4,
    pred_hidden_size=24,
    pred_num_hidden_layers=1,
    pred_num_attention_heads=2,
    num_labels=5,
)
VIDEOPRISM: dict[str, Any] = dict(
    hidden_size=16,
    num_attention_heads=2,
    intermediate_size=64,
    image_size=32,
    num_frames=4,
    tubelet_size=[1, 16, 16],
    num_spatial_layers=1,
    num_temporal_layers=1,
    num_auxiliary_layers=1,
)


def videos(inputs):
    """A video as newer models of transformers take it."""
    return {"pixel_values_videos": rearrange(inputs["video"], "b t h w c -> b t c h w")}


def padded(inputs):
    """Texts whose second half is padding."""
    text = tokens(inputs)["text"]
    return inputs | {"text": text * (np.arange(text.shape[1]) < text.shape[1] // 2)}


def videos_and_masked_texts(inputs):
    text = inputs["text"]
    return videos(inputs) | {"input_ids": text, "attention_mask": np.int64(text > 0)}


OURS: dict[str, Any] = dict(width=32, depth=3, heads=4, size=32, patch=(2, 8, 8), epsilon=1e-12)
OURS |= dict(variant="test", norm_epsilon=1e-5)
DECODER: dict[str, Any] = dict(
    decoder_hidden_size=24,
    decoder_num_hidden_layers=2,
    decoder_num_attention_heads=2,
    decoder_intermediate_size=96,
    use_mean_pooling=False,
)
ROWS = {
    "clip": Row(
        "CLIPModel",
        dict(text_config=CLIP_TEXT, vision_config=CLIP_IMAGE, projection_dim=8),
        dict(name="clip", variant="test"),
        {"video": (2, 1, 32, 32, 3), "text": (2, 8)},
        images_and_texts,
        similarities,
        of_matched,
        tokens,
    ),
    "xclip": Row(
        "XCLIPModel",
        dict(
            text_config=CLIP_TEXT,
            vision_config=dict(CLIP_IMAGE, **MIT),
            projection_dim=8,
            prompt_num_attention_heads=1,
        ),
        dict(name="xclip", variant="test"),
        {"video": (2, 8, 32, 32, 3), "text": (1, 3, 8)},
        videos_and_texts,
        lambda out: {key: out[key] for key in ("video_embeds", "text_embeds", "logits_per_video")},
        of_xclip,
        tokens,
    ),
    "timesformer": timesformer("divided_space_time", "divided"),
    "timesformer_joint": timesformer("joint_space_time", "joint"),
    "vivit": Row(
        "VivitForVideoClassification",
        dict(TIMESFORMER, num_frames=6, tubelet_size=[2, 8, 8], num_labels=5),
        dict(name="vivit", variant="test"),
        {"video": (2, 6, 32, 32, 3)},
        channels_first,
    ),
    "siglip": Row(
        "SiglipModel",
        dict(
            text_config=dict(SIGLIP_TEXT, projection_size=16),
            vision_config=SIGLIP_IMAGE,
        ),
        dict(name="siglip", variant="test"),
        {"video": (2, 1, 32, 32, 3), "text": (2, 8)},
        images_and_texts,
        similarities,
        of_matched,
        tokens,
    ),
    "siglip2_naflex": Row(
        "Siglip2Model",
        dict(
            text_config=dict(SIGLIP_TEXT, projection_size=16),
            vision_config=dict(SMALL, intermediate_size=40, patch_size=4, num_patches=16),
        ),
        dict(name="siglip2", variant="test"),
        {"video": (2, 1, 14, 16, 3), "grid": (2, 2), "text": (2, 8)},
        patches_and_texts,
        similarities,
        of_matched,
        tokens,
    ),
    "vjepa2": Row(
        "VJEPA2ForVideoClassification",
        VJEPA2,
        dict(name="vjepa2", variant="test", width=24),
        {"video": (2, 4, 32, 32, 3)},
        videos,
    ),
    "videoprism": Row(
        "VideoPrismForVideoClassification",
        dict(VIDEOPRISM, num_labels=5),
        dict(name="videoprism", variant="test"),
        {"video": (2, 4, 32, 32, 3)},
        videos,
        lambda out: out.logits[:, 0],
    ),
    "videoprismlvt": Row(
        "VideoPrismClipModel",
        dict(
            text_config=dict(SIGLIP_TEXT, num_hidden_layers=1, intermediate_size=64),
            vision_config=VIDEOPRISM,
        ),
        dict(name="videoprismlvt", variant="test", video_depth=1, endpoint=False),
        {"video": (2, 4, 32, 32, 3), "text": (2, 8)},
        videos_and_masked_texts,
        lambda out: {"video": out.video_embeds, "text": out.text_embeds},
        lambda out: {"video": unit(out.video), "text": unit(out.text)},
        padded,
    ),
    "videomae": Row(
        "VideoMAEForVideoClassification",
        VIDEOMAE,
        dict(OURS, name="videomae"),
        {"video": (2, 4, 32, 32, 3)},
        channels_first,
    ),
    "videomae_pretrain": Row(
        "VideoMAEForPreTraining",
        VIDEOMAE | DECODER,
        dict(OURS, name="videomae_pretrain", decoder_width=24, decoder_heads=2, decoder_depth=2),
        {"video": (2, 4, 32, 32, 3)},
        with_mask,
        change=hide,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_model_of_transformers_is_ours_with_its_weights(name):
    torch, transformers = (pytest.importorskip(module) for module in ("torch", "transformers"))
    row = ROWS[name]
    kind = getattr(transformers, row.model)
    theirs = kind(kind.config_class(**row.config)).eval()
    learned = dict(theirs.named_parameters())  # others are computed, such as positions
    tensors = {
        key: weight(key, tuple(x.shape)) if key in learned else x.numpy().copy()
        for key, x in theirs.state_dict().items()
    }
    theirs.load_state_dict({key: torch.from_numpy(np.asarray(x)) for key, x in tensors.items()})
    inputs = row.change(draw(dict(row.shapes), 0))
    with torch.no_grad():
        fed = {key: torch.from_numpy(np.asarray(x)) for key, x in row.feed(inputs).items()}
        want = row.theirs(theirs(**fed))

    net = plug.load("models", row.spec, num_classes=row.classes)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), inputs)
    table = resolve.tables(row.spec, net)[row.upstream]
    variables, _ = convert(tensors, shapes, table, net=net)
    out = jax.jit(lambda v, x: net.apply(v, **x, train=False))(variables, inputs)
    found = named("out", row.ours(out))
    for key, value in named("out", want).items():
        assert relative(np.asarray(found[key]), value.numpy()) < NOISE, key
    exported = export(variables, table, net)
    for key, value in exported.items():
        np.testing.assert_allclose(value, tensors[key], 0, 0 if key in learned else 1e-5)
