"""The picture of a comparison: how fast, how good and how large, as in the papers' Figure 1."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from ..benchmark.speed.contenders import PUBLISHED
from ..evaluation.report_files import TITLES
from ..files import replace_file
from .side_by_side import Row
from .tables import metric_names

_LARGEST = 1500.0  # area of the largest model in square points
_TICKS = (1, 1.5, 2, 3, 5, 7)  # of each decade


def write_scatter(folder: Path, rows: Sequence[Row], columns: Sequence[str]) -> list[Path]:
    """Draw ``comparison.png`` and ``comparison.svg``; without any speed there is none.

    Each model has a disc for each backend: to the right is faster (logarithmic), upwards is better,
    or cheaper where no data set was tracked: fewer multiply-adds. The area is the parameters.

    Args:
        folder: Where to.
        rows: The models.
        columns: What they ran on; the published forward is drawn as a ring.

    Raises:
        OSError: If a file cannot be written.
    """
    metric = next(iter(metric_names(rows)), None)
    shown = [row for row in rows if row.speeds and (metric is None or metric in row.metrics)]
    if not shown:
        return []
    largest = max(row.entry.parameters for row in shown)
    areas = {row.entry.name: _LARGEST * row.entry.parameters / largest for row in shown}
    figure = Figure(figsize=(8, 5.5), layout='constrained')
    ax = figure.subplots()
    for name, color in zip(columns, colormaps['tab10'].colors):
        _draw(ax, [row for row in shown if name in row.speeds], name, metric, color, areas)
    for row in shown:
        _write_name(ax, row, metric, areas[row.entry.name])
    _label(ax, metric)
    figure.legend(loc='outside upper center', ncols=len(columns), title='area: parameters')
    for handle in figure.legends[0].legend_handles:
        handle.set_sizes([60])
    paths = [folder / f'comparison.{kind}' for kind in ('png', 'svg')]
    for path in paths:
        picture = io.BytesIO()
        figure.savefig(picture, format=path.suffix[1:], dpi=140)
        replace_file(path, picture.getvalue())
    return paths


def _draw(
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


def _write_name(ax: Axes, row: Row, metric: str | None, area: float) -> None:
    """A line through the discs of a model, and its name above the fastest."""
    speeds, height = [one.frames_per_second for one in row.speeds.values()], _height(row, metric)
    ax.plot([min(speeds), max(speeds)], [height] * 2, color='gray', linewidth=0.8, zorder=0)
    text = f'{row.entry.name} ({row.entry.parameters / 1e6:.1f} M)'
    above = (0, 4 + (area / math.pi) ** 0.5)  # points: clear of the disc
    ax.annotate(
        text, (max(speeds), height), above, textcoords='offset points', ha='center',
        fontsize='small',
    )  # fmt: skip


def _height(row: Row, metric: str | None) -> float:
    return row.entry.multiply_adds / 1e9 if metric is None else row.metrics[metric]


def _label(ax: Axes, metric: str | None) -> None:
    ax.set_xscale('log')
    ax.set_xlabel('frames/s of the whole step on this machine')
    axes = [ax.xaxis]
    if metric is None:
        ax.set_yscale('log')
        ax.set_ylabel('multiply-adds of a frame, G (fewer is higher)')
        ax.invert_yaxis()
        axes.append(ax.yaxis)
    else:
        ax.set_ylabel(f'{TITLES.get(metric, metric)}, %')
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=_TICKS))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    ax.margins(0.25)
    if metric is not None:
        ax.set_ylim(bottom=max(0.0, ax.get_ylim()[0]))
    ax.grid(alpha=0.3, which='both')
