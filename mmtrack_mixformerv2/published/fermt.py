"""FERMT, as published (ECCV 2024): the template goes through everything at every frame.

The Dual Attention Unit sees both images, every block computes all of both sides, and the two
softmaxes of a block of cross attention are separate ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..structures import Features
from .base import PublishedForward, attend, to_tokens


class PublishedFERMT(PublishedForward):
    """Of a :class:`~..models.backbones.fermt_vit.FERMTViT`."""

    def extract(self, kept: Tensor, search: Tensor) -> Features:
        """Tokens of the search region and of the template ``(1, 3, h, w)``."""
        backbone = self.model.backbone
        z = _embed(backbone, kept[:1], backbone.template_pos_embed)
        x = _embed(backbone, search, backbone.search_pos_embed)
        split = z.shape[1]
        tokens = torch.cat([z, x], dim=1)
        for block, design in zip(backbone.blocks, backbone.designs):
            tokens = tokens + _relate(block.attn, block.norm1(tokens), design, split)
            tokens = tokens + block.mlp(block.norm2(tokens))
        tokens = backbone.norm(tokens)
        return Features(tokens[:, split:], template=tokens[:, :split])


def _embed(backbone: nn.Module, images: Tensor, position: Tensor) -> Tensor:
    if backbone.dual_attention is not None:
        images = _gate(backbone.dual_attention, images)
    return to_tokens(backbone.patch_embed(images)) + position


def _gate(unit: nn.Module, images: Tensor) -> Tensor:
    """The Dual Attention Unit, of convolutions."""
    x = F.gelu(unit.proj_in(images))
    spatial = unit.mix(unit.far(unit.near(x)))
    channel = unit.excite(F.relu(unit.squeeze(x.mean((2, 3))))).sigmoid()
    return unit.proj_out(channel[:, :, None, None] * spatial * x) + images


def _relate(attention: nn.Module, x: Tensor, design: object, split: int) -> Tensor:
    """Each side attends to those that the design of the block names, in a softmax of its own."""
    qkv = attention.qkv(x).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = qkv  # (1, heads, N, d) each
    sides = {'template': slice(None, split), 'search': slice(split, None)}
    scale, mixed = query.shape[-1] ** -0.5, []
    for side, seen in (('template', design.template), ('search', design.search)):
        asked = query[:, :, sides[side]]
        if not seen:  # as published: the queries take the place of what would be seen
            mixed.append(asked.transpose(1, 2).flatten(2))
            continue
        places = slice(None) if len(seen) > 1 else sides[seen[0]]
        mixed.append(attend(asked, key[:, :, places], value[:, :, places], scale))
    return attention.proj(torch.cat(mixed, dim=1))
