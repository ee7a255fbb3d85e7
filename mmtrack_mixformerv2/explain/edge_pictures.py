"""The four edge distributions along the sides of the box (Fig. 7 of MixFormerV2).

A sharp peak means that the network is sure of an edge. A wide or a double one means that it is not,
for instance because something hides the edge or looks like the target.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.axes_grid1 import make_axes_locatable

from ..tracking.sequence_tracker import EdgeDistributions
from .frame_explanation import EDGES
from .pictures import EDGE_COLORS

_SHIFT = 4  # OpenCV draws at 1/16 of a pixel
_NEGLIGIBLE = 0.01  # of the highest probability: not drawn


def draw_edges(
    frame: np.ndarray,
    box_xywh: Sequence[float],
    edges: EdgeDistributions,
    *,
    full: float | None = None,
) -> np.ndarray:
    """The box on a copy of the frame, and at its sides the distribution of each edge.

    There is one curve at each corner: left above the box, top to its right, right below it, bottom
    to its left; on the opposite side if the frame ends too soon.

    Args:
        frame: uint8 BGR ``(height, width, 3)``.
        box_xywh: In pixels of the frame.
        edges: Of the same frame, as the tracker's result has them.
        full: Probability of a bin whose curve is as high as any may get, half the size of the box;
            by default that of the likeliest bin. Give one number to compare the frames of a video.

    Returns:
        uint8 BGR ``(height, width, 3)``.

    Raises:
        ValueError: If there are no distributions.
    """
    _check(edges)
    height, width = frame.shape[:2]
    x, y, w, h = (float(value) for value in box_xywh)
    reach = float(np.clip(0.5 * np.sqrt(abs(w * h)), 12, 0.3 * min(height, width)))
    # Which side of the box a curve stands on, and which way it rises.
    sides = {
        'left': (y, -reach) if y >= reach else (y + h, reach),
        'top': (x + w, reach) if x + w + reach <= width else (x, -reach),
        'right': (y + h, reach) if y + h + reach <= height else (y, -reach),
        'bottom': (x, -reach) if x >= reach else (x + w, reach),
    }
    outlines = {}
    for name, (positions, heights) in _curves(edges, full or np.max(edges.probabilities)).items():
        base, rise = sides[name]
        across = np.concatenate([base + rise * heights, [base, base]])
        along = np.concatenate([positions, positions[[-1, 0]]])
        points = (along, across) if name in ('left', 'right') else (across, along)
        outlines[name] = _fixed_point(np.stack(points, axis=1))
    filled = frame.copy()
    for name, outline in outlines.items():
        cv2.fillPoly(filled, [outline], _bgr(name), cv2.LINE_AA, _SHIFT)
    picture = cv2.addWeighted(filled, 0.45, frame, 0.55, 0)
    thickness = max(1, round(min(height, width) / 300))
    box = _fixed_point(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]))
    cv2.polylines(picture, [box], True, (255, 255, 255), thickness, cv2.LINE_AA, _SHIFT)
    for name, outline in outlines.items():
        cv2.polylines(picture, [outline], True, _bgr(name), thickness, cv2.LINE_AA, _SHIFT)
    return picture


def edge_figure(
    picture: np.ndarray,
    box_xywh: Sequence[float],
    edges: EdgeDistributions,
    *,
    region_xywh: Sequence[float] | None = None,
) -> Figure:
    """The search region with the box, and the four distributions on axes of their own beside it.

    Args:
        picture: uint8 RGB ``(height, width, 3)``, a whole frame or the part of it in
            ``region_xywh``, at any scale.
        box_xywh: In pixels of the frame.
        edges: Of the same frame.
        region_xywh: Where the picture lies in the frame; None for a whole frame.

    Returns:
        Left and right above the picture, top and bottom to its right. Each label gives the mean of
        the edge and its standard deviation in pixels of the frame; the dashed lines are the sides
        of the box.

    Raises:
        ValueError: If there are no distributions.
    """
    _check(edges)
    x, y, w, h = (float(value) for value in box_xywh)
    figure = Figure(figsize=(6.4, 6.4))
    main = figure.add_axes((0.11, 0.09, 0.86, 0.86), anchor='SW')
    main.set(xlabel='x in the frame [px]', ylabel='y in the frame [px]', facecolor='black')
    # These stay as long as the picture, whatever its shape.
    beside_it = make_axes_locatable(main)
    above = beside_it.append_axes('top', size='30%', pad=0.1, sharex=main)
    beside = beside_it.append_axes('right', size='30%', pad=0.1, sharey=main)
    left, top, width, height = region_xywh or (0, 0, picture.shape[1], picture.shape[0])
    main.imshow(picture, extent=(left, left + width, top + height, top), interpolation='bilinear')
    main.add_patch(Rectangle((x, y), w, h, fill=False, color='white', lw=1.5))
    first, end = _ends(edges.positions)
    main.set(xlim=(first[0], end[0]), ylim=(end[1], first[1]))
    _draw_distributions(above, edges, ('left', 'right'), (x, x + w))
    _draw_distributions(beside, edges, ('top', 'bottom'), (y, y + h))
    highest = 1.08 * float(np.max(edges.probabilities))
    above.set(ylim=(0, highest), ylabel='probability')
    beside.set(xlim=(0, highest), xlabel='probability')
    beside.xaxis.set_major_locator(MaxNLocator(2, prune='lower'))
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    means = (edges.probabilities * edges.positions).sum(axis=1)
    for row, (name, mean, spread) in enumerate(zip(EDGES, means, edges.spread)):
        above.text(
            1.05,
            0.85 - 0.22 * row,
            f'{name} {mean:.0f} ± {spread:.1f} px',
            color=EDGE_COLORS[name],
            fontsize='small',
            transform=above.transAxes,
        )
    return figure


def _check(edges: EdgeDistributions | None) -> None:
    if edges is None:
        raise ValueError(
            'there are no edge distributions to draw, expected those of a TrackResult; the first '
            'frame of a sequence has none, and neither have models that regress the box directly.'
        )


def _ends(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the search region begins and ends, for each edge."""
    bins = positions.shape[1]
    width = (positions[:, -1] - positions[:, 0]) * bins / max(1, bins - 1)
    return positions[:, 0], positions[:, 0] + width


