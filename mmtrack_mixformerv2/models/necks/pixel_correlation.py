"""Pixel-wise correlation of template and search region, the neck of MVT (arXiv 2309.05829).

The poster says "cross-correlation". What was published has a batch norm per branch, the
correlation with every cell of the template, channel attention and a 1x1 convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import Features


@MODELS.register_module()
class PixelCorrelationNeck(BaseModule):
    """How much each cell of the search region is like each cell of the template.

    All after the batch norms is a matrix product per search token, as 1x1 convolutions are.

    Args:
        in_channels: Width C of the tokens of the backbone.
        out_channels: Width of the tokens that heads read.
        template_tokens: Cells of the template, K: 64 of a template of 128 pixels at stride 16.
        init_cfg: As in mmengine.
    """

    reads_template = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int = 256,
        template_tokens: int = 64,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.template_tokens = template_tokens
        self.search_norm = nn.BatchNorm1d(in_channels)
        self.template_norm = nn.BatchNorm1d(in_channels)
        self.attention1 = nn.Linear(template_tokens, template_tokens)
        self.attention2 = nn.Linear(template_tokens, template_tokens)
        self.project = nn.Linear(template_tokens, out_channels)

    def correlate(self, features: Features) -> Tensor:
        """Products ``(B, Ns, K)`` of the normalised tokens, not scaled.

        Raises:
            ValueError: If there are no template tokens, or another number.
        """
        template = features.template
        if template is None or template.shape[1] != self.template_tokens:
            count = 'no' if template is None else template.shape[1]
            raise ValueError(
                f'the features have {count} template tokens, expected {self.template_tokens}; set '
                'template_tokens to those of the backbone, (template_size / 16)^2 of SiamMobileViT.'
            )
        search = self.search_norm(features.search.transpose(1, 2))  # (B, C, Ns)
        template = self.template_norm(template.transpose(1, 2))  # (B, C, K)
        return search.transpose(1, 2) @ template

    def attend(self, correlation: Tensor) -> Tensor:
        """The correlation ``(B, Ns, K)`` with each cell of the template given a weight."""
        weights = self.attention2(F.relu(self.attention1(correlation.mean(dim=1, keepdim=True))))
        return correlation * torch.sigmoid(weights)

    def forward(self, features: Features) -> Features:
        """Search tokens ``(B, Ns, C)`` and template tokens ``(B, K, C)`` to search tokens.

        Returns:
            ``search`` of shape ``(B, Ns, out_channels)``, and nothing else.
        """
        return Features(self.project(self.attend(self.correlate(features))))
