"""MixFormerV2 and MixViT, as published (MCG-NJU/MixFormerV2 at 1041438).

Both templates go through the whole network at every frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..structures import Features
from .base import PublishedForward, attend, to_tokens


class PublishedMixFormerViT(PublishedForward):
    """Of a :class:`~..models.backbones.pmam_vit.PMAMViT`."""

    def extract(self, kept: Tensor, search: Tensor) -> Features:
        """All tokens of templates ``(T, 3, h, w)`` and one search region ``(1, 3, S, S)``."""
        backbone = self.model.backbone
        x = _embed(backbone, kept, backbone.template_pos_embed).flatten(0, 1)[None]
        split = x.shape[1]  # T * Nt
        parts = [x, _embed(backbone, search, backbone.search_pos_embed)]
        if backbone.num_prediction_tokens:
            parts.append(backbone.prediction_tokens + backbone.prediction_pos_embed)
        x = torch.cat(parts, dim=1)
        for block in backbone.blocks:
            x = x + _mix(block.attn, block.norm1(x), split)
            x = x + block.mlp(block.norm2(x))
        end = x.shape[1] - backbone.num_prediction_tokens
        static = x[:, : backbone.template_pos_embed.shape[1]]
        return Features(x[:, split:end], x[:, end:], template=static)


def _embed(backbone: nn.Module, images: Tensor, position: Tensor) -> Tensor:
    return to_tokens(backbone.patch_embed(images)) + position  # (N, tokens, C)


def _mix(attention: nn.Module, x: Tensor, split: int) -> Tensor:
    """The templates, the first ``split`` tokens, see each other; the others see all."""
    qkv = attention.qkv(x).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = qkv  # (B, heads, N, d) each
    scale = query.shape[-1] ** -0.5
    mixed = [
        attend(query[:, :, :split], key[:, :, :split], value[:, :, :split], scale),
        attend(query[:, :, split:], key, value, scale),
    ]
    return attention.proj(torch.cat(mixed, dim=1))
