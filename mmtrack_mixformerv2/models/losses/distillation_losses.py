"""What a student learns from its teacher (MixFormerV2, arXiv 2305.15896, section 3.3).

Defaults are the paper's. Where the published code at revision 1041438 does something else there is
an option; ``configs/_base_/distillation/published.py`` sets them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import floor, isqrt

import torch
import torch.nn.functional as F
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ..heads.token_heads import at_least_float


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _resampling(source: int, target: int, device: torch.device) -> Tensor:
    """``(source, target)``: where the mass of each source bin goes.

    Bin i lies at ``u = i * target / source`` target bins. Its mass takes the shape of a triangle as
    wide as a source bin, split linearly over the two triangles beside u, so mass and expectation
    stay. Towards the ends, where a triangle would stick out, it gets narrower.
    """
    weights = torch.zeros(source, target, dtype=torch.float64)
    for i in range(source):
        u = min(i * target / source, target - 1)
        low = floor(u)
        for centre, share in ((low, 1 - u + low), (low + 1, u - low)):
            if share:
                width = min(max(1, round(target / source)), centre + 1, target - centre)
                for j in range(centre - width + 1, centre + width):
                    weights[i, j] += share * (width - abs(j - centre)) / width**2
    return weights.to(device)


def resample_edges(probabilities: Tensor, bins: int) -> Tensor:
    """Edge distributions with another number of bins, of the same mass and expectation.

    Args:
        probabilities: ``(..., source bins)``; bin ``i`` stands for ``i / source bins``.
        bins: Number of bins wanted.

    Returns:
        ``(..., bins)``. The expectation is kept as long as ``bins`` can express it: positions end
        at ``(bins - 1) / bins``, and one beyond ends there.
    """
    source = probabilities.shape[-1]
    if source == bins:
        return probabilities
    weights = _resampling(source, bins, probabilities.device)
    resampled = probabilities @ weights.to(probabilities.dtype)
    if source > bins:
        # What lay beyond the last bin was put into it; so much more of the rest joins it there.
        position = torch.arange(source, dtype=torch.float64) * bins / source
        beyond = (position - (bins - 1)).clamp(min=0).to(probabilities)
        below = (bins - 1) - torch.arange(bins).to(probabilities)
        lost = (probabilities * beyond).sum(-1, keepdim=True)
        room = (resampled * below).sum(-1, keepdim=True)
        share = (lost / room.clamp(min=torch.finfo(room.dtype).tiny)).clamp(max=1)
        mass = probabilities.sum(-1, keepdim=True)
        resampled = resampled * (1 - share) + mass * share * (below == 0)
    return resampled


@MODELS.register_module()
class EdgeKLLoss(nn.Module):
    """Kullback-Leibler divergence of the student's edge distributions from the teacher's (Eq. 5).

    ``KL(teacher || student)``, summed over the bins and averaged over the samples; temperature 1.
    The paper writes the arguments the other way round; this is what its code computes. Computed in
    float32 at least, also under autocast. A teacher with other bins is resampled.

    Args:
        loss_weight: Factor; 1 in the paper, 5 in the published code.
        sides: ``'sum'`` over the four edges (paper) or their ``'mean'`` (published code).
    """

    REDUCTIONS = ('sum', 'mean')

    def __init__(self, loss_weight: float = 1.0, sides: str = 'sum') -> None:
        super().__init__()
        if sides not in self.REDUCTIONS:
            raise ValueError(f'sides is {sides!r}, expected one of {self.REDUCTIONS}')
        self.loss_weight = loss_weight
        self.sides = sides

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Loss of logits ``(N, 4, bins)`` against teacher logits ``(N, 4, other bins)``."""
        with torch.autocast(student_logits.device.type, enabled=False):
            student = at_least_float(student_logits).log_softmax(dim=-1)
            teacher = at_least_float(teacher_logits).softmax(dim=-1)
            teacher = resample_edges(teacher, student.shape[-1])
            divergence = F.kl_div(student, teacher, reduction='none').sum(dim=-1)  # (N, 4)
        total = divergence.sum(dim=1) if self.sides == 'sum' else divergence.mean(dim=1)
        return self.loss_weight * total.mean()


@MODELS.register_module()
class FeatureMimickingLoss(nn.Module):
    """Mean squared error between matched layers of student and teacher (Eq. 6).

    Args:
        loss_weight: Factor; 0.2 in the paper and in the published code.
        pairs: ``'sum'`` over the pairs of layers (paper) or their ``'mean'`` (published code).
        tokens: ``'search'`` compares the feature maps of the search region (paper), ``'all'`` also
            the templates and the prediction tokens (published code).
    """

    REDUCTIONS = ('sum', 'mean')
    TOKENS = ('search', 'all')

    def __init__(
        self, loss_weight: float = 0.2, pairs: str = 'sum', tokens: str = 'search'
    ) -> None:
        super().__init__()
        if pairs not in self.REDUCTIONS or tokens not in self.TOKENS:
            raise ValueError(
                f'pairs is {pairs!r}, expected one of {self.REDUCTIONS}; tokens is {tokens!r}, '
                f'expected one of {self.TOKENS}.'
            )
        self.loss_weight = loss_weight
        self.pairs = pairs
        self.tokens = tokens

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Loss of layers ``(N, tokens, C)``, one per pair, against those of the teacher."""
        errors = [
            F.mse_loss(at_least_float(own), at_least_float(other))
            for own, other in zip(student, teacher, strict=True)
        ]
        total = torch.stack(errors).sum() if self.pairs == 'sum' else torch.stack(errors).mean()
        return self.loss_weight * total


def resize_grid(tokens: Tensor, count: int) -> Tensor:
    """Square map of tokens ``(N, g * g, C)``, row by row, at ``count`` tokens (bilinear)."""
    if tokens.shape[1] == count:
        return tokens
    side, wanted = isqrt(tokens.shape[1]), isqrt(count)
    image = tokens.transpose(1, 2).unflatten(2, (side, side))
    image = F.interpolate(image, (wanted, wanted), mode='bilinear', align_corners=False)
    return image.flatten(2).transpose(1, 2)
