"""Precise RoI pooling: the exact mean of an interpolated map over the bins of a box.

Paper: IoU-Net, arXiv 1807.11590, section 3.3. The map is interpolated bilinearly between its cells,
cell (row r, column c) at the coordinates (c, r), and is zero outside. The integral over a rectangle
takes of each cell a weight of its column times one of its row, so it is a sum without sampling
points, which any device computes and any graph can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def prroi_pool(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Mean of a map over each of ``size * size`` bins of one box per image.

    CUDA tensors go to the compiled operator of mmcv if mmcv was installed with its operators (not
    as mmcv-lite); everything else, and any graph that is compiled or exported, is computed here.
    Both are exact up to rounding.

    Args:
        features: ``(B, C, H, W)``.
        boxes: ``(B, 4)`` xyxy in cells of the map.
        size: Bins to a side.

    Returns:
        ``(B, C, size, size)``, [row, column]; zero for boxes without area, reversed ones too.
    """
    operator = _compiled_operator() if features.is_cuda else None
    if operator is not None and not torch.compiler.is_compiling():
        numbers = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
        rois = torch.cat([numbers[:, None], boxes], dim=1)
        return operator(features.contiguous(), rois, (size, size), 1.0)
    x0, y0, x1, y1 = boxes.to(features.dtype).unbind(dim=1)
    columns = bin_weights(x0, x1, size, features.shape[3])
    rows = bin_weights(y0, y1, size, features.shape[2])
    weights = (rows[:, :, None, :, None] * columns[:, None, :, None, :]).flatten(3).flatten(1, 2)
    pooled = weights @ features.flatten(2).transpose(1, 2)  # (B, size * size, C)
    return pooled.transpose(1, 2).unflatten(2, (size, size))


def bin_weights(start: Tensor, stop: Tensor, size: int, cells: int) -> Tensor:
    """How much every cell of a line counts in the mean over every bin of an interval.

    A cell carries a hat of height 1 that falls to zero at its neighbours. Its integral is taken as
    difference times mean on either side of the top, which stays exact for narrow bins.

    Args:
        start: ``(B,)``, in cells.
        stop: ``(B,)``; where it is not above ``start`` all weights are zero.
        size: Number of bins.
        cells: Number of cells.

    Returns:
        ``(B, size, cells)``; a row sums to 1 if its bin lies between the first and the last cell.
    """
    width = (stop - start).clamp(min=0) / size
    edges = torch.arange(size + 1, dtype=start.dtype, device=start.device)
    edges = start[:, None] + width[:, None] * edges  # (B, size + 1)
    centres = torch.arange(cells, dtype=start.dtype, device=start.device)
    offsets = edges[:, :, None] - centres  # (B, size + 1, cells)
    # Two clamps of one tensor get one name in ONNX graphs, which breaks them: -x has its own.
    before, after = (-offsets).clamp(0, 1), offsets.clamp(0, 1)
    rising = -before.diff(dim=1) * (1 - (before[:, 1:] + before[:, :-1]) / 2)
    falling = after.diff(dim=1) * (1 - (after[:, 1:] + after[:, :-1]) / 2)
    covered = edges.diff(dim=1).clamp(min=torch.finfo(start.dtype).tiny)  # 0 / tiny is 0
    return (rising + falling) / covered[:, :, None]


@cache
def _compiled_operator() -> Callable[..., Tensor] | None:
    """mmcv's operator, or None where mmcv has none."""
    try:
        from mmcv.ops.prroi_pool import prroi_pool as operator
    except ImportError:  # mmcv-lite, or an extension that does not fit this torch
        return None
    return operator
