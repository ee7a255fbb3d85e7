"""Losses on boxes, edge distributions and features; importing registers them in mmtrack."""

from .box_losses import EdgeCIoULoss, EdgeDistributionLoss
from .distillation_losses import EdgeKLLoss, FeatureMimickingLoss

__all__ = ['EdgeCIoULoss', 'EdgeDistributionLoss', 'EdgeKLLoss', 'FeatureMimickingLoss']
