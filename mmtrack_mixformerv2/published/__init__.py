"""The forward of each published tracker, on our weights: what everything else is compared to.

Nothing is kept that the authors' own tracker does not keep, batch norms are layers of their own,
attention is two matrix products and a softmax, and all of it is float32. Only what measures
and counts uses it. Which one it is follows from the backbone.
"""

from __future__ import annotations

from torch import nn

from ..models.backbones import FERMTViT, MixCvT, PMAMViT, SiamMobileViT
from .base import PublishedForward
from .fermt import PublishedFERMT
from .mixformer_cvt import PublishedMixFormerCvT
from .mixformer_vit import PublishedMixFormerViT
from .mvt import PublishedMVT

__all__ = ['PublishedForward', 'publish']

_FORWARDS: dict[type[nn.Module], type[PublishedForward]] = {
    PMAMViT: PublishedMixFormerViT,
    MixCvT: PublishedMixFormerCvT,
    SiamMobileViT: PublishedMVT,
    FERMTViT: PublishedFERMT,
}


def publish(model: nn.Module) -> PublishedForward:
    """The published forward of a tracker, as a predictor on its weights.

    Args:
        model: A :class:`~..models.tracker.TemplateSearchTracker` in evaluation mode.

    Raises:
        ValueError: If nobody has published a tracker with such a backbone.
    """
    for kind, forward in _FORWARDS.items():
        if isinstance(model.backbone, kind):
            return forward(model)
    known = ', '.join(kind.__name__ for kind in _FORWARDS)
    raise ValueError(
        f'the backbone is {type(model.backbone).__name__}, and published forwards are known for '
        f'{known}; leave the published forward out'
    )
