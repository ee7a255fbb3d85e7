"""Losses on boxes, edge distributions and features; importing registers them in mmtrack."""

from .box_losses import EdgeCIoULoss, EdgeDistributionLoss
from .center_losses import CenterFocalLoss
from .distillation_losses import EdgeKLLoss, FeatureMimickingLoss

__all__ = [
    'CenterFocalLoss',
    'EdgeCIoULoss',
    'EdgeDistributionLoss',
    'EdgeKLLoss',
    'FeatureMimickingLoss',
]
