"""Dual Attention Unit of FERMT: gates an image before it is cut into patches.

Paper: FERMT (ECCV 2024), section 3.3. Its equation shows the product of spatial gate, channel gate
and input; the published system has a 1x1 convolution before and after and adds the image itself,
and so has this module.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows per strip: few enough that even three channels fill the vectors of a processor.
_STRIP = 32


class DualAttentionUnit(nn.Module):
    """Spatial gate times channel gate times the image, added to the image.

    With ``p = GELU(W1 u)`` for an image ``u``, the output is ``W2 (g * f * p) + u``: the spatial
    gate ``f`` is a large-kernel convolution of ``p`` in three parts (depth-wise, dilated
    depth-wise, 1x1), the channel gate ``g`` a sigmoid of the spatial mean of ``p`` behind a
    bottleneck.

    Args:
        channels: Of the image; the width throughout.
        kernel_size: Side of the large kernel that the depth-wise convolutions stand for; the
            dilated one has the odd side at or above ``kernel_size // dilation``.
        dilation: Of the dilated one; the other has side ``2 * dilation - 1``.
        reduction: The bottleneck has ``channels // max(channels // reduction, 3)`` units.

    Raises:
        ValueError: If the numbers leave no kernel or no unit.
    """

    def __init__(
        self, channels: int = 3, *, kernel_size: int = 16, dilation: int = 3, reduction: int = 16
    ) -> None:
        super().__init__()
        hidden = channels // max(channels // max(reduction, 1), 3)
        if min(dilation, reduction, kernel_size // max(dilation, 1), hidden) < 1:
            raise ValueError(
                f'got channels={channels}, kernel_size={kernel_size}, dilation={dilation} and '
                f'reduction={reduction}; expected at least 3 channels, and a kernel at least as '
                'large as its dilation.'
            )
        near, far = 2 * dilation - 1, kernel_size // dilation // 2 * 2 + 1
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.near = nn.Conv2d(channels, channels, near, padding=near // 2, groups=channels)
        self.far = nn.Conv2d(
            channels, channels, far, padding=far // 2 * dilation, dilation=dilation, groups=channels
        )
        self.mix = nn.Conv2d(channels, channels, 1)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to the same shape."""
        images = images.to(self.near.weight.dtype, memory_format=torch.contiguous_format)
        gated = self.gate(F.gelu(_pointwise(self.proj_in, images)))
        return _pointwise(self.proj_out, gated) + images

    def gate(self, x: Tensor) -> Tensor:
        """``g * f * x`` with both gates of ``x`` itself, ``(B, channels, h, w)``."""
        spatial = _pointwise(self.mix, _depthwise(self.far, _depthwise(self.near, x)))
        channel = self.excite(F.relu(self.squeeze(x.mean((2, 3))))).sigmoid()
        return channel[:, :, None, None] * spatial * x

    @torch.no_grad()
    def fold_scaling(self, mean: Tensor, std: Tensor) -> None:
        """Read raw images, and give what the same scaling turns into the former output.

        Args:
            mean: Of the channels, ``(channels,)``; scaling is ``(image - mean) / std``.
            std: Of the channels, ``(channels,)``.
        """
        mean, std = mean.double(), std.double()
        first, last = self.proj_in, self.proj_out
        weight = first.weight.double() / std.view(1, -1, 1, 1)
        first.bias.copy_(first.bias.double() - (weight * mean.view(1, -1, 1, 1)).sum((1, 2, 3)))
        first.weight.copy_(weight)
        last.weight.copy_(last.weight.double() * std.view(-1, 1, 1, 1))
        last.bias.copy_(last.bias.double() * std)


def _pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution as a matrix product, which is several times as fast for few channels."""
    if torch.compiler.is_compiling():  # int8 needs weights on the right of a product
        return conv(x)
    weight = conv.weight.flatten(1).expand(len(x), -1, -1)
    return torch.baddbmm(conv.bias[:, None], weight, x.flatten(2)).view(x.shape)


def _depthwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A depth-wise convolution that keeps the size, on a CPU in strips of rows.

    Processors compute it vectorised over channels, of which an image has three. As channels of
    their own, strips of rows fill the vectors: five times as fast, and the same products and sums.
    """
    height = x.shape[2]
    if x.device.type != 'cpu' or torch.compiler.is_compiling() or height % _STRIP:
        return conv(x)
    pad = conv.padding[0]
    count = height // _STRIP
    strips = F.pad(x, (pad, pad, pad, pad)).unfold(2, _STRIP + 2 * pad, _STRIP)
    strips = strips.transpose(3, 4).flatten(1, 2)  # (B, channels * strips, rows, columns)
    out = F.conv2d(
        strips,
        conv.weight.repeat_interleave(count, 0),
        conv.bias.repeat_interleave(count, 0),
        dilation=conv.dilation,
        groups=conv.groups * count,
    )
    return out.view(x.shape)
