"""The smallest data and config of each task: what a run of one step takes."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from configs import (
    audio_own,
    base,
    bmn_own,
    clip4clip_msrvtt,
    datasets,
    fast_rcnn_own,
    xclip_own,
)
from jaxvid import plug
from jaxvid.data.synthetic import untrimmed
from jaxvid.data.video.encode import write_video
from tests.data import people, sounds

COLORS = {"blue": (30, 30, 220), "green": (30, 200, 30), "red": (220, 30, 30)}
FRAMES = 8
Make = Callable[[Path], Any]


def colored(root: Path, name: str, color: str) -> str:
    """Write videos/NAME.mp4, of one color and with a bar that moves; returns its name."""
    (root / "videos").mkdir(exist_ok=True)
    frames = np.full((FRAMES, 48, 64, 3), COLORS[color], np.uint8)
    for k, frame in enumerate(frames):
        frame[:, 6 * k : 6 * k + 6] = 255
    write_video(root / "videos" / f"{name}.mp4", frames, 8.0)
    return f"videos/{name}.mp4"


def small(config: Any) -> Any:
    """Eight samples a step, which is all of an epoch, and no workers."""
    config.update(dict(dtype="float32", batch=8, epochs=1.0, eval_every=1.0, log_every=1))
    config.loader.workers = 0
    return config


def clips(root: Path, lines: Callable[[str, int], str], task: str = "recognition") -> Any:
    """The config of a recognizer of videos on two lists of `lines(color, number)`."""
    c = small(base.config())
    for split, count in (("train", 8), ("val", 4)):
        listed = []
        for k in range(count):
            color = list(COLORS)[k % 3]
            path = colored(root, f"{split}_{k}", color)
            listed.append(f"{path} {lines(color, k)}\n")
        (root / f"{split}.txt").write_text("".join(listed))
    multi = {"multi_label": True} if task == "multi_label" else {}
    c.model = dict(name="swin", variant="test", drop_path=0.0)
    c.task = plug.spec("tasks", task)
    splits = {s: dict(name="video_list", file=f"{s}.txt", **multi) for s in ("train", "val")}
    c.data = dict(root=str(root), num_classes=None, names="", checks=datasets.CHECKS, **splits)
    c.data.recipe = plug.spec("data.recipes", "clip", frames=4, stride=1, size=32, short_side=32)
    c.optim = dict(name="adamw", lr=1e-3, weight_decay=0.0, clip=1.0)
    c.schedule = dict(name="cosine")
    return c


def recognition(root: Path) -> Any:
    return clips(root, lambda color, k: color)


def audio(root: Path) -> Any:
    """Low and high tones; one of them with a video."""
    for split, count in (("train", 8), ("val", 4)):
        for k in range(count):
            name, hz = ("low", 300) if k % 2 else ("high", 2000)
            (root / split / name).mkdir(parents=True, exist_ok=True)
            sounds.write_pcm(root / split / name / f"{k}.wav", sounds.sine(0.5, hz + 10 * k))
    (root / "videos").mkdir()
    sounds.video_with_sound(root / "videos" / "val_0.mp4", sounds.sine(1.0), codec="aac")
    c = small(audio_own.get_config("mini"))
    c.model.variant = "test-audio"
    c.data.root = str(root)
    return c


def text_classes(root: Path) -> Any:
    """Colours by their names."""
    clips(root, lambda colour, k: colour)
    for split in ("train", "val"):
        lines = (root / f"{split}.txt").read_text().splitlines()
        rows = ["path,label", *(line.replace(" ", ",") for line in lines)]
        (root / f"{split}.txt").unlink()
        (root / f"{split}.csv").write_text("\n".join(rows))
    c = small(xclip_own.get_config("mini"))
    c.data.root = str(root)
    c.data.recipe.update(dict(frames=2, length=16))
    return c


def masked(root: Path) -> Any:
    """Clips whose labels are not used."""
    c = clips(root, lambda color, k: color)
    shape = dict(width=16, depth=2, heads=2, frames=4, size=32, patch=(2, 8, 8))
    c.model = dict(name="videomae_pretrain", variant="test", **shape)
    c.task = plug.spec("tasks", "masked", patch=(2, 8, 8), ratio=0.75)
    c.best = ""
    return c


def multi_label(root: Path) -> Any:
    c = clips(root, lambda color, k: color + " bright" * (k % 2), "multi_label")
    c.best = "val/map"
    return c


def person(rng: np.random.Generator) -> np.ndarray:
    """Joints (frames, 17, 2) in pixels of 120 x 160, of somebody who walks from left to right."""
    heights = [20, 17, 17, 20, 20, 34, 34, 50, 50, 64, 64, 62, 62, 82, 82, 102, 102]
    sides = [0, 3, -3, 6, -6, 12, -12, 16, -16, 18, -18, 8, -8, 9, -9, 10, -10]
    still = np.stack([np.array(sides) + 40, np.array(heights)], 1).astype(float)
    moving = still + np.array([6.0, 0]) * np.arange(12)[:, None, None]
    return moving + rng.normal(0, 0.5, moving.shape)


def skeleton(root: Path) -> Any:
    rng, annotations, split = np.random.default_rng(0), [], {"train": [], "val": []}
    for k in range(12):
        name = f"walk_{k}"
        split["train" if k < 8 else "val"].append(name)
        points = (
            person(rng)[None] if k % 2 else np.stack([person(rng), person(rng) + np.array([40, 8])])
        )
        annotations.append(
            dict(
                frame_dir=name,
                label=k % 2,
                total_frames=12,
                img_shape=(120, 160),
                keypoint=points.astype(np.float32),
                keypoint_score=np.ones(points.shape[:3], np.float32),
            )
        )
    (root / "poses.pkl").write_bytes(pickle.dumps({"split": split, "annotations": annotations}))
    alone = annotations[-1]
    np.savez(root / "alone.npz", **{k: v for k, v in alone.items() if k != "frame_dir"})
    (root / "names.txt").write_text("pair\nwalk\n")
    colored(root, "val_0", "red")
    c = small(base.config())
    c.model = dict(name="stgcn", variant="test", dropout=0.0)
    c.task = plug.spec("tasks", "recognition", keys=("keypoint",))
    splits = {s: dict(name="skeleton", file="poses.pkl") for s in ("train", "val")}
    c.data = dict(root=str(root), num_classes=None, names="names.txt", checks=datasets.CHECKS)
    c.data.update(splits)
    c.data.recipe = plug.spec("data.recipes", "skeleton", frames=8, clips=2)
    c.optim = dict(name="adamw", lr=1e-3, weight_decay=0.0, clip=1.0)
    c.schedule = dict(name="cosine")
    return c


def localization(root: Path) -> Any:
    """Its features are still to be made."""
    untrimmed.generate(root / "set", train=8, val=2)
    c = small(bmn_own.get_config("mini"))
    c.model = dict(name="bmn", variant="test", channels=16, samples=4)
    c.data.root, c.data.recipe.frames = str(root / "set"), 8
    return c


def detection(root: Path) -> Any:
    people.make(root, "train", 4)
    people.make(root, "val", 2)
    (root / "names.txt").write_text("\n".join(people.CLASSES))
    c = small(fast_rcnn_own.get_config("mini"))
    c.model.backbone.width = 8
    c.data.root, c.data.names = str(root), "names.txt"
    c.data.update({s: dict(people.split(s)) for s in ("train", "val")})
    c.data.recipe.update(dict(boxes=6, canvas=people.SIZE))
    return c


def retrieval(root: Path) -> Any:
    for split, count in (("train", 8), ("val", 4)):
        captions = {}
        for k in range(count):
            color = list(COLORS)[k % 3]
            name = Path(colored(root, f"{split}_{k}", color)).name
            captions[name] = [f"everything is {color} but a white bar, which moves to the right"]
        (root / f"{split}.json").write_text(json.dumps(captions))
    c = small(clip4clip_msrvtt.get_config())
    c.model.variant = "mini"
    c.data.root, c.data.train.file, c.data.val.file = str(root), "train.json", "val.json"
    recipe = dict(frames=2, size=32, short_side=32, length=16, templates=("a {} video",))
    c.data.recipe.update(recipe)
    c.optim.freeze = ()
    return c


TASKS: dict[str, Make] = {
    "recognition": recognition,
    "audio": audio,
    "text_classes": text_classes,
    "masked": masked,
    "multi_label": multi_label,
    "skeleton": skeleton,
    "localization": localization,
    "detection": detection,
    "retrieval": retrieval,
}
