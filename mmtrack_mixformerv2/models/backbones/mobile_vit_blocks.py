"""Blocks of MobileViT (arXiv 2110.02178), and their Siamese form of MVT (arXiv 2309.05829).

Activations are ReLU everywhere, as published with MVT, although its initial weights come from a
MobileViT that was trained with SiLU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

_PATCH = 2  # side of a patch: attention is among equal places of the patches
_NORM = dict(type='BN')


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> ConvModule:
    """Convolution without bias, batch norm, ReLU; the zero padding keeps the size at stride 1."""
    return ConvModule(
        in_channels, out_channels, kernel, stride, padding=kernel // 2, norm_cfg=_NORM
    )


def unfold(image: Tensor) -> Tensor:
    """``(B, C, H, W)``, even sides, to tokens ``(B, 4, H/2 * W/2, C)``: place in patch, patch."""
    patches = image.unflatten(3, (-1, _PATCH)).unflatten(2, (-1, _PATCH))  # (B, C, h, 2, w, 2)
    return patches.permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(1, 2)


def fold(tokens: Tensor, height: int, width: int) -> Tensor:
    """Inverse of :func:`unfold`, for a map of the given even sides."""
    grid = (height // _PATCH, width // _PATCH)
    patches = tokens.unflatten(2, grid).unflatten(1, (_PATCH, _PATCH))  # (B, 2, 2, h, w, C)
    return patches.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode='bilinear', align_corners=False)


def _even(side: int) -> int:
    return side + side % _PATCH


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and MLP.

    Args:
        dims: Token width.
        num_heads: Attention heads, a divisor of ``dims``.
        hidden: Hidden width of the MLP.
        dropout: Rate, in training, of the attention weights and of what both halves add.
    """

    def __init__(self, dims: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dims)
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)
        self.norm2 = nn.LayerNorm(dims)
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.qkv, self.proj, self.fc1, self.fc2):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` to ``(B, N, C)``; all attend to all."""
        x = x + self.dropout(self._attend(self.norm1(x)))
        return x + self.dropout(self.fc2(F.relu(self.fc1(self.norm2(x)))))

    def _attend(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))  # (B, N, 3, heads, head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        rate = self.dropout.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class SiamMobileViTBlock(nn.Module):
    """MobileViT block in which search region and template attend to each other (Siam-MoViT).

    Convolutions see each image alone and share their weights. Tokens attend to those of both
    images that have the same place in their patch of 2x2; there is no position embedding.

    Args:
        channels: Of the maps, C.
        dims: Token width.
        depth: Number of encoder layers.
        num_heads: Attention heads, a divisor of ``dims``.
        hidden: Hidden width of the MLPs.
        dropout: See :class:`EncoderLayer`.
    """

    def __init__(
        self, channels: int, dims: int, depth: int, num_heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.local_conv = conv_norm(channels, channels, 3)
        self.local_proj = nn.Conv2d(channels, dims, 1, bias=False)
        self.layers = nn.ModuleList(
            EncoderLayer(dims, num_heads, hidden, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dims)
        self.proj = conv_norm(dims, channels, 1)
        self.fusion = conv_norm(2 * channels, channels, 3)

    def tokens(self, image: Tensor) -> Tensor:
        """What of a map ``(B, C, H, W)`` enters the attention, ``(B, 4, patches, dims)``.

        A map of odd height or width is resized to the next even one first.
        """
        local = self.local_proj(self.local_conv(image))
        return unfold(_resize(local, *map(_even, local.shape[2:])))

    def forward(
        self, search: Tensor, template: Tensor, template_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both maps after they saw each other.

        Args:
            search: Map ``(B, C, H, W)``.
            template: Map ``(B, C, h, w)``.
            template_tokens: Of :meth:`tokens` of that map.

        Returns:
            Maps of the same shapes.
        """
        search_tokens = self.tokens(search)
        split = search_tokens.shape[2]
        x = torch.cat([search_tokens, template_tokens], dim=2)  # search first
        batch = x.shape[0]
        x = x.flatten(0, 1)
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x).unflatten(0, (batch, -1))
        return self._join(search, x[:, :, :split]), self._join(template, x[:, :, split:])

    def _join(self, image: Tensor, tokens: Tensor) -> Tensor:
        height, width = image.shape[2:]
        mixed = _resize(fold(tokens, _even(height), _even(width)), height, width)
        return self.fusion(torch.cat([image, self.proj(mixed)], dim=1))
