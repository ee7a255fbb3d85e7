"""Heads: features to boxes, and to scores."""

from .corner_head import CornerHead
from .token_heads import TokenDistributionHead, TokenScoreHead

__all__ = ['CornerHead', 'TokenDistributionHead', 'TokenScoreHead']
