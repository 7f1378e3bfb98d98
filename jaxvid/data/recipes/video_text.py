"""Recipe of models of videos and texts: frames of the whole video, and the tokens of the texts."""

import numpy as np

from jaxvid.config.values import Count, Natural
from jaxvid.data.recipes import base
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.text.tokenizer import LENGTH
from jaxvid.data.transforms import sampling, spatial, video
from jaxvid.data.transforms.patches import CutPatches
from jaxvid.data.transforms.text import Tokenize
from jaxvid.data.video.readers import ArrayReader

# Prompts of models that recognize classes by their names, as ActionCLIP published them.
TEMPLATES = (
    "a photo of action {}",
    "a picture of action {}",
    "Human action of {}",
    "{}, an action",
    "{} this is an action",
    "{}, a video of action",
    "Playing action of {}",
    "{}",
    "Playing a kind of action, {}",
    "Doing a kind of action, {}",
    "Look, the human is {}",
    "Can you recognize the action of {}?",
    "Video classification of {}",
    "A video of {}",
    "The man is {}",
    "The woman is {}",
)


def build(
    split: str,
    *,
    frames: Count = 12,
    size: Count = 224,
    short_side: Count = 256,
    test_short_side: Natural = 0,
    length: Count = LENGTH,
    vocabulary: str = "",
    sentence: bool = False,
    templates: tuple[str, ...] = TEMPLATES,
    patches: Natural = 0,
    patch: Count = 16,
) -> list[Transform]:
    """The transforms of one split: crops from the center in all of them, as published.

    Args:
      split: "train" (a frame anywhere in each of `frames` equal parts), else their middles.
      frames: Frames of a video.
      size: Side of the square that the model sees, in pixels.
      short_side: Short side of the video before cropping, in pixels.
      test_short_side: Short side in test, in pixels; 0 uses the value of `short_side`.
      length: Maximum number of tokens of a text.
      vocabulary: File of the vocabulary of texts for SigLIP and VideoPrism: spiece.model,
        tokenizer.model or tokenizer.json of the published repository. It is also looked up in the
        folder of the environment variable JAXVID_WEIGHTS_DIR. "" is the vocabulary of CLIP.
      sentence: With such a vocabulary, write a text as a sentence, without punctuation but with a
        period at its end and no end token, as VideoPrism takes it.
      templates: Prompt templates, in which {} is replaced by the class name (see
        `transforms.text.Tokenize`). Training uses a random template, val uses the first, and test
        uses all.
      patches: Largest number of patches of a frame, for models that take any grid of patches. The
        whole frame is used, with its aspect ratio, instead of a square; 0 turns this off.
      patch: Height and width of these patches, in pixels.
    """
    sampler = sampling.UniformFrames(frames, 1, split == "train", exact=True)
    check_split(split)
    use = {"train": "random", "val": "first", "test": "all"}[split]
    texts = Tokenize(length, templates, use, vocabulary, sentence)
    if patches:
        cut = CutPatches(patch, patches)
        return [texts, video.Open(), sampler, video.Decode(3), cut, video.Pack()]
    steps = base.pipeline(
        split,
        [sampler],
        [spatial.CenterCrop(size)],
        channels=3,
        size=size,
        short_side=short_side,
        repeats=1,
        crops=1,
        test_size=0,
        test_short_side=test_short_side or short_side,
    )
    return [texts, *steps]


def example(num_classes: int = 0, all_texts: bool = False, **_) -> Sample:
    """Return a sample as sources return it, a black video and a text, to infer shapes from.

    With `all_texts`, it has the names of all classes.
    """
    reader = ArrayReader(np.zeros((32, 64, 64, 3), np.uint8), 25.0)
    texts = {"labels": ("a class",) * num_classes} if all_texts else {"captions": ("a video",)}
    return {"reader": reader, **texts}
