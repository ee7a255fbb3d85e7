"""An auxiliary for training prediction tokens from scratch, dropped afterwards.

The published recipe starts from MAE weights and learns from a dense-corner-head teacher. A small
model from scratch has neither, and its tokens stay at the mean box. This auxiliary does the
teacher's two jobs inside one training: a linear corner head on the search tokens teaches the
backbone to find the target at once (the dense-to-sparse idea of MixFormerV2, section 3.3), and the
attention of the prediction tokens is led to the target, where position can be read off.
"""

from __future__ import annotations

from math import isqrt

import torch
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ..structures import Features, TemplateCache
from .backbones.pmam_vit import PMAMViT
from .losses.box_losses import soft_edge_targets


@MODELS.register_module()
class DenseGuidance(BaseModule):
    """Dense corner loss on search tokens, attention loss on prediction tokens.

    Args:
        in_channels: Token width C.
        cells: Corner cells per search token and side: with G tokens to a side the corner maps are
            ``G * cells`` wide.
        dense_layer: Block whose search tokens carry the corner maps (negative: from the end).
        dense_weight: Factor of the corner loss.
        attention_layers: Blocks in which the prediction tokens are led to the target.
        attention_weight: Factor of the attention loss.
        sigma: Width of the corner targets in cells.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        cells: int = 4,
        dense_layer: int = -2,
        dense_weight: float = 1.0,
        attention_layers: tuple[int, ...] = (-1,),
        attention_weight: float = 0.5,
        sigma: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.cells = cells
        self.dense_layer = dense_layer
        self.dense_weight = dense_weight
        self.attention_layers = attention_layers
        self.attention_weight = attention_weight
        self.sigma = sigma
        self.norm = nn.LayerNorm(in_channels)
        self.corners = nn.Linear(in_channels, 2 * cells * cells)

    def forward(
        self, backbone: PMAMViT, cache: TemplateCache, features: Features, targets: Tensor
    ) -> dict[str, Tensor]:
        """Losses for ``(B, 4)`` xyxy targets in [0, 1]; ``features`` must hold all layers."""
        if features.layers is None:
            raise ValueError('DenseGuidance needs encode_search(..., out_layers=True)')
        grid = isqrt(features.search.shape[1])
        search = features.layers[self.dense_layer][:, : grid * grid]
        losses = {'loss_dense': self._corner_loss(search, targets)}
        depth = len(features.layers)
        for layer in self.attention_layers:
            index = layer % depth
            if index == 0:
                raise ValueError(
                    'the first block has no input among the kept layers; guide later ones'
                )
            mass = attention_on_target(backbone, cache, features, index, targets)
            loss = -mass.clamp(min=1e-6).log().mean()
            losses[f'loss_attention{index}'] = self.attention_weight * loss
        return losses

    def _corner_loss(self, search: Tensor, targets: Tensor) -> Tensor:
        maps = self.corner_maps(search)
        logits = maps.flatten(2).float().log_softmax(dim=-1)  # (B, 2, M * M)
        edges = soft_edge_targets(targets, maps.shape[-1], self.sigma)  # (B, 4, M)
        columns, rows = edges[:, 0::2], edges[:, 1::2]  # (B, 2, M) of the corners TL, BR
        soft = (rows[..., :, None] * columns[..., None, :]).flatten(2)
        return -self.dense_weight * (soft * logits).sum(dim=-1).mean()

    def corner_maps(self, search: Tensor) -> Tensor:
        """Corner logits of search tokens ``(B, G * G, C)``.

        Returns:
            ``(B, 2, M, M)`` of the top-left and the bottom-right corner, [row, column], M being
            ``G * cells``.
        """
        grid, cells = isqrt(search.shape[1]), self.cells
        maps = self.corners(self.norm(search)).view(-1, grid, grid, 2, cells, cells)
        return maps.permute(0, 3, 1, 4, 2, 5).reshape(-1, 2, grid * cells, grid * cells)


def attention_on_target(
    backbone: PMAMViT,
    cache: TemplateCache,
    features: Features,
    index: int,
    targets: Tensor,
) -> Tensor:
    """How much of the attention of each prediction token falls on the target.

    Args:
        backbone: That made ``cache`` and ``features``.
        cache: Of the templates.
        features: With all layers.
        index: Block, 1 to depth - 1.
        targets: ``(B, 4)`` xyxy in [0, 1].

    Returns:
        ``(B, P)`` in [0, 1], mean over the heads.
    """
    search = features.search.shape[1]
    query, key, _ = backbone.blocks[index].project(features.layers[index - 1])
    key = torch.cat([cache.keys[index], key], dim=2)
    scores = query[:, :, search:] @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    attention = scores.float().softmax(dim=-1).mean(dim=1)  # (B, P, keys)
    offset = cache.keys[index].shape[2]
    mask = _target_mask(targets, isqrt(search))
    return (attention[..., offset : offset + search] * mask).sum(dim=-1)


def _target_mask(targets: Tensor, grid_size: int) -> Tensor:
    """``(B, 1, G * G)``: 1 for search tokens that touch the box, always at least one."""
    cell = torch.arange(grid_size, device=targets.device)
    first = (targets[:, :2] * grid_size).floor().clamp(0, grid_size - 1)
    last = (targets[:, 2:] * grid_size).ceil().clamp(1, grid_size) - 1
    last = torch.maximum(first, last)
    inside = (cell >= first[..., None]) & (cell <= last[..., None])  # (B, 2, G): columns, rows
    mask = inside[:, 1, :, None] & inside[:, 0, None, :]
    return mask.flatten(1)[:, None].to(targets.dtype)
