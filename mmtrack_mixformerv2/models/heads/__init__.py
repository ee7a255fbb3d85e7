"""Heads: features to boxes, and to scores."""

from .center_head import CenterHead
from .corner_head import CornerHead
from .score_prediction import ScorePredictionModule
from .token_heads import TokenDistributionHead, TokenScoreHead

__all__ = [
    'CenterHead',
    'CornerHead',
    'ScorePredictionModule',
    'TokenDistributionHead',
    'TokenScoreHead',
]
