"""PyTorch's implementations of the architectures that jaxvid has.

Published configs of MMAction2 are taken from its wheel; what that leaves out or needs its compiled
operators is put together from torchvision's and transformers' parts. They see clips that are
normalized already, while our step starts from uint8.
"""

import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import Peer, channels_first, classification, our_classification
from benchmarks.peer_detectors import detector
from benchmarks.peer_tables import AVAILABLE, FILES, IMAGES, PIP, TRANSFORMERS
from benchmarks.peer_towers import towers


def available(name: str) -> tuple[dict[str, Callable], list[str]]:
    """Of family:variant, (package -> function that builds a Peer), and what would bring the rest.

    The functions take our inputs as NumPy arrays, and our number of classes.
    """
    family = name.partition(":")[0]
    found, missing = {}, []
    packages = ("timm",) if name in IMAGES else AVAILABLE.get(family, ("mmaction",))
    for package in packages:
        if package == "mmaction" and name not in FILES:
            missing.append(
                f"{name}: no config of MMAction2's is named in benchmarks/peer_tables.py"
            )
        elif not all(map(importlib.util.find_spec, ("torch", package))):
            missing.append(f"{name}, {package} is not installed: {PIP[package]}")
        else:
            makers = {
                "torchvision": swin,
                "transformers": video if family in TRANSFORMERS else towers,
                "mmaction": mmaction,
                "timm": frames,
            }
            make = makers[package]
            found[package] = lambda arrays, classes, make=make: make(name, arrays, classes)
    return found, missing


def swin(name: str, arrays: dict[str, np.ndarray], classes: int) -> Peer:
    from torchvision.models import video

    size = {"tiny": "t", "small": "s", "base": "b"}[name.partition(":")[2]]
    module = getattr(video, f"swin3d_{size}")(num_classes=classes)
    inputs = (channels_first(arrays["video"]),)
    loss = classification(len(arrays["video"]))
    return Peer(module, inputs, loss, module, "torchvision", our_classification)


def frames(name: str, arrays: dict[str, np.ndarray], classes: int) -> Peer:
    """A network of images, whose scores of all frames are averaged."""
    import timm
    from torch import nn

    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            size = dict(img_size=arrays["video"].shape[2]) if "swin" in name else {}
            self.net = timm.create_model(IMAGES[name], num_classes=classes, **size)

        def forward(self, x):
            return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)

    inputs = (channels_first(arrays["video"], frames=True),)
    return Peer(Frames(), inputs, classification(len(arrays["video"])))


def video(name: str, arrays: dict[str, np.ndarray], classes: int) -> Peer:
    """A classifier of videos of transformers."""
    import transformers
    from torch import nn

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = getattr(transformers, kind)(config)
            if frozen:
                getattr(self.net, frozen).requires_grad_(False)

        def forward(self, x):
            return self.net(x).logits.reshape(len(x), -1)

    shape = arrays["video"].shape[1:3]
    family, _, variant = name.partition(":")
    kind, frozen, sizes, variants = TRANSFORMERS[family]
    options = {**dict(zip(sizes, shape, strict=True)), **variants.get(variant, {})}
    config: Any = getattr(transformers, kind).config_class(num_labels=classes, **options)
    module = Logits()
    inputs = (channels_first(arrays["video"], frames=True),)
    loss = classification(len(arrays["video"]))
    return Peer(module, inputs, loss, module.net, "transformers", our_classification)


