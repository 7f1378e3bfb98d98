"""Goldens of VideoMAE and of the networks that are built like it."""

import jax.numpy as jnp
from einops import rearrange

from jaxvid import plug
from jaxvid.models.videomae_pretrain import MaskedAutoEncoder
from tests.parity.cases.case import Case, clips
from tests.parity.cases.detection import key_frames, scores_and_features

QUICK = {"videomaev2_small"}
TRAIN = dict(dropout=0.0, drop_path=0.0)


def of_mean(family, variant, **options):
    """Upstream's backbone gives the normalized mean of the tokens, which is in our head."""
    spec = dict(name=family, variant=variant, **options)
    return Case(spec, clips, "n c -> n c", tokens="head/fc_norm", train=TRAIN)


def hugging_face(variant, **options):
    spec = dict(name="videomae", variant=variant, epsilon=1e-12, norm_epsilon=1e-5, **options)
    return Case(
        spec,
        lambda x: {"video": rearrange(x, "n t c h w -> n t h w c")},
        "n t h w c -> n (t h w) c",
        upstream="transformers",
        train=TRAIN,
    )


def of_boxes(variant):
    """An action head on the normalized tokens; see `detection.of_boxes`."""
    backbone = dict(name="videomae", variant=variant, final_norm=True, resize=True)
    return Case(
        dict(name="fast_rcnn", backbone=backbone),
        key_frames,
        "n t h w c -> n c t h w",
        outputs=scores_and_features,
        inner="dropout",
    )


HIDDEN = 8 * int(0.9 * 14 * 14)  # tokens


def masked(x):
    """The golden's mask is true for hidden tokens."""
    order = jnp.argsort(x["bool_masked_pos"], stable=True)
    visible, hidden = order[:, :-HIDDEN], order[:, -HIDDEN:]
    video = rearrange(x["video"], "n t c h w -> n t h w c")
    return {"video": video, "visible": visible, "hidden": hidden}


class WithLosses(MaskedAutoEncoder):
    """The model with the loss of the task, for normalized pixels and for others."""

    def __call__(self, video, visible, hidden, *, train):
        out = super().__call__(video, visible, hidden, train=train)
        found = {"first": out[:, :8], "mean": out.mean(1), "token_mean": out.mean(2)}
        for name, target in (("loss", "channel"), ("loss_of_raw_pixels", "pixels")):
            task = plug.load("tasks", dict(name="masked", target=target), num_classes=0)
            pixels = video * jnp.array(task.std) + jnp.array(task.mean)
            batch = dict(video=video, pixels=pixels, hidden=hidden)
            batch = {key: x[:, None] for key, x in batch.items()}
            found[name], _ = task.loss(out, batch | {"mask": jnp.ones(len(video))})
        return found


def pretraining(**overrides):
    net = plug.load("models", PRETRAINED | overrides)
    return WithLosses(net.backbone, net.decoder)


PRETRAINED = dict(name="videomae_pretrain", variant="base", epsilon=1e-12, norm_epsilon=1e-5)
CASES = {
    "videomae_base": of_mean("videomae", "base"),
    "videomae_large": of_mean("videomae", "large"),
    "videomaev2_small": of_mean("videomaev2", "small"),
    "videomaev2_base": of_mean("videomaev2", "base"),
    "videomae_hf_base": hugging_face("base"),
    "videomae_hf_pretrain": Case(
        PRETRAINED,
        masked,
        "n k c -> n k c",
        upstream="transformers",
        make=pretraining,
        train={},
        loss=lambda out: out["loss"],
    ),
    "ava_videomae_base": of_boxes("base"),
    "ava_videomae_large": of_boxes("large"),
    "umt_base": of_mean("umt", "base"),
    "umt_large": of_mean("umt", "large"),
}
