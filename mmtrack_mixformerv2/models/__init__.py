"""Backbones, heads, losses and the tracker; importing registers them in mmtrack's MODELS."""

from .backbones import PMAMViT
from .data_preprocessor import CropDataPreprocessor
from .dense_guidance import DenseGuidance
from .distillation import DistillationSOT
from .heads import CornerHead, TokenDistributionHead, TokenScoreHead
from .losses import EdgeCIoULoss, EdgeDistributionLoss, EdgeKLLoss, FeatureMimickingLoss
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
