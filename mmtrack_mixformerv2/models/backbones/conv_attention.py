"""Transformer blocks with depth-wise convolutions before their projections: MixFormer (CvT).

Paper: MixFormer, arXiv 2203.11082, section 3.1; CvT, arXiv 2103.15808. Tokens lie row by row with
their channels together, which is a map in the channels-last layout: convolutions and linear layers
read the same memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmtrack.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class QuickGELU(nn.Module):
    """``x * sigmoid(1.702 x)``, the activation that the published weights were trained with."""

    slope = 1.702

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.slope * x)


def as_map(tokens: Tensor, grid: int) -> Tensor:
    """A view ``(B, C, grid, grid)`` of tokens ``(B, grid * grid, C)``, row by row."""
    return tokens.unflatten(1, (grid, grid)).permute(0, 3, 1, 2)


def as_tokens(maps: Tensor) -> Tensor:
    """Tokens ``(B, H * W, C)`` of a map ``(B, C, H, W)``; a view if its channels come last."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


class ConvProjection(nn.Module):
    """Depth-wise 3x3 convolution, batch norm, linear layer: a map to queries, keys or values.

    Args:
        dims: Width C.
        stride: Of the convolution; 2 leaves a quarter of the tokens.
    """

    def __init__(self, dims: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dims, dims, 3, stride=stride, padding=1, groups=dims, bias=False)
        self.bn = nn.BatchNorm2d(dims)
        self.linear = nn.Linear(dims, dims)

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to tokens ``(B, N, C)``."""
        return self.linear(as_tokens(self.bn(self.conv(maps))))


class ConvMixedAttention(nn.Module):
    """Multi-head attention whose logits are scaled by the full width, as published.

    Args:
        dims: Width C.
        num_heads: Heads of ``C / num_heads`` channels each.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = dims**-0.5
        self.query = ConvProjection(dims, stride=1)
        self.key = ConvProjection(dims, stride=2)
        self.value = ConvProjection(dims, stride=2)
        self.proj = nn.Linear(dims, dims)

    def split(self, tokens: Tensor, count: int) -> Tensor:
        """``(B * count, N, C)`` of ``count`` images each to ``(B, heads, count * N, head_dim)``."""
        tokens = tokens.unflatten(0, (-1, count)).flatten(1, 2)
        return tokens.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(B, N, C)``: every query attends to all keys."""
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class ConvMixedAttentionBlock(nn.Module):
    """Pre-norm transformer block, in two steps so that keys and values can be cached.

    Args:
        dims: Width C.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLP over C.
        drop_path: Chance that a branch is left out in training.
        act_cfg: Activation of the MLP.
    """

    def __init__(
        self, dims: int, num_heads: int, mlp_ratio: float, drop_path: float, act_cfg: dict
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims)
        self.attn = ConvMixedAttention(dims, num_heads)
        self.norm2 = nn.LayerNorm(dims)
        self.fc1 = nn.Linear(dims, int(dims * mlp_ratio))
        self.act = MODELS.build(act_cfg)
        self.fc2 = nn.Linear(int(dims * mlp_ratio), dims)
        self.drop_path = DropPath(drop_path)

    def remember(self, normed: Tensor, grid: int, count: int = 1) -> tuple[Tensor, Tensor]:
        """Key and value ``(B, heads, count * N', head_dim)`` of what :attr:`norm1` gave.

        Args:
            normed: ``(B * count, grid * grid, C)``, ``count`` images of each sequence.
            grid: Tokens to a side of an image.
            count: Images that are attended to together.
        """
        attn, maps = self.attn, as_map(normed, grid)
        return attn.split(attn.key(maps), count), attn.split(attn.value(maps), count)

    def finish(
        self, x: Tensor, normed: Tensor, grid: int, key: Tensor, value: Tensor, count: int = 1
    ) -> Tensor:
        """Output ``(B * count, N, C)`` of the block for tokens that attend to given keys."""
        query = self.attn.split(self.attn.query(as_map(normed, grid)), count)
        attended = self.attn.attend(query, key, value).view_as(x)
        x = x + self.drop_path(attended)
        return x + self.drop_path(self._mlp(self.norm2(x)))

    def _mlp(self, x: Tensor) -> Tensor:
        """Linear, activation, linear.

        QuickGELU is SiLU(1.702 x) / 1.702, and both factors cost nothing in the products around
        it. Compilers of graphs fuse its definition themselves.
        """
        if not isinstance(self.act, QuickGELU) or torch.compiler.is_compiling():
            return self.fc2(self.act(self.fc1(x)))
        slope, rows = self.act.slope, x.flatten(0, 1)
        hidden = torch.addmm(self.fc1.bias, rows, self.fc1.weight.t(), beta=slope, alpha=slope)
        out = torch.addmm(self.fc2.bias, F.silu(hidden), self.fc2.weight.t(), alpha=1 / slope)
        return out.view_as(x)
