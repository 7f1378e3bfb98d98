"""Goldens of 2-D and 3-D convolutional networks, for videos, images and sounds."""

from dataclasses import replace

from einops import rearrange

from tests.parity.cases.case import Case, clips, of_clips, of_frames, segments

QUICK = {"tsm_r50_nl_gaussian"}


def spectrograms(x):
    return {"audio": rearrange(x, "n v c t f -> (n v) t f c")}


def on_backbone(name, backbone, head=None, **about):
    """A 2-D recognizer on the backbone of another family."""
    spec = dict(name=name, backbone=backbone, **(head or {}))
    return Case(spec, segments, "n t h w c -> (n t) c h w", **about)


def images(x):
    return {"image": rearrange(x, "n c h w -> n h w c")}


def of_omni(inputs, features):
    """Both heads have parameters, whatever the golden's input is."""
    spec = dict(name="omnisource", variant="r50", image_classes=1000)
    return Case(spec, inputs, features, classes=400)


def of_spectrograms(name, variant):
    """A recognizer of sounds."""
    return Case(dict(name=name, variant=variant), spectrograms, "n t f c -> n c t f")


def of_pyramid(family, inputs, features):
    """A recognizer with a pyramid of the last two stages, and an auxiliary classifier."""
    spec = dict(name="tpn", backbone=dict(name=family, variant="r50"))
    return Case(spec, inputs, features, outputs=lambda out: out[0])


TPN_TSM = of_pyramid("tsm", segments, "n t h w c -> (n t) c h w")
TPN_SLOWONLY = of_pyramid("slowonly", clips, "n t h w c -> n c t h w")
SCALED = dict(non_local="embedded_gaussian", non_local_scale=True)
RESNEXT = dict(name="resnext", variant="r101-32x4d")
DENSENET = dict(name="densenet", variant="161", relu=False)
SWIN = dict(name="swin2d", variant="base")
MOBILENET = dict(name="mobilenetv2", variant="w100")
MOBILEONE = dict(name="mobileone", variant="s4")
DEPLOYED = dict(MOBILEONE, deploy=True)
CASES = {
    "tsn_r50": of_frames("tsn", "r50"),
    "tsn_r101": of_frames("tsn", "r101"),
    "tsn_r50_flow": of_frames("tsn", "r50"),
    "tsn_r50_sthv2": of_frames("tsn", "r50"),
    "tsn_r18_audio": of_spectrograms("tsn", "r18-audio"),
    "audioonly_r50": of_spectrograms("audioonly", "r50"),
    "tsm_r50": of_frames("tsm", "r50"),
    "tsm_r50_1x1x16": of_frames("tsm", "r50"),
    "tsm_r50_nl_dot_product": of_frames("tsm", "r50", non_local="dot_product"),
    "tsm_r50_nl_embedded_gaussian": of_frames("tsm", "r50", non_local="embedded_gaussian"),
    "tsm_r50_nl_gaussian": of_frames("tsm", "r50", non_local="gaussian"),
    "tsm_r50_temporal_pool": of_frames("tsm", "r50", pool_time=(3, 2, 1)),
    "tsm_r101_sthv2": of_frames("tsm", "r101"),
    "tsn_rn101_32x4d": on_backbone("tsn", RESNEXT, in_tuple=True),
    "tsn_dense161": on_backbone("tsn", DENSENET),
    "tsn_swin": on_backbone("tsn", SWIN),
    "tsn_mobileone_s4": on_backbone("tsn", MOBILEONE, in_tuple=True, double=True),
    "tsn_mobileone_s4_deploy": on_backbone("tsn", DEPLOYED, in_tuple=True),
    "tsm_mobilenetv2": on_backbone("tsm", MOBILENET),
    "tsm_mobileone_s4": on_backbone("tsm", MOBILEONE, dict(span=8), double=True),
    "tsm_mobileone_s4_deploy": on_backbone("tsm", DEPLOYED, dict(span=8)),
    "c2d_r50": of_clips("c2d", "r50"),
    "c2d_r50_16x4": of_clips("c2d", "r50"),
    "c2d_r50_nopool": of_frames("c2d", "r50", pool=False),
    "c2d_r101_nopool": of_frames("c2d", "r101", pool=False),
    "c3d": replace(of_clips("c3d", "base"), features="n t h w c -> n (t h w c)"),
    "i3d_r50": of_clips("i3d", "r50"),
    "i3d_r50_heavy": of_clips("i3d", "r50", heavy=True),
    "i3d_r50_nl_dot_product": of_clips("i3d", "r50", non_local="dot_product"),
    "i3d_r50_nl_embedded_gaussian": of_clips("i3d", "r50", non_local="embedded_gaussian"),
    "i3d_r50_nl_gaussian": of_clips("i3d", "r50", non_local="gaussian"),
    "r2plus1d_r34": of_clips("r2plus1d", "r34"),
    "ipcsn_r152": of_clips("csn", "ip152"),
    "ircsn_r152": of_clips("csn", "ir152"),
    "ircsn_r152_bnfrozen": of_clips("csn", "ir152", bn_frozen=True),
    "ircsn_r50": of_clips("csn", "ir50"),
    "slowonly_r50_4x16": of_clips("slowonly", "r50"),
    "slowonly_r50_8x8": of_clips("slowonly", "r50"),
    "slowonly_r50_in1k_8x8": of_clips("slowonly", "r50"),
    "slowonly_r50_flow": of_clips("slowonly", "r50"),
    "slowonly_r50_nl_4x16": of_clips("slowonly", "r50", **SCALED),
    "slowonly_r50_nl_8x8": of_clips("slowonly", "r50", **SCALED),
    "slowonly_r101_8x8": of_clips("slowonly", "r101"),
    "slowfast_r50_4x16": of_clips("slowfast", "r50"),
    "slowfast_r50_8x8": of_clips("slowfast", "r50", alpha=4, fusion=7),
    "slowfast_r101_8x8": of_clips("slowfast", "r101", alpha=4, fusion=7),
    "slowfast_r101_r50_4x16": of_clips("slowfast", "r101-r50"),
    "tanet_r50": of_frames("tanet", "r50"),
    "tanet_r50_16f": of_frames("tanet", "r50", frames=16),
    "tin_r50": of_frames("tin", "r50"),
    "tin_tsm_r50": of_frames("tin", "r50"),
    "trn_r50": of_frames("trn", "r50"),
    "tpn_tsm_r50": TPN_TSM,
    "tpn_tsm_r50_fcn_test": TPN_TSM,
    "tpn_slowonly_r50": TPN_SLOWONLY,
    "tpn_slowonly_r50_fcn_test": TPN_SLOWONLY,
    "x3d_s": of_clips("x3d", "s"),
    "x3d_m": of_clips("x3d", "m"),
    "omnisource_slowonly_r50_video": of_omni(lambda x: clips(x[:, None]), "n t h w c -> n c t h w"),
    "omnisource_slowonly_r50_image": of_omni(images, "n h w c -> n c h w"),
}
