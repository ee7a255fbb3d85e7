"""Backbones: templates to a cache, search region and cache to features."""

from .base import TemplateSearchBackbone
from .pmam_vit import PMAMViT

__all__ = ['PMAMViT', 'TemplateSearchBackbone']
