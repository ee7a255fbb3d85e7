"""What the benchmark of runtimes found, as Markdown and as a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure
from tabulate import tabulate

from ...files import replace_file
from .frame_speed import PARTS

MIB = 2**20
LEGEND = """\
Milliseconds per frame: median and 95th percentile of the time from the decoded frame to the box,
then the means of its parts (- where normalising is inside of the network; in brackets the share of
the network, normalising included); decoding comes on top.
`network x` and `frame x` are ratios to the published forward, of the network with normalising and
of the whole frame. `ceiling` is the share of the speed of large matrix products of the same type,
counted on the products that are really done. `off` is the largest difference of an edge to the
published forward in pixels of the search crop, `MiB` the growth of a process's memory."""
CURVES = {
    'targets': 'ms per frame, targets in one forward',
    'templates': 'ms of the network per frame, templates',
    'batches': 'search crops per second, batch',
}


def render_markdown(results: Mapping) -> str:
    """Tables of what :func:`~.measuring.measure` gives."""
    blocks = [_speed_table(results)]
    if any('gpu' in row for row in results['rows']):
        blocks.append(_gpu_table(results['rows']))
    for name, title in CURVES.items():
        if results.get(name):
            blocks.append(_curve_table(title, results[name]))
    return '\n\n'.join(blocks)


def _speed_table(results: Mapping) -> str:
    columns: dict[str, Callable[[Mapping], str]] = {
        results['model']: lambda row: row['name'],
        'median': lambda row: f'{row["median"]:.1f}',
        'p95': lambda row: f'{row["p95"]:.1f}',
        'frames/s': lambda row: f'{row["frames_per_second"]:.1f}',
        'network x': lambda row: f'{row["network_speedup"]:.2f}',
        'frame x': lambda row: f'{row["speedup"]:.2f}',
        **{part: lambda row, part=part: _part(row, part) for part in PARTS},
        'decode': lambda row: f'{row["decode"]:.1f}',
        'ceiling': lambda row: _or_dash(row['ceiling_share'], '.0%'),
        'off': lambda row: f'{row["box_difference"]:.2g}',
        'MiB': lambda row: _or_dash(row['memory'] and row['memory'] / MIB, '.0f'),
    }
    return _table(columns, results['rows'])


def _gpu_table(rows: Sequence[Mapping]) -> str:
    columns = {
        'GPU, per frame': lambda row: row['name'],
        'launches': lambda row: f'{row["gpu"]["launches"]:.0f}',
        'kernels': lambda row: f'{row["gpu"]["kernels"]:.0f}',
        'busy': lambda row: f'{row["gpu"]["busy"] / row["median"]:.0%}',
    }
    return _table(columns, [row for row in rows if 'gpu' in row])


def _curve_table(title: str, curves: Mapping[str, Mapping]) -> str:
    counts = list(next(iter(curves.values())))
    columns = {
        title: lambda item: item[0],
        **{str(count): lambda item, count=count: f'{item[1][count]:.1f}' for count in counts},
    }
    return _table(columns, curves.items())


def _table(columns: Mapping[str, Callable], rows) -> str:
    cells = [[column(row) for column in columns.values()] for row in rows]
    align = ('left', *['right'] * (len(columns) - 1))
    return tabulate(cells, columns, 'pipe', colalign=align, disable_numparse=True)


def _part(row: Mapping, part: str) -> str:
    if part == 'network':
        return f'{row["parts"][part]:.1f} ({row["network_share"]:.0%})'
    return f'{row["parts"][part]:.2f}' if row['parts'][part] else '-'


def _or_dash(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)


def plot(results: Mapping, path: str | Path) -> None:
    """Draw where the time of a frame goes, and the curves that were measured.

    Args:
        results: What :func:`~.measuring.measure` gives.
        path: Of the picture; its ending says which kind, as ``.png``.
    """
    curves = [name for name in CURVES if results.get(name)]
    rows = results['rows']
    figure = Figure(figsize=(9, 1.5 + 0.35 * len(rows) + 3 * len(curves)), layout='constrained')
    heights = [1 + 0.35 * len(rows), *[3] * len(curves)]
    axes = figure.subplots(1 + len(curves), height_ratios=heights, squeeze=False)[:, 0]
    _draw_parts(axes[0], rows, results['model'])
    for ax, name in zip(axes[1:], curves):
        for label, curve in results[name].items():
            ax.plot(list(map(int, curve)), list(curve.values()), marker='o', label=label)
        ax.set(xlabel=CURVES[name].split(', ')[-1], ylabel=CURVES[name].split(', ')[0])
        ax.set_xticks(list(map(int, next(iter(results[name].values())))))
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        ax.legend(fontsize='small')
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:], dpi=120)
    replace_file(path, picture.getvalue())


def _draw_parts(ax, rows: Sequence[Mapping], model: str) -> None:
    """A bar for each row, of the means of its parts."""
    names = [row['name'] for row in rows]
    left = [0.0] * len(rows)
    for part, color in zip(PARTS, colormaps['tab10'].colors):
        widths = [row['parts'][part] for row in rows]
        ax.barh(names, widths, left=left, label=part, color=color)
        left = [start + width for start, width in zip(left, widths)]
    for row, end in zip(rows, left):
        ax.text(end, row['name'], f' {row["speedup"]:.2f}x', va='center')
    ax.invert_yaxis()
    ax.set(xlabel='ms per frame, without decoding', title=model, xlim=(0, 1.12 * max(left)))
    ax.legend(fontsize='small', loc='upper left', bbox_to_anchor=(1, 1))
