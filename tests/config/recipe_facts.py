"""Facts of recipes by name, of a published config and of one of ours.

A fact is absent where the recipe has no such thing. Both sides use the names and values of the
published configs: `("ThreeCrop", 256)`, probabilities, pixels 0..255, lengths in epochs.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxvid import plug
from jaxvid.config import options
from jaxvid.data.transforms import (
    audio,
    color,
    heatmap,
    policies,
    pose,
    repeat,
    sampling,
    skeleton,
    spatial,
)
from jaxvid.train import optim
from jaxvid.weights import zoo
from tests.config import rates, relation_facts
from tests.config.sheet import Record

Facts = dict[str, Any]

SPLITS = ("train", "val", "test")
# Names of data sets in names of published configs, and in our folders and lists.
DATASETS = re.compile(
    r"kinetics\d+|ava[-_]kinetics|sthv[12]|ucf101|hmdb51|ava2[12]|multisports|ntu\d+|activitynet|msrvtt|jester"
    r"|gym(?=-|_2d)|(?<![a-z])mit(?=v1|[/ ])|(?<=[Cc])harades_sta"
)
AVA = re.compile(r"ava_train_v2\.(\d)")
NORM = "backbone/layer2_0/conv2/bn/scale"  # if it is frozen, so are its running statistics
# What torchvision's names stood for when the recipes were written.
TORCHVISION = {"resnet50": "resnet50-0676ba61.pth", "resnet101": "resnet101-63fe2227.pth"}
MMPRETRAIN = {"mmcls://mobilenet_v2": "mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth"}
# Files of CLIP's vision transformers that UniFormerV2 starts from.
CLIP = {"ViT-B/16": "vit-base-p16-res224_clip-rgb_20221219-b8a5da86.pth"}
# Defaults of upstream's heads, where a config does not give them.
DROPOUT = {"GCNHead": 0.0, "TimeSformerHead": 0.0}
INIT_STD = {"MViTHead": 0.02, "TSMHead": 0.001, "TRNHead": 0.001, "TimeSformerHead": 0.02}
INIT_STD |= {"UniFormerHead": 0.02}


def published(name: str, record: Record) -> Facts:
    """Return the facts of a record of the sheet."""
    facts: Facts = {}
    for split in SPLITS:
        if split in record:
            # The first of two steps of a type: a last `Resize` makes the crop a square.
            pipeline = record[split].get("pipeline", ())
            steps = {step["type"]: step for step in reversed(pipeline)}
            square = [step["scale"][0] for step in pipeline if step["type"] == "Resize"]
            steps |= {"square": {"size": square[-1]}} if square else {}
            facts |= {f"{split}.{key}": value for key, value in _steps(steps, split).items()}
            names = [step["type"] for step in pipeline]
            if "PytorchVideoWrapper" in names:
                places = map(names.index, ("PytorchVideoWrapper", "RandomResizedCrop"))
                facts[f"{split}.policy_first"] = next(places) < next(places)
    facts |= _model(record["model"])
    weights = _weights(record)
    facts |= {"weights": weights} if weights else {}
    spelled = re.sub(r"kinetics-(?=\d)|(?<=_)k(?=\d+-)", "kinetics", name)
    found = DATASETS.findall(spelled) or DATASETS.findall(str(record["train"]))
    facts["dataset"] = found[-1].replace("-", "_")
    if "train" in record:
        facts["flow"] = record["train"]["dataset"].get("modality") == "Flow"
        facts |= _training(name, record)
    return {key: plain(value) for key, value in facts.items()}


def _steps(steps: Mapping[str, Record], split: str) -> Facts:
    """Return the facts of one pipeline."""
    facts: Facts = {}
    given = steps.get
    if step := given("SampleFrames"):
        facts["sampler"] = (
            "SampleFrames",
            *(step["clip_len"], step["frame_interval"], step["num_clips"]),
            *(step.get("twice_sample", False), step.get("target_fps", 0)),
        )
    if step := given("DenseSampleFrames"):
        clip = step["clip_len"], step["frame_interval"], step["num_clips"]
        windows = 1 if split == "train" else step.get("num_sample_positions", 10)
        facts["sampler"] = ("DenseSampleFrames", *clip, step.get("sample_range", 64), windows)
    if step := given("UniformSample"):
        facts["sampler"] = ("UniformSample", step["clip_len"], step.get("num_clips", 1))
    if step := given("UniformSampleFrames"):
        facts["sampler"] = ("UniformSampleFrames", step["clip_len"], step.get("num_clips", 1))
    if step := given("MMUniformSampleFrames"):
        frames = [*step["clip_len"].values()]
        frames = frames if len(frames) > 1 else frames[0]
        facts["sampler"] = ("UniformSampleFrames", frames, step["num_clips"])
    if step := given("SampleAVAFrames"):
        facts["sampler"] = ("SampleAVAFrames", step["clip_len"], step["frame_interval"])
    if (step := given("Resize")) and step["scale"][0] == -1:
        facts["short_side"] = step["scale"][1]
    if step := given("RandomRescale"):
        facts["short_side"] = step["scale_range"]
    if step := given("RandomResizedCrop"):
        area = step.get("area_range", (0.08, 1.0))
        facts["crop"] = ("RandomResizedCrop", steps["square"]["size"], area)
    if step := given("MultiScaleCrop"):
        positions = 0 if step["random_crop"] else step.get("num_fixed_crops", 5)
        gap = step["max_wh_scale_gap"]
        facts["crop"] = ("MultiScaleCrop", step["input_size"], step["scales"], gap, positions)
    if step := given("RandomCrop"):
        facts["crop"] = ("RandomCrop", step["size"])
    for kind in ("CenterCrop", "ThreeCrop", "TenCrop"):
        if step := given(kind):
            facts["crop"] = (kind, step["crop_size"])
    if step := given("Flip"):
        pairs = sorted((int(a), b) for a, b in step.get("flip_label_map", {}).items() if int(a) < b)
        facts["flip"] = (step["flip_ratio"], *pairs)
    if step := given("ColorJitter"):
        names = "brightness", "contrast", "saturation", "hue"
        strengths = zip(names, (0.5, 0.5, 0.5, 0.1), strict=True)
        facts["color"] = ("ColorJitter", *(step.get(*strength) for strength in strengths))
    if (step := given("PytorchVideoWrapper")) and step["op"] == "RandAugment":
        facts["policy"] = ("NoisyRandAugment", step.get("num_layers", 2), step["magnitude"])
    if step := given("RandomErasing"):
        facts["erasing"] = step["erase_prob"]
    if step := given("GenSkeFeat"):
        facts["streams"] = (step["dataset"], step["feats"])
    if step := given("AudioFeatureSelector"):
        facts["rows"] = step.get("fixed_length", 128)
    if step := given("GeneratePoseTarget"):
        drawn = step.get("sigma", 0.6), step.get("with_limb", False), step.get("scaling", 1)
        facts["heatmap"] = (*drawn, step.get("double", False))
    if step := given("FormatGCNInput"):
        facts["people"] = step["num_person"]
    return facts


def _model(model: Record) -> Facts:
    facts: Facts = {}
    normalize = model.get("data_preprocessor")
    if isinstance(normalize, dict):
        normalize = normalize.get("preprocessors", {}).get("imgs", normalize)
        facts |= {key: _channels(normalize[key]) for key in ("mean", "std") if key in normalize}
        if blending := normalize.get("blending"):
            alphas = {blend["type"]: blend["alpha"] for blend in blending["augments"]}
            facts["blending"] = [alphas[f"{name}Blending"] for name in ("Mixup", "Cutmix")]
    backbone = model.get("backbone")
    backbone = backbone if isinstance(backbone, dict) else {}
    keys = "norm_eval", "bn_frozen", "partial_bn"
    facts["frozen_norm"] = any(backbone.get(key, False) for key in keys)
    facts["drop_path"] = backbone.get("drop_path_rate", 0.0)
    if head := model.get("cls_head"):
        facts["classes"] = head.get("num_classes") or head.get("video_classes")
        facts["dropout"] = head.get("dropout_ratio", DROPOUT.get(head["type"], 0.5))
        spread = head.get("init_std", INIT_STD.get(head["type"], 0.01))
        facts["init_std"] = spread * head.get("init_scale", 1)
        facts["smoothing"] = head.get("label_smooth_eps", 0.0)
        # A TSNHead averages the features of all views, which is the mean of their scores.
        facts["average"] = (
            "score" if head["type"] == "TSNHead" else head.get("average_clips", "prob")
        )
    if neck := model.get("neck"):
        facts["auxiliary"] = neck["aux_head_cfg"]["loss_weight"]
    if head := model.get("roi_head", {}).get("bbox_head"):
        classes = head["num_classes"] - head["background_class"]
        facts |= dict(classes=classes, dropout=head["dropout_ratio"])
        facts["multi_label"] = head["multilabel"]
        facts["background"] = head["background_class"]
        facts["focal"] = (head.get("focal_alpha", 1), head.get("focal_gamma", 0))
        facts["mlp"] = head.get("mlp_head", False)
        extractor = model["roi_head"]["bbox_roi_extractor"]
        facts["pool"] = extractor.get("temporal_pool_mode", "avg")
        facts["context"] = extractor.get("with_global", False)
        facts |= relation_facts.published(model["roi_head"].get("shared_head", {}))
        sampler = model["train_cfg"]["rcnn"]
        facts["rois"] = sampler["sampler"]["num"]
        facts["match"] = sampler["assigner"]["pos_iou_thr"]
    return facts


def _weights(record: Record) -> str:
    """Return the file name of the weights that a published run starts from."""
    model = record["model"]
    backbone = model.get("backbone", {})
    where = (
        record.get("load_from")
        or model.get("init_cfg", {}).get("checkpoint")
        or (isinstance(backbone, dict) and backbone.get("pretrained"))
        or (isinstance(backbone, dict) and backbone.get("init_cfg", {}).get("checkpoint"))
    )
    if not isinstance(where, str):
        return str(where or "")
    short = where.removeprefix("torchvision://")
    known = TORCHVISION | MMPRETRAIN | CLIP
    return known.get(short) or short.rpartition("/")[2]


def batch(name: str, record: Record) -> int:
    """Return the total batch of a published run; the learning rate is for it.

    The batch on a GPU in the name of a config is not always that in the config. `auto_scale_lr` is
    right then.
    """
    devices = re.search(r"(\d+)xb\d+", name)
    total = (int(devices[1]) if devices else 8) * record["train"]["batch_size"]
    return record.get("auto_scale_lr", {}).get("base_batch_size", total)


def _training(name: str, record: Record) -> Facts:
    wrapper = record["optim_wrapper"]
    optimizer = wrapper["optimizer"]
    repeats = record["train"]["dataset"].get("times", 1)
    loop = record["train_cfg"]
    facts: Facts = dict(batch=batch(name, record), epochs=loop["max_epochs"] * repeats)
    facts["eval_every"] = loop["val_interval"] * repeats
    facts["optimizer"] = optimizer["type"].lower()
    facts["weight_decay"] = optimizer.get("weight_decay", 0)
    facts["clip"] = wrapper.get("clip_grad", {}).get("max_norm", 0)
    if facts["optimizer"] == "sgd":
        facts |= dict(momentum=optimizer["momentum"], nesterov=optimizer.get("nesterov", False))
    else:
        facts["betas"] = optimizer.get("betas", (0.9, 0.999))
    per_epoch = rates.PER_EPOCH * repeats
    schedulers = record.get("param_scheduler") or []
    curve = rates.curve(schedulers, optimizer["lr"], loop["max_epochs"], per_epoch)
    facts["rates"] = [curve[step] for step in rates.sampled(facts["epochs"])]
    return facts


def configured(config) -> Facts:
    """Return the facts of a config of ours."""
    given = options.completed(config.to_dict())
    model, task, recipe = given["model"], given["task"], given["data"]["recipe"]
    facts: Facts = {}
    for split in SPLITS:
        steps = plug.load("data.recipes", recipe, split=split)
        for step in steps:
            facts |= {f"{split}.{key}": value for key, value in _transform(step, split).items()}
        clips = [step for step in steps if isinstance(step, pose.UniformClips)]
        if len(clips) == 2:  # of the video and of the pose
            frames = [step.frames for step in clips]
            facts[f"{split}.sampler"] = ("UniformSampleFrames", frames, clips[0].clips)
    if recipe["name"] == "heatmap" and not recipe["drawn"]:  # the device draws
        drawing = task["heatmap"]
        assert drawing["size"] == recipe["size"] and facts.pop("train.people")
        facts["train.heatmap"] = (drawing["sigma"], bool(drawing["limbs"]), 1, False)
    if recipe.get("policy"):
        facts["train.policy_first"] = recipe["policy_first"]
    augment = task.get("augment", {})
    if augment.get("flip"):
        pairs = sorted(map(tuple, augment["flip_labels"]))
        facts["train.flip"] = (augment["flip"], *pairs)
    facts["flow"] = augment.get("flow", False)
    facts |= {"train.erasing": augment["erasing"]} if augment.get("erasing") else {}
    blended = [augment.get(key, 0.0) for key in ("mixup", "cutmix")]
    facts |= {"blending": blended} if any(blended) else {}
    if augment.get("color"):
        facts["train.color"] = ("ColorJitter", *augment["color"])
    backbone = model.get("backbone", model)
    frozen = [p for p in config.optim.get("freeze", ()) if re.fullmatch(p, NORM)]
    facts["frozen_norm"] = backbone.get("bn_frozen", False) or bool(frozen)
    facts["drop_path"] = backbone.get("drop_path", 0.0)
    data = given["data"]
    text = " ".join(map(str, (data["root"], data["names"], data["train"])))
    text = text.replace("k400_2d", "kinetics400")
    facts["dataset"] = DATASETS.findall(AVA.sub(r"ava2\1", text.lower()))[0]
    classes = data["num_classes"] or 1
    if task["name"] in ("recognition", "omnisource", "rgbpose", "detection"):
        facts["classes"] = classes
    facts |= {"dropout": model["dropout"]} if "dropout" in model else {}
    for key in ("smoothing", "average", "multi_label", "focal", "rois", "match"):
        facts |= {key: task[key]} if key in task else {}
    if "video" in task.get("keys", ("video",)) and "mean" in task:
        facts |= {key: _channels(task[key]) for key in ("mean", "std")}
    net = plug.load("models", model, num_classes=classes)
    if task["name"] == "detection":
        head = net.head
        facts |= {key: getattr(head, key) for key in ("background", "mlp", "pool", "context")}
        facts |= relation_facts.configured(head.relation, data["recipe"])
    if hasattr(net, "neck"):
        facts["auxiliary"] = task["auxiliary"]
    if spread := getattr(getattr(net, "head", None), "init_std", None):
        facts["init_std"] = spread
    if name := config.init.weights:
        facts["weights"] = name if "/" in name else zoo.get(name).file
    facts |= _configured_training(config)
    return {key: plain(value) for key, value in facts.items()}


def _transform(step, split: str) -> Facts:
    """Return the facts of one transform of ours."""
    match step:
        case sampling.SampleClips(frames, stride, clips, _, _, fps):
            return dict(sampler=("SampleFrames", frames, stride, clips, step.twice, fps))
        case repeat.Repeat(steps):
            return {k: v for inner in steps for k, v in _transform(inner, split).items()}
        case audio.SelectRows(sampler, rows):
            return _transform(sampler, split) | dict(rows=rows)
        case sampling.DenseClips(frames, stride, clips, train, window, windows):
            clip = frames, stride, clips, window, 1 if train else windows
            return dict(sampler=("DenseSampleFrames", *clip))
        case sampling.UniformFrames(frames, clips):
            return dict(sampler=("UniformSample", frames, clips))
        case sampling.KeyframeClip(frames, stride):
            return dict(sampler=("SampleAVAFrames", frames, stride))
        case pose.UniformClips(frames, clips):
            return dict(sampler=("UniformSampleFrames", frames, clips))
        case spatial.ResizeShort(size):
            return dict(short_side=size)
        case spatial.RandomRescale(least, most):
            return dict(short_side=(least, most))
        case spatial.RandomResizedCrop(size, area):
            return dict(crop=("RandomResizedCrop", size, area))
        case spatial.MultiScaleCrop(size, scales, gap, positions):
            return dict(crop=("MultiScaleCrop", size, scales, gap, positions))
        case spatial.RandomCrop(size):
            return dict(crop=("RandomCrop", size))
        case spatial.CenterCrop(size):
            return dict(crop=("CenterCrop", size))
        case spatial.ThreeCrops(size):
            return dict(crop=("ThreeCrop", size))
        case spatial.TenCrops(size):
            return dict(crop=("TenCrop", size))
        case spatial.Flip(probability):
            return dict(flip=(probability,))
        case policies.RandAugment(ops, magnitude):
            return dict(policy=("RandAugment", ops, magnitude))
        case policies.NoisyRandAugment(ops, magnitude):
            return dict(policy=("NoisyRandAugment", ops, magnitude))
        case color.ColorJitter(brightness, contrast, saturation, hue):
            return dict(color=("ColorJitter", brightness, contrast, saturation, hue))
        case skeleton.Streams(layout, streams):
            return dict(streams=(layout, streams))
        case heatmap.Heatmaps(sigma, _, limbs, scaling, double):
            return dict(heatmap=(sigma, bool(limbs), scaling, double))
        case skeleton.People(people):
            return dict(people=people)
    return {}


def _configured_training(config) -> Facts:
    given = dict(config.optim)
    facts: Facts = dict(batch=config.batch, epochs=config.epochs, eval_every=config.eval_every)
    facts["optimizer"] = given["name"]
    facts |= {key: given.get(key, 0) for key in ("weight_decay", "clip")}
    if given["name"] == "sgd":
        facts |= dict(momentum=given.get("momentum", 0.9), nesterov=given.get("nesterov", True))
    else:
        facts["betas"] = (given.get("b1", 0.9), given.get("b2", 0.999))
    lr = optim.scaled(given["lr"], config.batch, base_batch=given.get("base_batch", 0))
    schedule = tuple(sorted(config.schedule.items()))
    facts["rates"] = [lr * factor for factor in _factors(config.epochs, schedule)]
    return facts


def _channels(values: Sequence[float]) -> Sequence[float]:
    """Return the value of each channel; one value if all are the same."""
    return values if len(set(values)) > 1 else values[:1]


@functools.cache
def _factors(epochs: float, schedule: tuple) -> list[float]:
    factor = optim.schedule(steps_per_epoch=rates.PER_EPOCH, epochs=epochs, **dict(schedule))
    steps = rates.sampled(epochs)
    return np.broadcast_to(np.asarray(factor(steps)), steps.shape).tolist()


def plain(value: Any) -> Any:
    """Return a value with lists for tuples, so that both sides compare."""
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
