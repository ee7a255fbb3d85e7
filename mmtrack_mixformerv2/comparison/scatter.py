"""The picture of a comparison: how fast, how good and how large, as in the papers' Figure 1."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FormatStrFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from ..benchmark.speed.contenders import PUBLISHED
from ..evaluation.report_files import TITLES
from ..files import replace_file
from .side_by_side import Row
from .tables import metric_names, millions

_LARGEST = 1500.0  # area of the largest model in square points
_TICKS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))  # of each decade; the first with four is taken


def write_scatter(folder: Path, rows: Sequence[Row], columns: Sequence[str]) -> list[Path]:
    """Draw ``comparison.png`` and ``comparison.svg``; without any speed there is none.

    Each model has a disc for each backend: to the right is faster (logarithmic), upwards is better,
    or cheaper where no data set was tracked: fewer multiply-adds. The area is the parameters.

    Args:
        folder: Where to; pictures of an earlier call are removed if there is none now.
        rows: The models.
        columns: What they ran on; the published forward is drawn as a ring.

    Raises:
        OSError: If a file cannot be written.
    """
    paths = [folder / f'comparison.{kind}' for kind in ('png', 'svg')]
    metric = next(iter(metric_names(rows)), None)
    shown = [row for row in rows if row.speeds and (metric is None or metric in row.metrics)]
    if not shown:
        for path in paths:
            path.unlink(missing_ok=True)
        return []
    note = ''
    if left_out := [row.entry.name for row in rows if row not in shown]:
        what = 'speed' if metric is None else f'{TITLES.get(metric, metric)} or no speed'
        note = f'not shown, no {what}: {", ".join(left_out)}'
    figure = draw(shown, columns, metric, note)
    for path in paths:
        picture = io.BytesIO()
        figure.savefig(picture, format=path.suffix[1:])
        replace_file(path, picture.getvalue())
    return paths


def draw(rows: Sequence[Row], columns: Sequence[str], metric: str | None, note: str = '') -> Figure:
    """The picture of models that have a speed and, unless it is None, the metric."""
    largest = max(row.entry.parameters for row in rows)
    areas = {row.entry.name: _LARGEST * row.entry.parameters / largest for row in rows}
    figure = Figure(figsize=(8, 5.5), dpi=140, layout='constrained')
    ax = figure.subplots()
    for name, color in zip(columns, colormaps['tab10'].colors):
        _draw_discs(ax, [row for row in rows if name in row.speeds], name, metric, color, areas)
    _label(ax, rows, metric)
    figure.legend(loc='outside upper center', ncols=len(columns), title='area: parameters')
    for handle in figure.legends[0].legend_handles:
        handle.set_sizes([60])
    if note:
        figure.supxlabel(textwrap.fill(note, 110), fontsize='small')
    figure.draw_without_rendering()  # now it is known what lies where
    _write_names(ax, rows, metric, areas)
    return figure


def _draw_discs(
    ax: Axes,
    rows: Sequence[Row],
    name: str,
    metric: str | None,
    color: tuple[float, ...],
    areas: Mapping[str, float],
) -> None:
    """A disc for each model on one backend."""
    if not rows:
        return
    x = [row.speeds[name].frames_per_second for row in rows]
    y = [_height(row, metric) for row in rows]
    hollow = name == PUBLISHED.backend
    ax.scatter(
        x, y, [areas[row.entry.name] for row in rows], label=name, alpha=0.9 if hollow else 0.55,
        facecolors='none' if hollow else [color], edgecolors=[color],
    )  # fmt: skip
    ax.scatter(x, y, 4, color='black')


def _write_names(
    ax: Axes, rows: Sequence[Row], metric: str | None, areas: Mapping[str, float]
) -> None:
    """A line through the discs of each model, and its name where there is room, the highest first.

    A name that is not next to the fastest disc of its model has a line to it.
    """
    ends, discs, names = {}, [], []  # boxes are in pixels
    for row in rows:
        height, speeds = _height(row, metric), [s.frames_per_second for s in row.speeds.values()]
        line = [(min(speeds), height), (max(speeds), height)]
        ax.plot(*zip(*line), color='gray', linewidth=0.8, zorder=0)
        ends[row.entry.name] = line[1], _disc(ax, line[1], areas[row.entry.name])
        discs += [_disc(ax, (speed, height), areas[row.entry.name]) for speed in speeds]
        discs.append(Bbox.union([_disc(ax, point, 1) for point in line]))
    for row in sorted(rows, key=lambda row: -ends[row.entry.name][1].get_points().mean(0)[1]):
        point, disc = ends[row.entry.name]
        text = _text(row)
        box, near = _place(_size(ax, text), disc, ax.bbox, discs, names)
        names.append(box)
        center = box.get_points().mean(0) * 72 / ax.figure.dpi
        ax.annotate(
            text, point, center, textcoords='figure points', ha='center', va='center',
            fontsize='small', path_effects=[withStroke(linewidth=3, foreground='white')],
            arrowprops=None if near else dict(arrowstyle='-', linewidth=0.6), in_layout=False,
            zorder=4 - 0.01 * len(names),  # no line over an earlier name
        )  # fmt: skip


def _disc(ax: Axes, point: tuple[float, float], area: float) -> Bbox:
    """The square around a disc, in pixels."""
    center, radius = ax.transData.transform(point), (area / math.pi) ** 0.5 * ax.figure.dpi / 72
    return Bbox([center - radius, center + radius])


def _text(row: Row) -> str:
    return f'{row.entry.name} ({millions(row)})'


def _size(ax: Axes, text: str) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    measured = ax.text(0, 0, text, fontsize='small')
    size = measured.get_window_extent().size
    measured.remove()
    return tuple(size)


def _place(
    size: tuple[float, float],
    disc: Bbox,
    frame: Bbox,
    discs: Sequence[Bbox],
    names: Sequence[Bbox],
) -> tuple[Bbox, bool]:
    """Where in the frame a name covers least, and whether that is next to its disc; in pixels."""
    (width, height), gap = size, size[1] / 2
    x = min(max(disc.x0 + (disc.width - width) / 2, frame.x0 + gap), frame.x1 - gap - width)
    y = disc.y0 + (disc.height - height) / 2
    near = [(disc.x1 + gap, y), (x, disc.y1 + gap), (x, disc.y0 - gap - height)]
    away = [sign * step * height / 2 for step in range(1, 25) for sign in (1, -1)]
    beside = min(disc.x1 + 3 * gap, frame.x1 - gap - width)
    places = near + [(beside, y + shift) for shift in away]
    boxes = [Bbox.from_bounds(*place, width, height) for place in places]
    inside = [frame.contains(*box.min) and frame.contains(*box.max) for box in boxes]
    covers = [
        box.count_overlaps(discs) + 10 * box.count_overlaps(names) + 100 * (not whole)
        for box, whole in zip(boxes, inside)
    ]
    best = int(np.argmin(covers))
    return boxes[best], best < len(near)


def _height(row: Row, metric: str | None) -> float:
    return row.entry.multiply_adds / 1e9 if metric is None else row.metrics[metric]


def _label(ax: Axes, rows: Sequence[Row], metric: str | None) -> None:
    ax.margins(0.2)
    ax.set_xscale('log')
    ax.set_xlabel('frames/s of the whole step on this machine')
    if metric is None:
        ax.set_yscale('log')
        ax.set_ylabel('multiply-adds of a frame, G (fewer is higher)')
        ax.invert_yaxis()
    else:
        ax.set_ylabel(f'{TITLES.get(metric, metric)}, %')
        ax.set_ylim(bottom=max(0.0, ax.get_ylim()[0]))
    ax.autoscale(False)
    speeds = np.log([speed.frames_per_second for row in rows for speed in row.speeds.values()])
    widest = max(_size(ax, _text(row))[0] for row in rows) / ax.bbox.width
    left, right = 0.1, min(0.1 + widest, 0.5)  # parts of the width; names are on the right
    span = max(np.ptp(speeds), 0.2) / (1 - left - right)
    ax.set_xlim(np.exp([speeds.min() - left * span, speeds.max() + right * span]))
    _set_ticks(ax.xaxis)
    if metric is None:
        _set_ticks(ax.yaxis)
    ax.grid(alpha=0.3)


def _set_ticks(axis: Axis) -> None:
    """Round numbers along a logarithmic axis, and nothing between them."""
    low, high = sorted(axis.get_view_interval())
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    choices = [[decade * step for decade in decades for step in steps] for steps in _TICKS]
    choices.append(MaxNLocator(8, steps=(1, 2, 5, 10), min_n_ticks=4).tick_values(low, high))
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in choices]
    axis.set_major_locator(FixedLocator(next((t for t in inside if len(t) > 3), inside[-1])))
    axis.set_major_formatter(FormatStrFormatter('%g'))
    axis.set_minor_locator(NullLocator())
