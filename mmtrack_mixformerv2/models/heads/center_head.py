"""Centre head: where the centre lies, how large the box is, and the rest of the centre.

The head of MVT (arXiv 2309.05829) and of FERMT (ECCV 2024) as published: three towers of
convolutions that share nothing. The papers draw two branches and a corner head instead.
"""

from __future__ import annotations

from math import isqrt, log, pi

import torch
from mmengine.model import BaseModule
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import BoxPrediction, Features
from .corner_head import conv_unit
from .token_heads import at_least_float

_LEAST = 1e-4  # scores and sizes stay this far from 0 and 1
_MOST_LOGIT = log((1 - _LEAST) / _LEAST)


def hann_window(grid: int, device: torch.device | None = None) -> Tensor:
    """Cosine window ``(grid, grid)`` that is highest in the middle and nowhere zero.

    The outer product of ``0.5 * (1 - cos(2 pi k / (grid + 1)))``, k from 1 to ``grid``.
    """
    steps = torch.arange(1, grid + 1, dtype=torch.float32, device=device)
    window = 0.5 * (1 - torch.cos(2 * pi / (grid + 1) * steps))
    return window[:, None] * window


class CenterTower(nn.Module):
    """Four 3x3 convolutions with batch norm and ReLU, then a 1x1 convolution to the map."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [in_channels, channels, channels // 2, channels // 4, channels // 8]
        self.convs = nn.ModuleList(conv_unit(a, b) for a, b in zip(widths, widths[1:]))
        self.predict = nn.Conv2d(channels // 8, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, G, G)`` to ``(B, out_channels, G, G)``."""
        for conv in self.convs:
            x = conv(x)
        return self.predict(x)


@MODELS.register_module()
class CenterHead(BaseModule):
    """Score, size and offset maps of the search tokens, and the box at the best cell.

    The box is that of the cell whose score is highest. In the tracking loop a cosine window first
    lowers the scores far from where the target was; training and ``mode='tensor'`` never do that.

    Weights of the convolutions begin Xavier-uniform, their biases as PyTorch's.

    Args:
        in_channels: Token width C.
        channels: Width of the first convolution of a tower, a multiple of eight; the others have a
            half, a quarter and an eighth.
        window: ``'hann'``, or None to track by the scores as they are.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If ``channels`` is no multiple of eight, or there is no such window.
    """

    windowed = True
    gives_score = True

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int = 256,
        window: str | None = 'hann',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if channels < 8 or channels % 8:
            raise ValueError(f'channels is {channels}, expected a positive multiple of 8')
        if window not in ('hann', None):
            raise ValueError(f"window is {window!r}, expected 'hann' or None")
        self.in_channels = in_channels
        self.window = window
        self.score = CenterTower(in_channels, channels, 1)
        self.size = CenterTower(in_channels, channels, 2)
        self.offset = CenterTower(in_channels, channels, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
        self.first: nn.Module | None = None  # see fuse

    @property
    def towers(self) -> tuple[CenterTower, CenterTower, CenterTower]:
        """Of score, size and offset."""
        return self.score, self.size, self.offset

    @torch.no_grad()
    def fuse(self) -> None:
        """Make one convolution of the first ones of the towers, which read the same tokens.

        For inference alone, when the convolutions have taken over the batch norms behind them.
        """
        units = [tower.convs.pop(0) for tower in self.towers]
        convs = [unit[0] for unit in units]
        joined = nn.Conv2d(self.in_channels, 3 * convs[0].out_channels, 3, padding=1)
        joined.weight = nn.Parameter(torch.cat([conv.weight for conv in convs]), False)
        joined.bias = nn.Parameter(torch.cat([conv.bias for conv in convs]), False)
        self.first = nn.Sequential(joined, *units[0][1:])

    def maps(self, features: Features) -> dict[str, Tensor]:
        """The maps, [row, column], float32 at least.

        Args:
            features: ``search`` of shape ``(B, G * G, C)``.

        Returns:
            ``score_logits`` ``(B, 1, G, G)``, before the sigmoid; ``score`` ``(B, 1, G, G)`` in
            [1e-4, 1 - 1e-4]; ``size`` ``(B, 2, G, G)``, width and height in units of the search
            region, in the same range; ``offset`` ``(B, 2, G, G)``, x and y of the centre in cells
            from the left and upper border of its cell, any number.
        """
        search = features.search
        grid = isqrt(search.shape[1])
        image = search.transpose(1, 2).unflatten(2, (grid, grid))
        starts = (image,) * 3 if self.first is None else self.first(image).chunk(3, dim=1)
        logits, size, offset = (at_least_float(t(x)) for t, x in zip(self.towers, starts))
        return dict(
            score_logits=logits,
            score=_probability(logits),
            size=_probability(size),
            offset=offset,
        )

    def forward(self, features: Features, *, window: bool = False) -> BoxPrediction:
        """Box and score of the best cell, and the score map, which no window has changed.

        Args:
            features: ``search`` of shape ``(B, G * G, C)``.
            window: Choose the cell as the tracking loop does. The score is that of the chosen
                cell without the window.
        """
        maps = self.maps(features)
        score, grid = maps['score'][:, 0], maps['score'].shape[-1]
        response = score
        if window and self.window:
            response = hann_window(grid, score.device) * score
        best = response.flatten(1).argmax(dim=1)[:, None, None]
        columns = torch.arange(grid, dtype=score.dtype, device=score.device).expand(grid, grid)
        centre = (maps['offset'] + torch.stack([columns, columns.mT])) / grid
        everywhere = torch.cat([centre, maps['size'], maps['score_logits']], dim=1).flatten(2)
        x, y, width, height, logit = everywhere.gather(2, best.expand(-1, 5, 1))[..., 0].unbind(1)
        boxes = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        return BoxPrediction(
            torch.stack(boxes, dim=1),
            score_logits=logit.clamp(-_MOST_LOGIT, _MOST_LOGIT),
            score_map=score,
        )


def _probability(logits: Tensor) -> Tensor:
    return logits.sigmoid().clamp(_LEAST, 1 - _LEAST)
