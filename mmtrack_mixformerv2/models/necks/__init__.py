"""Necks: features of a backbone to the features that heads read."""

from .attention_reweighting import AttentionReweightingNeck
from .pixel_correlation import PixelCorrelationNeck

__all__ = ['AttentionReweightingNeck', 'PixelCorrelationNeck']
