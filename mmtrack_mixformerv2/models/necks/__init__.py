"""Necks: features of a backbone to the features that heads read."""

from .pixel_correlation import PixelCorrelationNeck

__all__ = ['PixelCorrelationNeck']
