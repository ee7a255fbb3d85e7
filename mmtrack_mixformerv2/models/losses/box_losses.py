"""Losses on boxes and on the distributions of their edges."""

from __future__ import annotations

import math

import torch
from mmtrack.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class EdgeCIoULoss(nn.Module):
    """Complete IoU loss as published with MixFormerV2, safe for boxes of four free edges.

    ``1 - (IoU - centre distance^2 / diagonal^2 - alpha * v)``, clamped to [0, 2]; alpha is constant
    for the gradient and zero where IoU <= 0.5. The published code divides by zero for equal and
    for empty boxes; here every denominator is kept above ``eps``.

    Four independent edges may be inverted (left > right), which happens at once when training
    starts from scratch. The published formula has no gradient that turns such a box over, so
    ``inverted='repel'`` adds the depth of the inversion to its loss. Upright boxes are not touched.

    Args:
        loss_weight: Factor of the mean over the boxes.
        inverted: ``'repel'`` or ``'published'``.
        eps: Smallest denominator, in units of the boxes.
    """

    def __init__(
        self, loss_weight: float = 1.0, inverted: str = 'repel', eps: float = 1e-7
    ) -> None:
        super().__init__()
        if inverted not in ('repel', 'published'):
            raise ValueError(f"inverted is {inverted!r}, expected 'repel' or 'published'")
        self.loss_weight = loss_weight
        self.inverted = inverted
        self.eps = eps

    def forward(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of predicted ``(N, 4)`` against upright target ``(N, 4)`` xyxy boxes."""
        return self.loss_weight * self.per_box(boxes.float(), targets.float()).mean()

    def per_box(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Unweighted loss ``(N,)``."""
        targets = targets.to(boxes.dtype)
        size, target_size = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
        low, high = torch.min(boxes, targets), torch.max(boxes, targets)
        overlap = (low[:, 2:] - high[:, :2]).clamp(min=0).prod(dim=1)
        union = (size.prod(dim=1) + target_size.prod(dim=1) - overlap).clamp(min=self.eps)
        iou = overlap / union
        diagonal = (high[:, 2:] - low[:, :2]).clamp(min=0).square().sum(dim=1)
        shift = (boxes[:, :2] + boxes[:, 2:] - targets[:, :2] - targets[:, 2:]) / 2
        distance = shift.square().sum(dim=1) / diagonal.clamp(min=self.eps)
        slope = self._slope(target_size) - self._slope(size)
        v = 4 / math.pi**2 * slope.square()
        with torch.no_grad():
            alpha = (iou > 0.5) * v / (1 - iou + v).clamp(min=self.eps)
        loss = 1 - (iou - distance - alpha * v).clamp(-1, 1)
        if self.inverted == 'repel':
            loss = loss + (-size).clamp(min=0).sum(dim=1)
        return loss

    def _slope(self, size: Tensor) -> Tensor:
        width, height = size.unbind(dim=1)
        safe = torch.where(height.abs() < self.eps, height.new_tensor(self.eps), height)
        return torch.atan(width / safe)


def soft_edge_targets(targets: Tensor, bins: int, sigma: float) -> Tensor:
    """Distributions around the true edges.

    Args:
        targets: Coordinates ``(...)`` in [0, 1]; bin ``i`` stands for ``i / bins``.
        bins: Length of the distributions.
        sigma: Standard deviation in bins.

    Returns:
        ``(..., bins)``, sums to one.
    """
    positions = torch.arange(bins, dtype=targets.dtype, device=targets.device)
    distance = positions - bins * targets[..., None]
    return (-0.5 * (distance / sigma).square()).softmax(dim=-1)


@MODELS.register_module()
class EdgeDistributionLoss(nn.Module):
    """Cross-entropy between edge distributions and a narrow Gaussian around the true edge.

    Not part of the published recipe, which starts from pre-trained weights: the expectation alone
    teaches a model from scratch only the mean box.

    Args:
        loss_weight: Factor of the mean over samples and edges.
        sigma: Standard deviation of the target in bins.
    """

    def __init__(self, loss_weight: float = 1.0, sigma: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.sigma = sigma

    def forward(self, edge_logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of ``(N, 4, bins)`` logits for ``(N, 4)`` xyxy boxes in [0, 1]."""
        soft = soft_edge_targets(targets, edge_logits.shape[-1], self.sigma)
        log_probabilities = edge_logits.float().log_softmax(dim=-1)
        return -self.loss_weight * (soft * log_probabilities).sum(dim=-1).mean()
