"""Goldens of networks on heat maps of key points, alone or with videos.

Shapes: n samples, v views, c channels, t frames, h height, w width.
"""

from einops import rearrange

from tests.parity.cases.case import Case, clips, of_clips

QUICK: set[str] = set()


def heatmaps(x):
    return {"heatmap": rearrange(x, "n v c t h w -> (n v) t h w c")}


def of_heatmaps(name, variant, **options):
    return Case(dict(name=name, variant=variant, **options), heatmaps, "n t h w c -> n c t h w")


def both(x):
    return clips(x["imgs"]) | heatmaps(x["heatmap_imgs"])


CASES = {
    "posec3d_gym": of_heatmaps("posec3d", "r50"),
    "posec3d_k400": of_heatmaps("posec3d", "r50", depths=(3, 4, 6)),
    "posec3d_ntu60_keypoint": of_heatmaps("posec3d", "r50"),
    "posec3d_ntu60_limb": of_heatmaps("posec3d", "r50"),
    "rgbpose_conv3d": Case(
        dict(name="rgbposeconv3d", variant="r50"),
        both,
        lambda out: tuple(rearrange(x, "n t h w c -> n c t h w") for x in out),
        outputs=lambda out: dict(zip(("rgb", "pose"), out, strict=True)),
    ),
    "rgbpose_rgb_only": of_clips("slowonly", "r50"),
    "rgbpose_pose_only": of_heatmaps("posec3d", "r50", time_strides=(1, 1, 1)),
}