def mmaction(name: str, arrays: dict[str, np.ndarray], classes: int) -> Peer:
    # Missing from the wheel, and broken by newer versions of transformers.
    for lacking in ("localizers.drn", "localizers.drn.drn", "multimodal"):
        stub: Any = types.ModuleType(f"mmaction.models.{lacking}")
        stub.__path__, stub.__all__, stub.DRN = [], [], None
        sys.modules.setdefault(stub.__name__, stub)
    operators: Any = types.ModuleType("mmcv.ops")  # needs a compiler
    operators.tin_shift = tin_shift
    sys.modules.setdefault("mmcv.ops", operators)
    warnings.simplefilter("ignore")
    import mmaction.models
    import torch
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from torch import nn

    class Recognizer(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = MODELS.build(model.backbone)
            self.cls_head = MODELS.build(model.cls_head)
            self.neck = MODELS.build(model.neck) if "neck" in model else None

        def forward(self, x):
            if "audio" in arrays:
                return self.cls_head(self.backbone(x))
            frames = x.shape[1]
            x = self.backbone(x.flatten(0, 1) if flat else x)
            if self.neck is None:
                return self.cls_head(x, num_segs=frames)
            return self.cls_head(self.neck(x)[0]), self.neck.aux_head(x[-2])

    class Localizer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = MODELS.build(model)

        def forward(self, feature):
            return self.net._forward(feature)

    init_default_scope("mmaction")
    root = Path(mmaction.models.__file__).parents[1] / ".mim" / "configs"
    model = Config.fromfile(root / f"{FILES[name]}.py").model
    family = name.partition(":")[0]
    flat = family in ("tsn", "tsm", "tanet", "tin", "trn")
    if family == "bmn":
        feature = torch.tensor(np.swapaxes(arrays["feature"], 1, 2).copy())
        b, t = len(feature), feature.shape[2]
        targets = torch.rand(b, t, t), torch.rand(b, t), torch.rand(b, t)
        net = Localizer()

        def loss(out):
            given = (x.to(out[0].device) for x in targets)
            return net.net.loss_cls(*(x.float() for x in out), *given, net.net.bm_mask)[0]

        return Peer(net, (feature,), loss)
    if family == "bsn":
        feature = np.swapaxes(arrays["feature"], 1, 2).copy()
        net = Localizer()

        def stage_loss(out):
            target = (torch.arange(out.shape[-1], device=out.device) % 2).repeat(len(out), 1)
            return sum(net.net.loss_cls(x, target, 0.5) for x in out.float().unbind(1))

        return Peer(net, (torch.tensor(feature),), stage_loss)
    if "roi_head" in model:
        return detector(model, arrays, classes)
    model.cls_head.num_classes = classes
    if "AAGCN" not in model.backbone.type:  # which takes no weights
        model.backbone.pretrained = None  # a constructor would download them
    if family == "umt":  # VideoMAE's network on patches of single frames
        model.backbone.tubelet_size = 1
    if "neck" in model:
        model.neck.aux_head_cfg.out_channels = classes
    if "video" in arrays:  # models that are for clips of one size
        _, t, h, *_ = arrays["video"].shape
        sizes = {"num_frames": t, "img_size": h, "t_size": t}
        model.backbone.update({key: n for key, n in sizes.items() if key in model.backbone})
    if "keypoint" in arrays:
        data = torch.tensor(arrays["keypoint"])
    elif "heatmap" in arrays:
        data = channels_first(arrays["heatmap"])
    elif "audio" in arrays:
        data = torch.tensor(np.moveaxis(arrays["audio"], -1, 1).copy())
    else:
        data = channels_first(arrays["video"], frames=flat)
    net = Recognizer()
    names = {"umt": "videomae"}.get(family, "")
    loss = classification(len(data))
    return Peer(net, (data,), loss, net, "mmaction", our_classification, names)


def tin_shift(x: Any, offset: Any) -> Any:
    """Move groups of channels of (b, t, c, hw) by (b, groups) whole frames; 0 fills the ends."""
    import torch

    t, size = x.shape[1], x.shape[2] // offset.shape[1]
    source = torch.arange(t)[None, :, None] - offset.repeat_interleave(size, 1)[:, None]
    index = source.clamp(0, t - 1).long()[..., None].expand_as(x)
    return x.gather(1, index) * (source == source.clamp(0, t - 1))[..., None]
