"""Backbones, necks, heads, losses and the tracker; importing registers them in mmtrack's MODELS."""

from .backbones import FERMTViT, MixCvT, PMAMViT, SiamMobileViT
from .data_preprocessor import CropDataPreprocessor
from .dense_guidance import DenseGuidance
from .distillation import DistillationSOT
from .heads import (
    CenterHead,
    CornerHead,
    ScorePredictionModule,
    TokenDistributionHead,
    TokenScoreHead,
)
from .losses import (
    CenterFocalLoss,
    EdgeCIoULoss,
    EdgeDistributionLoss,
    EdgeKLLoss,
    FeatureMimickingLoss,
)
from .necks import AttentionReweightingNeck, PixelCorrelationNeck
from .tracker import TemplateSearchTracker

__all__ = [
    'AttentionReweightingNeck',
    'CenterFocalLoss',
    'CenterHead',
    'CornerHead',
    'CropDataPreprocessor',
    'DenseGuidance',
    'DistillationSOT',
    'EdgeCIoULoss',
    'EdgeDistributionLoss',
    'EdgeKLLoss',
    'FERMTViT',
    'FeatureMimickingLoss',
    'MixCvT',
    'PMAMViT',
    'PixelCorrelationNeck',
    'ScorePredictionModule',
    'SiamMobileViT',
    'TemplateSearchTracker',
    'TokenDistributionHead',
    'TokenScoreHead',
]
