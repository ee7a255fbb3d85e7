"""Heads that read the prediction tokens of MixFormerV2 (arXiv 2305.15896, section 3.2).

Follows the published implementation at revision 1041438: a LayerNorm after both linear layers of
the coordinate head, bins that stand for their left border, and (by default) the score as the mean
of the per-token outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import BoxPrediction, Features


class EdgeMlp(nn.Module):
    """Linear, LayerNorm, ReLU, Linear, LayerNorm: one token to one row of logits.

    Without ``normalize`` the last LayerNorm is left out; four coordinates have too little freedom
    under it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, normalize: bool = True) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_channels, in_channels)
        self.norm1 = nn.LayerNorm(in_channels)
        self.fc2 = nn.Linear(in_channels, out_channels)
        self.norm2 = nn.LayerNorm(out_channels) if normalize else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.fc2(F.relu(self.norm1(self.fc1(x)))))


def at_least_float(x: Tensor) -> Tensor:
    """Half precision as float32; anything wider as it is."""
    return x.float() if x.dtype.itemsize < 4 else x


def expected_edges(edge_logits: Tensor) -> Tensor:
    """Box whose edges are the expectations of their distributions (MixFormerV2, Eq. 2).

    Args:
        edge_logits: ``(..., 4, bins)``; bin ``i`` stands for ``i / bins`` of the search region.

    Returns:
        ``(..., 4)`` xyxy in [0, (bins - 1) / bins], float32 at least.
    """
    logits = at_least_float(edge_logits)
    bins = logits.shape[-1]
    positions = torch.arange(bins, dtype=logits.dtype, device=logits.device) / bins
    return (logits.softmax(dim=-1) * positions).sum(dim=-1)


@MODELS.register_module()
class TokenDistributionHead(BaseModule):
    """Prediction tokens to four edge distributions and their box (MixFormerV2, Eqs. 1-2).

    The designs of Tables 3a and 8a are combinations of two options:

    ==============  ==========  =====================================================
    ``num_tokens``  ``mlps``    design
    ==============  ==========  =====================================================
    4               shared      T4, one MLP for the four tokens (published)
    4               per_edge    T4, an MLP for each token
    1               per_edge    T1, four MLPs read one token
    1               box         T1, direct regression: one MLP gives centre and size
                                through a sigmoid, and there are no distributions
    ==============  ==========  =====================================================

    Args:
        in_channels: Token width C.
        num_bins: Bins of a distribution, F; ignored by ``mlps='box'``.
        num_tokens: Prediction tokens that the backbone brings.
        mlps: ``'shared'``, ``'per_edge'`` or ``'box'``.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If the combination is none of the four.
    """

    DESIGNS = {(4, 'shared'), (4, 'per_edge'), (1, 'per_edge'), (1, 'box')}
    reads_search = False
    gives_edges = True

    def __init__(
        self,
        *,
        in_channels: int,
        num_bins: int = 96,
        num_tokens: int = 4,
        mlps: str = 'shared',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if (num_tokens, mlps) not in self.DESIGNS:
            raise ValueError(
                f'no head reads num_tokens={num_tokens} with mlps={mlps!r}; expected one of '
                f'{sorted(self.DESIGNS)}.'
            )
        self.in_channels = in_channels
        self.num_tokens = num_tokens
        self.direct = mlps == 'box'
        self.gives_edges = not self.direct
        count, width = (4 if mlps == 'per_edge' else 1), (4 if self.direct else num_bins)
        self.mlps = nn.ModuleList(
            EdgeMlp(in_channels, width, normalize=not self.direct) for _ in range(count)
        )

    def forward(self, features: Features) -> BoxPrediction:
        """Box, and the distributions it came from.

        Args:
            features: ``tokens`` of shape ``(B, num_tokens, C)``, ordered left, top, right, bottom
                where there are four.

        Raises:
            ValueError: If the backbone has another number of prediction tokens.
        """
        tokens = features.tokens
        if tokens.shape[1] != self.num_tokens:
            raise ValueError(
                f'the backbone brings {tokens.shape[1]} prediction tokens, this head reads '
                f'{self.num_tokens}; make num_prediction_tokens and num_tokens agree.'
            )
        if self.direct:
            centre, size = self.mlps[0](tokens[:, 0]).float().sigmoid().split(2, dim=-1)
            return BoxPrediction(torch.cat([centre - size / 2, centre + size / 2], dim=-1))
        if len(self.mlps) == 1:
            edge_logits = self.mlps[0](tokens)
        else:
            edges = [mlp(tokens[:, i % self.num_tokens]) for i, mlp in enumerate(self.mlps)]
            edge_logits = torch.stack(edges, dim=1)
        return BoxPrediction(expected_edges(edge_logits), edge_logits)


@MODELS.register_module()
class TokenScoreHead(BaseModule):
    """How sure the tracker is that the target is in the search region (MixFormerV2, section 3.2).

    Args:
        in_channels: Token width C.
        order: ``'mean_of_logits'`` averages the outputs of the tokens, as the released weights
            need; ``'mean_of_tokens'`` feeds the mean token to the MLP, as the paper writes. They
            differ by the ReLU between.
        init_cfg: As in mmengine.
    """

    ORDERS = ('mean_of_logits', 'mean_of_tokens')
    reads_search = False
    needs_tokens = True

    def __init__(
        self, *, in_channels: int, order: str = 'mean_of_logits', init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if order not in self.ORDERS:
            raise ValueError(f'order is {order!r}, expected one of {self.ORDERS}')
        self.in_channels = in_channels
        self.order = order
        self.fc1 = nn.Linear(in_channels, in_channels)
        self.fc2 = nn.Linear(in_channels, 1)

    def forward(self, features: Features, boxes: Tensor | None = None) -> Tensor:
        """Logits ``(B,)`` of ``features.tokens`` ``(B, P, C)``; the boxes make no difference."""
        tokens = features.tokens
        if self.order == 'mean_of_tokens':
            tokens = tokens.mean(dim=1, keepdim=True)
        return self.fc2(F.relu(self.fc1(tokens))).mean(dim=(1, 2))