def _draw_distributions(
    axes: Axes, edges: EdgeDistributions, names: Sequence[str], sides: Sequence[float]
) -> None:
    """Curves of two edges, over x for left and right, over y for top and bottom."""
    flat = names[0] == 'left'
    for name, side in zip(names, sides):
        row, color = EDGES.index(name), EDGE_COLORS[name]
        positions, heights = edges.positions[row], edges.probabilities[row]
        fill, line = (
            (axes.fill_between, axes.axvline) if flat else (axes.fill_betweenx, axes.axhline)
        )
        fill(positions, heights, color=color, alpha=0.45, lw=0)
        axes.plot(*((positions, heights) if flat else (heights, positions)), color=color, lw=1.5)
        line(side, color=color, ls='--', lw=1)


def _curves(edges: EdgeDistributions, full: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Positions and heights in [0, 1] of each curve, without its ends that are nearly zero."""
    curves = {}
    for name, probabilities, positions in zip(EDGES, *edges):
        heights = np.minimum(probabilities / (full or 1.0), 1)
        seen = np.flatnonzero(heights > _NEGLIGIBLE)
        if len(seen):
            part = slice(max(0, seen[0] - 1), seen[-1] + 2)
            curves[name] = positions[part], heights[part]
    return curves


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _bgr(name: str) -> tuple[int, int, int]:
    return tuple(round(255 * part) for part in reversed(to_rgb(EDGE_COLORS[name])))
