"""Goldens of detectors and pose estimators.

Shapes: n samples, c channels, h height, w width, k joints.
"""

from einops import rearrange

from tests.parity.cases.case import Case


def image(x):
    return {"image": rearrange(x, "n c h w -> n h w c")}


def boxes(out):
    maps = [rearrange(x, "n h w c -> n c h w") for x in out]
    names = [f"{kind}_{level}" for kind in ("cls", "reg") for level in range(3)]
    return dict(zip(names, maps, strict=True))


def last(maps):
    return [rearrange(maps[-1], "n h w c -> n c h w")]


def bins(out):
    x, y = (rearrange(score, "n w k -> n k w") for score in out)
    return {"simcc_x": x, "simcc_y": y}


CASES = {
    "gesture_rtmdet_nano_hand": Case(
        dict(name="rtmdet", variant="nano"), image, "n h w c -> n c h w", outputs=boxes, classes=1
    ),
    "gesture_rtmpose_m_hand": Case(
        dict(name="rtmpose", variant="m", size=(256, 256)),
        image,
        last,
        outputs=bins,
        classes=21,
    ),
}
