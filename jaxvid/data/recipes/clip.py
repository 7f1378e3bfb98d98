"""The standard pipelines for clip recognition: sample, decode, resize, crop."""

from jaxvid.data.sample import Transform
from jaxvid.data.transforms import sampling, spatial, video
from jaxvid.data.transforms.randaugment import RandAugment
from jaxvid.errors import UserError


def build(
    split: str,
    *,
    frames: int,
    stride: int,
    size: int = 224,
    short_side: int = 256,
    area: tuple[float, float] = (0.08, 1.0),
    randaugment: tuple[int, float] = (0, 0.0),
    uniform: bool = False,
    clips: int = 1,
    crops: int = 1,
    test_short_side: int = 0,
    order: str = "forward",
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (random clip, random resized crop), "val" (one clip, centre crop) or "test"
        (`clips` x `crops` views).
      frames: frames in a clip.
      stride: source frames from one to the next.
      size: side of the square that the model sees, in pixels.
      short_side: the video's short side before cropping.
      area: range of the training crop's share of the frame.
      randaugment: (operations, magnitude); no operations is off.
      uniform: spread the frames over the whole video instead (Something-Something).
      clips, crops: views in test; crops is 1 (centre) or 3 (along the long side).
      test_short_side: short side in test; 0: `size`, as most published recipes have it.
      order: of the frames, see `sampling.Reorder`; a control in evaluation.
    """
    train = split == "train"
    if split not in ("train", "val", "test"):
        raise UserError(f'a split is train, val or test, not "{split}"')
    if crops not in (1, 3):
        raise UserError(f"config.data.recipe.crops is 1 or 3, not {crops}")
    if uniform:
        sampler = sampling.UniformFrames(frames, train)
    else:
        sampler = sampling.SampleClips(frames, stride, clips if split == "test" else 1, train)
    steps: list[Transform] = [video.Open(), sampler]
    if order != "forward":
        steps.append(sampling.Reorder(order))
    steps.append(video.Decode())
    if train:
        steps += [spatial.ResizeShort(short_side), spatial.RandomResizedCrop(size, area)]
        if randaugment[0]:
            steps.append(RandAugment(*randaugment))
    elif split == "val":
        steps += [spatial.ResizeShort(short_side), spatial.CenterCrop(size)]
    else:
        crop = spatial.ThreeCrops(size) if crops == 3 else spatial.CenterCrop(size)
        steps += [spatial.ResizeShort(test_short_side or size), crop]
    return [*steps, video.Pack()]
