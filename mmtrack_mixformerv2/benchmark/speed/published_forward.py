"""The forward of the published tracker, to which everything else is compared.

The online tracker of MixFormerV2 (MCG-NJU/MixFormerV2 at 1041438) puts both templates through the
whole network at every frame: nothing is kept, attention is two matrix products and a softmax, all
of it in float32. This is that forward on our weights. Nothing but the benchmark uses it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...structures import BoxPrediction, Features
from ...tracking import Prediction


class PublishedForward:
    """A predictor whose cache is no more than the normalised templates.

    Args:
        model: A :class:`~...models.tracker.TemplateSearchTracker` with a
            :class:`~...models.backbones.pmam_vit.PMAMViT`, in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.search_size = model.backbone.search_size
        self.template_size = model.backbone.template_size

    def encode_templates(self, crops: list[np.ndarray]) -> Tensor:
        """Normalised templates ``(T, 3, h, w)`` of ``(h, w, 3)`` crops, the static one first."""
        return self.normalise(crops)

    def predict(self, search_crop: np.ndarray, cache: Tensor) -> Prediction:
        """What the network says about one crop."""
        prediction = self.forward(cache, self.normalise([search_crop]))
        logits = prediction.score_logits
        box = prediction.boxes[0].cpu().double().numpy()
        return Prediction(box, None if logits is None else logits[0].double().sigmoid().item())

    def normalise(self, crops: Sequence[np.ndarray]) -> Tensor:
        """RGB uint8 crops ``(h, w, 3)`` to one ``(N, 3, h, w)`` on the device."""
        preprocessor = self.model.data_preprocessor
        stacked = torch.from_numpy(np.stack(crops)).to(preprocessor.mean.device)
        return preprocessor.scale(stacked.permute(0, 3, 1, 2))

    @torch.inference_mode()
    def forward(self, templates: Tensor, search: Tensor) -> BoxPrediction:
        """All tokens of templates ``(T, 3, h, w)`` and one search region ``(1, 3, S, S)``."""
        backbone = self.model.backbone
        x = _embed(backbone, templates, backbone.template_pos_embed).flatten(0, 1)[None]
        split = x.shape[1]  # T * Nt
        parts = [x, _embed(backbone, search, backbone.search_pos_embed)]
        if backbone.num_prediction_tokens:
            parts.append(backbone.prediction_tokens + backbone.prediction_pos_embed)
        x = torch.cat(parts, dim=1)
        for block in backbone.blocks:
            x = x + _attend(block.attn, block.norm1(x), split)
            x = x + block.mlp(block.norm2(x))
        end = x.shape[1] - backbone.num_prediction_tokens
        return self.model.apply_heads(Features(x[:, split:end], x[:, end:]))


def _embed(backbone: nn.Module, images: Tensor, position: Tensor) -> Tensor:
    return backbone.patch_embed(images).flatten(2).transpose(1, 2) + position  # (N, tokens, C)


def _attend(attention: nn.Module, x: Tensor, split: int) -> Tensor:
    """The templates, the first ``split`` tokens, see each other; the others see all."""
    batch, length, dims = x.shape
    heads = attention.num_heads
    qkv = attention.qkv(x).reshape(batch, length, 3, heads, dims // heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    mixed = [
        _mix(query[:, :, :split], key[:, :, :split], value[:, :, :split]),
        _mix(query[:, :, split:], key, value),
    ]
    return attention.proj(torch.cat(mixed, dim=1))


def _mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)
