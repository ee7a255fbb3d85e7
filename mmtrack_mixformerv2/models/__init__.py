"""Backbones, heads, losses and the tracker; importing registers them in mmtrack's MODELS."""

from .data_preprocessor import CropDataPreprocessor
from .dense_guidance import DenseGuidance
from .losses import EdgeCIoULoss, EdgeDistributionLoss
from .pmam_vit import PMAMViT
from .token_heads import TokenDistributionHead, TokenScoreHead
from .tracker import TemplateSearchTracker

__all__ = [
    'CropDataPreprocessor',
    'DenseGuidance',
    'EdgeCIoULoss',
    'EdgeDistributionLoss',
    'PMAMViT',
    'TemplateSearchTracker',
    'TokenDistributionHead',
    'TokenScoreHead',
]
