"""Curves of several trackers in one picture, with the number of each in the legend.

As papers show them: success with the area under the curve (AO for GOT-10k, which is the same area
with finer steps), precision at 20 pixels, normalised precision at 0.2. Trackers are sorted by it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence as SequenceOf
from pathlib import Path
from typing import NamedTuple

from matplotlib import colormaps
from matplotlib.figure import Figure

from .protocols import get_protocol
from .report import GroupScore, Report
from .result_files import write_file


class Axes(NamedTuple):
    """How one kind of curve is drawn."""

    title: str
    x_label: str
    y_label: str
    metrics: tuple[str, ...]  # the number in the legend is the first of these that there is


AXES = {
    'success': Axes('Success', 'Overlap threshold', 'Success rate', ('success', 'AO')),
    'precision': Axes(
        'Precision', 'Location error threshold [px]', 'Distance precision', ('precision',)
    ),
    'norm_precision': Axes(
        'Normalised precision',
        'Location error threshold [target sizes]',
        'Distance precision',
        ('norm_precision',),
    ),
}
_STYLES = ('-', '--', '-.', ':')


def plot_curves(
    reports: SequenceOf[Report], prefix: str | Path, attribute: str | None = None
) -> list[Path]:
    """Draw every kind of curve that the reports have, as ``PREFIX_success.png`` and so on.

    Args:
        reports: Of different trackers on the same benchmark.
        prefix: Of the files.
        attribute: Only the sequences that have it; by default all.

    Returns:
        The files; none if there are no curves.
    """
    files = []
    for kind in AXES:
        figure = draw_curves(reports, kind, attribute)
        if figure is not None:
            picture = io.BytesIO()
            figure.savefig(picture, format='png', dpi=150)
            files.append(Path(f'{prefix}_{kind}.png'))
            write_file(files[-1], picture.getvalue())
    return files


def draw_curves(
    reports: SequenceOf[Report], kind: str, attribute: str | None = None
) -> Figure | None:
    """A figure with one kind of curve, a key of :data:`AXES`; None if no report has it."""
    axes = AXES[kind]
    scored = []
    for place, report in enumerate(reports):
        group = _group(report, attribute)
        if group is not None and kind in group.curves:
            number = next(group.metrics[name] for name in axes.metrics if name in group.metrics)
            scored.append((number, report, group, place))
    if not scored:
        return None
    scored.sort(key=lambda entry: -entry[0])
    # No pyplot: it would keep the figure, and choose a window system.
    figure = Figure(figsize=(6.4, 4.8), layout='constrained')
    plot = figure.add_subplot()
    colors = colormaps['tab10'].colors
    for number, report, group, place in scored:  # a tracker has the same colour in all pictures
        plot.plot(
            *group.curves[kind],
            label=f'{report.label} [{number:.1f}]',
            color=colors[place % len(colors)],
            linestyle=_STYLES[place // len(colors) % len(_STYLES)],
            linewidth=2,
        )
    _decorate(plot, axes, kind, scored, attribute)
    return figure


def _decorate(plot, axes: Axes, kind: str, scored: list, attribute: str | None) -> None:
    _, report, group, _ = scored[0]
    title = f'{axes.title} on {get_protocol(report.protocol).title}'
    if attribute is not None:
        title += f': {attribute} ({group.sequences})'
    plot.set(title=title, xlabel=axes.x_label, ylabel=axes.y_label)
    plot.set_xlim(group.curves[kind].thresholds[0], group.curves[kind].thresholds[-1])
    plot.set_ylim(0, 1)
    plot.grid(alpha=0.3)
    plot.legend(loc='lower left' if kind == 'success' else 'lower right', fontsize='small')


def _group(report: Report, attribute: str | None) -> GroupScore | None:
    if attribute is None:
        return report.overall
    return next((group for group in report.attributes if group.name == attribute), None)
