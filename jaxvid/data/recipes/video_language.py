"""Recipe of VindLU: frames of the whole video, resized to a square, and the tokens of its texts."""

from typing import Literal

import numpy as np

from jaxvid.config.values import Count, Natural, Probability, ShareRange
from jaxvid.data.recipes.video_text import TEMPLATES
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import sampling, spatial, video
from jaxvid.data.transforms.questions import TokenizeQuestions
from jaxvid.data.transforms.text import Tokenize
from jaxvid.data.video.readers import ArrayReader

VOCABULARY = "bert-base-uncased-vocab.txt"


def build(
    split: str,
    *,
    frames: Count = 12,
    size: Count = 224,
    area: ShareRange = (0.5, 1.0),
    interpolation: Literal["bicubic", "bilinear"] = "bicubic",
    flip: Probability = 0.5,
    length: Count = 32,
    answer_length: Natural = 0,
    vocabulary: str = VOCABULARY,
    templates: tuple[str, ...] = TEMPLATES,
) -> list[Transform]:
    """The transforms of one split. In val and test, the whole frame is resized, as published.

    Args:
      split: "train" (a random frame of each of `frames` equal parts, random crop and flip), else
        their middles.
      frames: Frames of a video.
      size: Side of the square that the model sees, in pixels.
      area: Smallest and largest share of the frame that a crop covers in training.
      interpolation: How frames are resized.
      flip: Probability of mirroring a video in training.
      length: Maximum number of tokens of a caption or a question.
      answer_length: Maximum number of tokens of an answer; 0 for samples without questions.
      vocabulary: Vocabulary file of BERT, one piece per line. It is also looked up in the folder of
        the environment variable JAXVID_WEIGHTS_DIR.
      templates: Prompt templates of labels (see `transforms.text.Tokenize`).
    """
    check_split(split)
    train = split == "train"
    if answer_length:
        texts: Transform = TokenizeQuestions(vocabulary, length, answer_length, not train)
    else:
        use = {"train": "random", "val": "first", "test": "all"}[split]
        texts = Tokenize(length, templates, use, vocabulary)
    pixels: list[Transform] = [spatial.Resize((size, size), interpolation=interpolation)]
    if train:
        crop = spatial.RandomResizedCrop(size, area, interpolation=interpolation)
        pixels = [crop, spatial.Flip(flip)]
    return [
        texts,
        video.Open(),
        sampling.SampleClips(1, 1, frames, train),
        sampling.JoinClips(frames),
        video.Decode(3),
        *pixels,
        video.Pack(),
    ]


def example(answer_length: int = 0, **_) -> Sample:
    """Return a sample as sources return it, a black video and its text, to infer shapes from."""
    reader = ArrayReader(np.zeros((32, 64, 64, 3), np.uint8), 25.0)
    if not answer_length:
        return {"reader": reader, "captions": ("a video",)}
    texts = dict(question="what is this", answers=("a video",), candidates=("a video", "a song"))
    return {"reader": reader, "answer_weight": np.ones(1, np.float32), **texts}
