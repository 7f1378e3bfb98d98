"""Models of videos and texts of transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peer import Peer, channels_first, classification, our_classification
from jaxvid.metrics.retrieval import contrastive_loss

CLIP_TOKENS = 49408  # as the recipes cut texts


def towers(name: str, arrays: dict[str, np.ndarray], classes: int) -> Peer:
    family = name.partition(":")[0]
    make: Callable = {"xclip": xclip, "siglip": siglip}.get(family, clip)
    return make(name, arrays)


def clip(name: str, arrays: dict[str, np.ndarray]) -> Peer:
    """Return CLIP on frames, with ActionCLIP's transformer over time where that is asked for."""
    import torch
    from torch import nn
    from transformers import CLIPConfig, CLIPModel

    class TwoTowers(nn.Module):
        def __init__(self):
            super().__init__()
            self.clip = CLIPModel(config)
            vision, text = self.clip.vision_model, self.clip.text_model
            for part in (vision.embeddings, vision.pre_layrnorm, text.embeddings):
                part.requires_grad_(False)  # as CLIP4Clip's recipe, and our config, have it
            width, heads = config.projection_dim, config.text_config.num_attention_heads
            self.adapter = self.positions = None
            if name.startswith("actionclip"):
                options: Any = dict(activation=quick_gelu, batch_first=True, norm_first=True)
                layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, **options)
                self.adapter = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
                self.positions = nn.Parameter(0.02 * torch.randn(12, width))

        def forward(self, video, text):
            b, t = video.shape[:2]
            x = self.clip.vision_model(pixel_values=video.flatten(0, 1)).pooler_output
            x = self.clip.visual_projection(x).reshape(b, t, -1)
            if self.adapter is not None:
                x = x + self.adapter(x + self.positions[:t])
            text = self.clip.text_projection(self.clip.text_model(input_ids=text).pooler_output)
            x, text = (nn.functional.normalize(y.float(), dim=-1) for y in (x.mean(1), text))
            return self.clip.logit_scale.exp() * x @ text.T

    def quick_gelu(x):
        return x * torch.sigmoid(1.702 * x)

    def loss(score):
        target = torch.arange(len(score), device=score.device)
        entropy = nn.functional.cross_entropy
        return (entropy(score, target) + entropy(score.T, target)) / 2

    patch = {"vitb32": 32, "vitb16": 16}[name.partition(":")[2]]
    config: Any = CLIPConfig(vision_config=dict(patch_size=patch))
    text = torch.tensor(arrays["text"][:, 0])
    towers = TwoTowers()
    inputs = channels_first(arrays["video"], frames=True), text
    published = towers.clip if towers.adapter is None else None
    return Peer(towers, inputs, loss, published, "transformers", our_contrastive)


def siglip(name: str, arrays: dict[str, np.ndarray]) -> Peer:
    """Return SigLIP of the base size, on frames."""
    import torch
    from torch import nn
    from transformers import SiglipConfig, SiglipModel

    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = SiglipModel(config)
            vision, text = self.net.vision_model, self.net.text_model
            for part in (vision.embeddings.patch_embedding, text.embeddings.token_embedding):
                part.requires_grad_(False)  # as our config has it

        def forward(self, video, text):
            x = self.net.vision_model(pixel_values=video.flatten(0, 1)).pooler_output
            x = x.unflatten(0, video.shape[:2]).mean(1)
            text = self.net.text_model(input_ids=text).pooler_output
            x, text = (nn.functional.normalize(y.float(), dim=-1) for y in (x, text))
            return self.net.logit_scale.exp() * x @ text.T + self.net.logit_bias

    def loss(score):
        sign = 2 * torch.eye(len(score), device=score.device) - 1
        return -nn.functional.logsigmoid(sign * score).sum(-1).mean()

    text = torch.tensor(arrays["text"][:, 0])
    text = torch.where(text == 0, 1, text)  # the padding
    options: Any = dict(vocab_size=CLIP_TOKENS, max_position_embeddings=text.shape[1])
    config: Any = SiglipConfig(text_config=options)
    pairs = Pairs()
    inputs = channels_first(arrays["video"], frames=True), text
    return Peer(pairs, inputs, loss, pairs.net, "transformers", our_pairs)


def xclip(name: str, arrays: dict[str, np.ndarray]) -> Peer:
    """Return X-CLIP, which classifies videos by the texts of all classes."""
    import torch
    from torch import nn
    from transformers import XCLIPConfig, XCLIPModel

    class Classes(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = XCLIPModel(config)

        def forward(self, video, text):
            return self.net(pixel_values=video, input_ids=text).logits_per_video

    patch = {"vitb32": 32, "vitb16": 16}[name.partition(":")[2]]
    vision: Any = dict(patch_size=patch, num_frames=arrays["video"].shape[1])
    text: Any = dict(eos_token_id=2)  # a text is read at its largest token, as OpenAI does
    config: Any = XCLIPConfig(vision_config=vision, text_config=text)
    net = Classes()
    inputs = channels_first(arrays["video"], frames=True), torch.tensor(arrays["text"][0])
    loss = classification(len(arrays["video"]))
    return Peer(net, inputs, loss, net.net, "transformers", our_classes)


def our_contrastive(out: Any) -> float:
    """The symmetric contrastive loss of our features of videos and texts."""
    return contrastive_loss(unit(out.video), unit(out.text[:, 0]), float(out.scale))


def our_pairs(out: Any) -> float:
    """Return the sigmoid loss of our features of videos and texts."""
    score = out.scale * unit(out.video) @ unit(out.text[:, 0]).T + out.bias
    signed = (2 * np.eye(len(score)) - 1) * score
    return float(np.logaddexp(0, -signed).sum(-1).mean())


def our_classes(out: Any) -> float:
    """Return the loss of our features of videos and of the texts of all classes."""
    score = np.einsum("bnf,bf->bn", unit(out.text), unit(out.video))
    return our_classification(out.scale * score)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
