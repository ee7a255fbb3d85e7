"""The fixed position table of the published models: backbones hold it, the converter checks it."""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_position_table(grid_size: int, dims: int) -> Tensor:
    """Fixed 2-D position table of a square grid of tokens.

    Args:
        grid_size: Tokens per side, G.
        dims: Channels; a multiple of four.

    Returns:
        ``(1, G * G, dims)`` float32, row-major. The first half of the channels encodes the column,
        the second half the row; in each half all sines come before all cosines.
    """
    quarter = dims // 4
    frequencies = 10000 ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
    angles = torch.arange(grid_size, dtype=torch.float32)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # (G, dims / 2)
    columns = axis[None].expand(grid_size, -1, -1)
    rows = axis[:, None].expand(-1, grid_size, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, grid_size * grid_size, dims)
