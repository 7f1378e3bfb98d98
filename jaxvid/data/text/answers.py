"""Comparison of answers to questions, as in the evaluation of VQA (Antol et al., 2015).

https://arxiv.org/abs/1505.00468
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

ARTICLES = {"a", "an", "the"}
NUMBERS = {
    word: str(i)
    for i, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}
MARKS = ';/[]"{}()=+\\_-><@`,?!'
BETWEEN_DIGITS = re.compile(r"(\d)(,)(\d)")
PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")
PERIODS = 32  # the published code removes no more of them from one answer
FULL = 0.3  # share of the annotators whose answer is entirely right
# The published evaluation restores an apostrophe that is missing in one of these words.
FULL_FORMS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't
mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've
should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
someone'll someone's something'd something'd've something'll that's there'd there'd've
there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't
what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's
who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd
you'd've you'll you're you've
"""
CONTRACTIONS = {
    word[:i] + word[i + 1 :]: word
    for word in FULL_FORMS.split()
    for i, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}


def normalized(answer: str) -> str:
    """Return an answer in the form that is compared: lower case, digits, no articles."""
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    digits = BETWEEN_DIGITS.search(text) is not None
    found = text
    for mark in MARKS:
        separate = f"{mark} " in text or f" {mark}" in text or digits
        found = found.replace(mark, "" if separate else " ")
    found = PERIOD.sub("", found, count=PERIODS)
    words = (NUMBERS.get(word, word) for word in found.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def credits(
    answers: Mapping[str, float], candidates: Sequence[str], forms: Sequence[str] = ()
) -> np.ndarray:
    """Return the credit of each candidate as the answer to a question, float32 (candidates,).

    Args:
      answers: the right answers, each with the share of the annotators that gave it.
      candidates: the answers that a model chooses from.
      forms: `normalized` of each candidate, if it is known.
    """
    shares: dict[str, float] = {}
    for answer, share in answers.items():
        form = normalized(answer)
        shares[form] = shares.get(form, 0.0) + share
    forms = forms or [normalized(candidate) for candidate in candidates]
    return np.array([min(1.0, shares.get(form, 0.0) / FULL) for form in forms], np.float32)
