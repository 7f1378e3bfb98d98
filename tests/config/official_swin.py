"""Facts of the official repository of Video Swin, which the sheet of recipes has as one table."""

import re

from tests.config import rates
from tests.config.recipe_facts import Facts, plain

# What the text below the table says of all rows.
COMMON: Facts = {
    "train.sampler": ("SampleFrames", 32, 2, 1, False, 0),
    "train.short_side": 256,
    "train.crop": ("RandomResizedCrop", 224, (0.08, 1.0)),
    "train.flip": (0.5,),
    "test.sampler": ("SampleFrames", 32, 2, 4, False, 0),
    "test.short_side": 224,
    "test.crop": ("ThreeCrop", 224),
    "mean": (123.675, 116.28, 103.53),
    "std": (58.395, 57.12, 57.375),
    "optimizer": "adamw",
    "betas": (0.9, 0.999),
    "clip": 0,
    "dropout": 0.5,
    "smoothing": 0.0,
}
# Something-Something is sampled over the whole video, and tested on one clip.
SOMETHING: Facts = {
    "train.sampler": ("UniformSample", 32, 1),
    "train.flip": None,
    "test.sampler": ("UniformSample", 32, 1),
}
GPUS_TIMES_VIDEOS = 64


def read(text: str) -> dict[str, Facts]:
    """Return the facts of each row of the table, by the name of its checkpoint."""
    (section,) = re.findall(r"^## 0b\. .*?(?=^## )", text, flags=re.M | re.S)
    lines = [line for line in section.splitlines() if line.startswith("| swin")]
    return dict(_row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines)


def _row(name, arch, window, drop_path, lr, decay, parts, epochs, views, extras):
    name = name.partition(" ")[0]
    missing = "patch244_window877" + ("" if "kinetics" in name else "_kinetics400")
    epochs, lr = float(epochs), float(lr)
    facts = COMMON | (SOMETHING if "sthv2" in name else {})
    facts |= dict(drop_path=float(re.match(r"[\d.]+", drop_path)[0]), weight_decay=float(decay))  # type: ignore[index]
    facts |= dict(batch=GPUS_TIMES_VIDEOS * int(parts), epochs=epochs)
    if smoothing := re.search(r"label smoothing ([\d.]+)", extras):
        facts["smoothing"] = float(smoothing[1])
    if randaugment := re.search(r"RandAugment\(n=(\d+),m=(\d+)\)", extras):
        facts["train.policy"] = ("RandAugment", *map(int, randaugment.groups()))
    if erasing := re.search(r"RandomErasing ([\d.]+)", extras):
        facts["train.erasing"] = float(erasing[1])
    warmup = dict(type="LinearLR", start_factor=0.1, begin=0, end=2.5, convert_to_iter_based=True)
    cosine = dict(type="CosineAnnealingLR", T_max=epochs)
    curve = rates.curve([warmup, cosine], lr, epochs)
    facts["rates"] = [curve[step] for step in rates.sampled(epochs)]
    return name.replace("…", missing), {key: plain(value) for key, value in facts.items()}
