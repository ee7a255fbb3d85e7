"""Score prediction module of MixFormer: is the target where the box is?

Paper: MixFormer, arXiv 2203.11082, section 3.2. One deliberate difference from the published code,
which changes no output but by rounding: a single token asks, so its query is taken to the memory
and not the memory to keys and values, which is a fraction of the work.
"""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import Features
from .prroi_pool import prroi_pool


class TokenReader(nn.Module):
    """One token attends to a memory; no residual, and a LayerNorm behind.

    Logits are scaled by the full width and not by that of a head, as published.

    Args:
        dims: Width C.
        num_heads: Heads of ``C / num_heads`` channels each.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dims, dims)
        self.key = nn.Linear(dims, dims)
        self.value = nn.Linear(dims, dims)
        self.proj = nn.Linear(dims, dims)
        self.norm = nn.LayerNorm(dims)

    def forward(self, token: Tensor, memory: Tensor) -> Tensor:
        """``(B, C)`` and ``(B, M, C)`` to ``(B, C)``.

        The order of products is changed, not their result: the logits q (m W_k)^T are
        (q W_k^T) m^T, and the mixed values p (m W_v) are (p m) W_v.
        """
        heads, dims = self.num_heads, token.shape[1]
        query = self.query(token).unflatten(1, (heads, 1, -1)) * dims**-0.5  # (B, heads, 1, d)
        asked = query @ self.key.weight.unflatten(0, (heads, -1))  # (B, heads, 1, C)
        shift = query @ self.key.bias.unflatten(0, (heads, -1, 1))  # (B, heads, 1, 1)
        attention = (asked @ memory.unsqueeze(1).mT + shift).softmax(dim=-1)
        seen = attention @ memory.unsqueeze(1)  # (B, heads, 1, C)
        mixed = seen @ self.value.weight.unflatten(0, (heads, -1)).mT  # (B, heads, 1, d)
        return self.norm(self.proj(mixed.flatten(1) + self.value.bias))


@MODELS.register_module()
class ScorePredictionModule(BaseModule):
    """One learned token looks at the box, then at the static template (MixFormer, section 3.2).

    Args:
        in_channels: Token width C.
        num_heads: Attention heads; the published models have one per 64 channels.
        pool_size: Bins to a side of the box.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If ``in_channels`` is no multiple of ``num_heads``.
    """

    reads_search = True
    reads_template = True
    reads_boxes = True

    def __init__(
        self,
        *,
        in_channels: int,
        num_heads: int,
        pool_size: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if in_channels % num_heads:
            raise ValueError(
                f'in_channels={in_channels} must be a multiple of num_heads={num_heads}'
            )
        self.in_channels = in_channels
        self.pool_size = pool_size
        self.score_token = nn.Parameter(torch.empty(1, 1, in_channels))
        nn.init.trunc_normal_(self.score_token, std=0.02)
        self.norm = nn.LayerNorm(in_channels)
        self.read_box = TokenReader(in_channels, num_heads)
        self.read_template = TokenReader(in_channels, num_heads)
        self.fc1 = nn.Linear(in_channels, in_channels)
        self.fc2 = nn.Linear(in_channels, in_channels)
        self.fc3 = nn.Linear(in_channels, 1)

    def forward(self, features: Features, boxes: Tensor | None = None) -> Tensor:
        """Logits ``(B,)`` of boxes.

        Args:
            features: ``search`` of shape ``(B, G * G, C)`` and ``template`` ``(B, Nt, C)``.
            boxes: ``(B, 4)`` xyxy in [0, 1] of the search region: the predicted ones, in training
                the true ones.

        Raises:
            ValueError: If there are no boxes or no template tokens.
        """
        if boxes is None or features.template is None:
            missing = 'boxes' if boxes is None else 'tokens of the static template'
            raise ValueError(
                f'the score prediction module got no {missing}; hand it predicted boxes and '
                'features of a backbone with keep_template_output=True.'
            )
        grid = isqrt(features.search.shape[1])
        maps = features.search.transpose(1, 2).unflatten(2, (grid, grid))
        # Of the published code: no rounding, and no half cell between pixels and cells.
        pooled = prroi_pool(maps, boxes * grid, self.pool_size)
        token = self.norm(self.score_token[0]).expand(maps.shape[0], -1)
        token = self.read_box(token, pooled.flatten(2).transpose(1, 2))
        token = self.read_template(token, features.template)
        hidden = F.relu(self.fc2(F.relu(self.fc1(token))))
        return self.fc3(hidden)[:, 0]
