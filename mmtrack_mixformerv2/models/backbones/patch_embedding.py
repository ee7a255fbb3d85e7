"""Patches of an image to tokens: the first layer of the ViTs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbedding(nn.Conv2d):
    """A convolution whose stride is its kernel, computed as one matrix product.

    Args:
        dims: Token width C.
        side: Side of a patch in pixels, p.
    """

    def __init__(self, dims: int, side: int) -> None:
        super().__init__(3, dims, side, stride=side)

    def tokens(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)``, multiples of p, to tokens ``(B, H W / p^2, C)``, row by row."""
        weight, side = self.weight.flatten(1), self.kernel_size[0]  # (C, 3 * p * p)
        patches = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, N, 3 * p * p)
        return F.linear(patches.to(weight.dtype), weight, self.bias)

    @torch.no_grad()
    def fold_scaling(self, mean: Tensor, std: Tensor) -> None:
        """Put ``(image - mean) / std`` into the weights, which then read raw images.

        Args:
            mean: Of the channels, ``(3,)``.
            std: Of the channels, ``(3,)``.
        """
        exact = self.weight.double() / std.double().view(3, 1, 1)
        self.bias.copy_(self.bias.double() - (exact * mean.double().view(3, 1, 1)).sum((1, 2, 3)))
        self.weight.copy_(exact)
