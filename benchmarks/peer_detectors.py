"""Detectors of MMAction2: its backbones and its parts between boxes and their classifier.

MMAction2's own detector needs compiled operators, and works on lists of boxes. RoIAlign is that of
torchvision, and a batch has the same number of boxes in each clip.
"""

import functools
from typing import Any

import numpy as np

from benchmarks.peer import Peer, channels_first


def detector(model: Any, arrays: dict[str, np.ndarray], classes: int) -> Peer:
    """Return the detector of a config of MMAction2.

    Args:
      model: `model` of the config.
      arrays: Our inputs: video, boxes, valid, and the bank if the config has a feature bank.
      classes: Number of classes without the background.
    """
    import torch
    from mmaction.models.roi_heads.shared_heads import acrn_head, fbo_head
    from mmaction.registry import MODELS
    from torch import nn
    from torchvision.ops import roi_align

    def part_of(head: Any) -> Any:
        """Return the part before the classifier, under the names of the published weights."""
        if head is None or head.type == "ACRNHead":
            options = {k: v for k, v in (head or {}).items() if k != "type"}
            return acrn_head.ACRNHead(**options) if head else None
        operator = dict(head.fbo_cfg)
        part = nn.Module()
        part.fbo = fbo_head.FBOHead.fbo_dict[operator.pop("type")](**operator)
        return part

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            head = model.roi_head.bbox_head
            self.backbone = MODELS.build(model.backbone)
            self.roi_head, box = nn.Module(), nn.Module()
            self.roi_head.shared_head = part_of(model.roi_head.get("shared_head"))
            box.fc_cls = nn.Linear(head.in_channels, classes + head.background_class)
            self.roi_head.bbox_head = box
            self.dropout = nn.Dropout(head.dropout_ratio)

        def forward(self, video, boxes, valid, bank=None):
            features = self.backbone(video)
            features = features if isinstance(features, tuple) else (features,)
            maps = torch.cat([x.mean(2) for x in features], 1).float()
            x = roi_align(maps, list(boxes), 8, 1 / 16, aligned=True)
            owner = torch.arange(len(boxes), device=x.device).repeat_interleave(boxes.shape[1])
            part = self.roi_head.shared_head
            if bank is not None:
                x = x.amax((2, 3))
                found = part.fbo(x[..., None, None, None], bank[owner].mT[..., None, None])
                x = torch.cat([x, found.flatten(1)], 1)[..., None, None]
            elif part is not None:
                x = part(x[:, :, None], maps[:, :, None], owner[:, None])[:, :, 0]
            x = self.roi_head.bbox_head.fc_cls(self.dropout(x).amax((2, 3)))
            return x.reshape(*boxes.shape[:2], -1)[..., -classes:]

    def loss(out):
        entropy = nn.functional.softplus(out.float()).mean(-1)
        return (entropy * valid.to(out.device)).sum() / valid.sum()

    valid = torch.tensor(arrays["valid"])
    others = [torch.tensor(arrays[key]) for key in ("boxes", "valid", "bank") if key in arrays]
    others = [x.float() if x.is_floating_point() else x for x in others]
    module = Detector()
    ours = functools.partial(our_loss, arrays["valid"])
    inputs = (channels_first(arrays["video"]), *others)
    return Peer(module, inputs, loss, module, "mmaction", ours)


def our_loss(valid: np.ndarray, out: np.ndarray) -> float:
    """Return the loss of real boxes without a class."""
    entropy = np.logaddexp(0, np.asarray(out, np.float64)).mean(-1)
    return float((entropy * valid).sum() / valid.sum())
