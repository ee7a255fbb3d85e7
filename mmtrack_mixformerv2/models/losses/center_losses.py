"""Loss on the score map of a centre head: CenterNet's focal loss, and the one of MVT."""

from __future__ import annotations

import torch
from mmtrack.registry import MODELS
from torch import Tensor, nn

_TAU = 0.7  # a box whose corners are off by the radius still has at least about this IoU


def gaussian_radius(width: Tensor, height: Tensor) -> Tensor:
    """Radius of the Gaussian of a box, in whole cells, as the published systems have it.

    The smallest root of CornerNet's three cases, without their division by 2a: the well-known
    variant.

    Args:
        width: Of the boxes in cells, ``(N,)``.
        height: Like ``width``.

    Returns:
        ``(N,)``, whole numbers from 0 as floats.
    """
    s, p = width + height, width * height
    r1 = (s + (s**2 - 4 * p * (1 - _TAU) / (1 + _TAU)).clamp(min=0).sqrt()) / 2
    r2 = (2 * s + (4 * s**2 - 16 * (1 - _TAU) * p).clamp(min=0).sqrt()) / 2
    r3 = (-2 * _TAU * s + (4 * _TAU**2 * s**2 + 16 * _TAU * (1 - _TAU) * p).clamp(min=0).sqrt()) / 2
    return torch.stack([r1, r2, r3]).amin(dim=0).clamp(min=0).floor()


def gaussian_heatmaps(targets: Tensor, grid: int) -> Tensor:
    """Score maps to learn: 1 in the cell of the centre, a Gaussian around it, 0 elsewhere.

    The cell is the centre in cells rounded half to even. The Gaussian has the standard deviation
    ``(2 r + 1) / 6`` and ends at ``r`` cells to each side and at the borders. Of a centre outside
    the map there is only what reaches into it.

    Args:
        targets: ``(N, 4)`` xyxy in units of the search region, not clamped to it.
        grid: Side G of the maps.

    Returns:
        ``(N, G, G)``, [row, column], float32.
    """
    left, top, right, bottom = (grid * targets.detach().float()).unbind(dim=1)
    radius = gaussian_radius(right - left, bottom - top)[:, None, None]
    places = torch.arange(grid, dtype=torch.float32, device=targets.device)
    dx = places[None, None, :] - ((left + right) / 2).round()[:, None, None]
    dy = places[None, :, None] - ((top + bottom) / 2).round()[:, None, None]
    maps = torch.exp(-(dx**2 + dy**2) / (2 * ((2 * radius + 1) / 6) ** 2))
    return maps * ((dx.abs() <= radius) & (dy.abs() <= radius))


@MODELS.register_module()
class CenterFocalLoss(nn.Module):
    """Focal loss of a score map against the Gaussian around the true centre.

    A positive cell adds ``-log(p) (1 - p)^2``, a negative one ``-log(1 - p) p^2 (1 - t)^4``, where
    p is the score and t the value of :func:`gaussian_heatmaps`. The sum over the batch is divided
    by the number of positive cells in it, or by 1 if there is none.

    Args:
        loss_weight: Factor of the loss.
        positive: ``'peak'``: positive is where t = 1, negative everything else (CenterNet; FERMT).
            A number: positive is where t is above it, negative where it is below (MVT: 0.1).

    Raises:
        ValueError: If ``positive`` is neither ``'peak'`` nor a number from 0 to 1.
    """

    def __init__(self, loss_weight: float = 1.0, positive: str | float = 'peak') -> None:
        super().__init__()
        if positive != 'peak' and (isinstance(positive, str) or not 0 <= positive < 1):
            raise ValueError(f"positive is {positive!r}, expected 'peak' or a number in [0, 1)")
        self.loss_weight = loss_weight
        self.positive = positive

    def forward(self, score_map: Tensor, targets: Tensor) -> Tensor:
        """Loss of scores ``(N, G, G)`` in (0, 1) for ``(N, 4)`` xyxy targets, not clamped."""
        score = score_map.float().clamp(min=1e-12)
        heat = gaussian_heatmaps(targets, score.shape[-1])
        if self.positive == 'peak':
            positive, negative = heat == 1, heat < 1
        else:
            positive, negative = heat > self.positive, heat < self.positive
        gain = positive * score.log() * (1 - score) ** 2
        gain = gain + negative * (1 - score).log() * score**2 * (1 - heat) ** 4
        return -self.loss_weight * gain.sum() / positive.sum().clamp(min=1)
