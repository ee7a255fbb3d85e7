"""MVT, as published (BMVC 2023): the template is kept behind the stem, before the third stage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.backbones.mobile_vit_blocks import fold
from ..structures import Features
from .base import PublishedForward, attend, to_tokens

_STEM = 5  # parts of ``alone`` that are conv_1, layer_1 and layer_2 as published


class PublishedMVT(PublishedForward):
    """Of a :class:`~..models.backbones.siam_mobile_vit.SiamMobileViT`."""

    def keep(self, templates: Tensor) -> Tensor:
        """The template behind the stem, ``(1, C, h/4, w/4)``."""
        return self.model.backbone.alone[:_STEM](templates[:1])

    def extract(self, kept: Tensor, search: Tensor) -> Features:
        """Tokens of the search region and of the template."""
        backbone = self.model.backbone
        x, z = backbone.alone(search), backbone.alone[_STEM:](kept)
        x, z = _mix(backbone.mix1, x, z)
        x, z = backbone.down(x), backbone.down(z)
        x, z = _mix(backbone.mix2, x, z)
        return Features(to_tokens(x), template=to_tokens(z))


def _mix(block: nn.Module, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """A Siam-MoViT block on both maps."""
    parts = [block.tokens(x), block.tokens(z)]
    lengths = [one.shape[2] for one in parts]
    tokens = torch.cat(parts, dim=2).flatten(0, 1)  # (4, N, dims): a sequence for each place
    for layer in block.layers:
        tokens = tokens + _attend(layer, layer.norm1(tokens))
        tokens = tokens + layer.fc2(F.relu(layer.fc1(layer.norm2(tokens))))
    own, given = block.norm(tokens)[None].split(lengths, dim=2)
    return _join(block, x, own), _join(block, z, given)


def _attend(layer: nn.Module, x: Tensor) -> Tensor:
    query, key, value = layer.qkv(x).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return layer.proj(attend(query, key, value, query.shape[-1] ** -0.5))


def _join(block: nn.Module, image: Tensor, tokens: Tensor) -> Tensor:
    mixed = block.proj(fold(tokens, *image.shape[2:]))  # even sides, as published
    return block.fusion(torch.cat([image, mixed], dim=1))
