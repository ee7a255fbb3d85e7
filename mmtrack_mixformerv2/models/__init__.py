"""Backbones, heads, losses and the tracker; importing registers them in mmtrack's MODELS."""

from .corner_head import CornerHead
from .data_preprocessor import CropDataPreprocessor
from .dense_guidance import DenseGuidance
from .distillation import DistillationSOT
from .distillation_losses import EdgeKLLoss, FeatureMimickingLoss
from .losses import EdgeCIoULoss, EdgeDistributionLoss
from .pmam_vit import PMAMViT
from .token_heads import TokenDistributionHead, TokenScoreHead
from .tracker import TemplateSearchTracker

__all__ = [
    'CornerHead',
    'CropDataPreprocessor',
    'DenseGuidance',
    'DistillationSOT',
    'EdgeCIoULoss',
    'EdgeDistributionLoss',
    'EdgeKLLoss',
    'FeatureMimickingLoss',
    'PMAMViT',
    'TemplateSearchTracker',
    'TokenDistributionHead',
    'TokenScoreHead',
]
