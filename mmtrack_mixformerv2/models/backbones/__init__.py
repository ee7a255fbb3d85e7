"""Backbones: templates to a cache, search region and cache to features."""

from .base import TemplateSearchBackbone
from .fermt_vit import FERMTViT
from .mix_cvt import MixCvT
from .pmam_vit import PMAMViT
from .siam_mobile_vit import SiamMobileViT

__all__ = ['FERMTViT', 'MixCvT', 'PMAMViT', 'SiamMobileViT', 'TemplateSearchBackbone']
