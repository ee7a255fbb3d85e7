"""Search tokens weighted by how much the template attends to them: an option of FERMT.

The FERMT paper (ECCV 2024) weights what its corner head reads by an attention map, and does not
define that map; the published system does without. This is an extension of our own, after STARK,
which multiplies each token by its similarity to a query.
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import nn

from ...structures import Features


@MODELS.register_module()
class AttentionReweightingNeck(BaseModule):
    """Attention of the mean template token to the search tokens, as their weights.

    The attention is a softmax over the search tokens, times their number: the weights average 1,
    and where no token stands out nothing changes.

    Args:
        in_channels: Token width C, which stays.
        init_cfg: As in mmengine.

    Attributes:
        scale: Of the products before the softmax; learned, and at first ``C ** -0.5``.
    """

    reads_template = True

    def __init__(self, *, in_channels: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.scale = nn.Parameter(torch.tensor(in_channels**-0.5))

    @property
    def out_channels(self) -> int:
        """Width of the tokens that heads read."""
        return self.in_channels

    def forward(self, features: Features) -> Features:
        """Search tokens ``(B, Ns, C)`` and template tokens ``(B, Nt, C)`` to search tokens."""
        query = features.template.mean(dim=1, keepdim=True)
        similarity = features.search @ query.mT * self.scale  # (B, Ns, 1)
        return Features(features.search * (similarity.softmax(dim=1) * similarity.shape[1]))
