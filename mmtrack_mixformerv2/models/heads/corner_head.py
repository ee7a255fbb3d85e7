"""Dense corner heads of MixViT, the teachers of MixFormerV2."""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import BoxPrediction, Features
from .token_heads import at_least_float, expected_edges


def marginal_edges(corner_logits: Tensor) -> Tensor:
    """Edge distributions of two corner maps (MixFormerV2, Eq. 4).

    Args:
        corner_logits: ``(B, 2, M, M)`` of the top-left and the bottom-right corner, [row, column];
            each map is one distribution over its cells after a softmax.

    Returns:
        ``(B, 4, M)`` log-probabilities of left, top, right, bottom, float32 at least: the map
        summed over its rows gives left (right), summed over its columns top (bottom).
    """
    maps = at_least_float(corner_logits)
    maps = maps.flatten(2).log_softmax(dim=-1).view_as(maps)
    columns, rows = maps.logsumexp(dim=2), maps.logsumexp(dim=3)  # (B, 2, M) each
    return torch.stack([columns, rows], dim=2).flatten(1, 2)


def conv_unit(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution (with a bias, as published), batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def _up(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='nearest')


class PlainCornerBranch(nn.Module):
    """Four units and a 1x1 convolution: one map at the resolution of the tokens."""

    scale = 1

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__()
        widths = [in_channels, c, c // 2, c // 4, c // 8]
        self.convs = nn.ModuleList(conv_unit(a, b) for a, b in zip(widths, widths[1:]))
        self.predict = nn.Conv2d(c // 8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, G, G)`` to ``(B, G, G)``."""
        for conv in self.convs:
            x = conv(x)
        return self.predict(x)[:, 0]


class PyramidCornerBranch(nn.Module):
    """Upsamples twice, adding lateral paths from the tokens: a map four times as fine.

    The paths to the map itself end in a batch norm and a ReLU on their single channel, as
    published, so they can only add.
    """

    scale = 4

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__()
        widths = [in_channels, c, c // 2, c // 4, c // 8]
        self.convs = nn.ModuleList(conv_unit(a, b) for a, b in zip(widths, widths[1:]))
        self.predict = nn.Conv2d(c // 8, 1, 1)
        self.lateral2 = conv_unit(in_channels, c // 2)
        self.lateral4 = conv_unit(in_channels, c // 4)
        self.map4 = nn.Sequential(
            conv_unit(c // 2, c // 4), conv_unit(c // 4, c // 8), conv_unit(c // 8, 1)
        )
        self.map2 = nn.Sequential(conv_unit(c // 4, c // 8), conv_unit(c // 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, G, G)`` to ``(B, 4 G, 4 G)``."""
        coarse = self.convs[1](self.convs[0](x))
        middle = self.convs[2](_up(self.lateral2(x), 2) + _up(coarse, 2))
        fine = self.convs[3](_up(self.lateral4(x), 4) + _up(middle, 2))
        logits = self.predict(fine) + _up(self.map4(coarse), 4) + _up(self.map2(middle), 2)
        return logits[:, 0]


@MODELS.register_module()
class CornerHead(BaseModule):
    """Top-left and bottom-right corner maps of the search tokens (MixViT; MixFormerV2, Eq. 4).

    With a grid of G tokens to a side the maps, and so the edge distributions, have G bins
    (``'plain'``) or 4 G (``'pyramid'``). Cell ``i`` of M stands for ``i / M`` of the search region.

    Args:
        in_channels: Token width C.
        channels: Width of the first convolution, a multiple of eight.
        design: ``'plain'`` or ``'pyramid'``.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If the design is none of the two, or ``channels`` is no multiple of eight.
    """

    DESIGNS = {'plain': PlainCornerBranch, 'pyramid': PyramidCornerBranch}
    num_tokens = 0
    gives_edges = True

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int = 384,
        design: str = 'pyramid',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if design not in self.DESIGNS:
            raise ValueError(f'design is {design!r}, expected one of {list(self.DESIGNS)}')
        if channels < 8 or channels % 8:
            raise ValueError(f'channels is {channels}, expected a positive multiple of 8')
        self.in_channels = in_channels
        branch = self.DESIGNS[design]
        self.scale = branch.scale
        self.top_left = branch(in_channels, channels)
        self.bottom_right = branch(in_channels, channels)

    def corner_logits(self, features: Features) -> Tensor:
        """``(B, 2, M, M)``: top-left and bottom-right maps, [row, column], before the softmax."""
        search = features.search
        grid = isqrt(search.shape[1])
        image = search.transpose(1, 2).unflatten(2, (grid, grid))
        return torch.stack([self.top_left(image), self.bottom_right(image)], dim=1)

    def forward(self, features: Features) -> BoxPrediction:
        """Box of the expected corners, and the marginals of the maps as edge distributions.

        Args:
            features: ``search`` of shape ``(B, G * G, C)``.
        """
        edge_logits = marginal_edges(self.corner_logits(features))
        return BoxPrediction(expected_edges(edge_logits), edge_logits)
