"""A comparison in files: a table as Markdown and CSV, and everything as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ..benchmark.speed.contenders import PUBLISHED
from ..evaluation.report_files import TITLES
from ..files import replace_file
from .side_by_side import Row

_LEGEND = """\
multiply-adds: of matrix products and convolutions for a frame, templates cached; one is a
multiplication and an addition. frames/s: one over the median time of the whole step, from the
decoded frame to the box, measured in turns with all the others; decoding comes on top."""
_PUBLISHED_LEGEND = """\
published: the published forward of its backbone, on the same weights.
(1.50x): median over the turns of how many times as fast; load that comes and goes hits both sides
of a turn alike, so it can differ from the quotient of the columns."""
_METRIC_LEGEND = 'Metrics are in percent, measured one model after the other on the first backend.'
# Of the numbers in the JSON file.
UNITS = {
    'multiply_adds': 'products and their sums, for a frame',
    'median, p95, mean, parts, decode': 'ms, for a frame',
    'network_speedup, speedup': 'times as fast as published',
    'network_share, ceiling_share': 'part of 1',
    'gflops': '1e9 products and sums per second',
    'box_difference': 'pixels of the search crop, to published',
    'metrics': '%',
}


def metric_names(rows: Sequence[Row]) -> list[str]:
    """Names of all metrics, the one that papers compare by first."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))


def millions(row: Row) -> str:
    """Parameters of a model, for people."""
    return f'{row.entry.parameters / 1e6:.2f} M'


def render_markdown(rows: Sequence[Row], columns: Sequence[str], about: Mapping[str, Any]) -> str:
    """The table, what its columns are, why cells are empty, and where it was measured.

    Args:
        rows: The models.
        columns: What they ran on, ``'published'`` among it.
        about: By name, each a line below the table.
    """
    metrics = metric_names(rows)
    heads = [
        'model',
        'weights',
        'parameters',
        'multiply-adds',
        *(f'{name} frames/s' for name in columns),
    ]
    heads += [TITLES.get(name, name) for name in metrics]
    cells = [
        [
            row.entry.name,
            row.entry.weights,
            millions(row),
            f'{row.entry.multiply_adds / 1e9:.2f} G',
            *(_speed(row, name) for name in columns),
            *(f'{row.metrics[name]:.1f}' if name in row.metrics else '' for name in metrics),
        ]
        for row in rows
    ]
    align = ('left', 'left', *['right'] * (len(heads) - 2))
    table = tabulate(cells, heads, 'pipe', colalign=align, disable_numparse=True)
    legend = [_LEGEND, *([_PUBLISHED_LEGEND] if PUBLISHED.backend in columns else [])]
    legend += [_METRIC_LEGEND] if metrics else []
    parts = [table, '\n'.join(legend), _reasons(rows)]
    parts.append('\n'.join(f'- {name}: {value}' for name, value in about.items()))
    return '\n\n'.join(filter(None, parts)) + '\n'


def render_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """The table with plain numbers: a line for each model, empty where nothing was measured."""
    metrics, file = metric_names(rows), io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    speeds = [f'{name}_{kind}' for name in columns for kind in ('frames_per_second', 'speedup')]
    writer.writerow(['model', 'checkpoint', 'parameters', 'multiply_adds', *speeds, *metrics])
    for row in rows:
        entry = row.entry
        cells = [entry.name, entry.checkpoint, entry.parameters, entry.multiply_adds]
        for name in columns:
            speed = row.speeds.get(name)
            cells.append(speed and f'{speed.frames_per_second:.2f}')
            cells.append(speed and speed.speedup and f'{speed.speedup:.3f}')
        writer.writerow(cells + [row.metrics.get(name) for name in metrics])
    return file.getvalue()


def as_document(rows: Sequence[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, in plain values; what is compared to the published forward is None without it."""
    models = []
    for row in rows:
        entry = {k: v for k, v in vars(row.entry).items() if k not in ('config', 'untrained')}
        measured = {name: asdict(speed) for name, speed in row.speeds.items()}
        models.append({**entry, 'speeds': measured, 'metrics': row.metrics, 'missing': row.missing})
    return {'about': dict(about), 'units': UNITS, 'models': models}


def write_tables(
    folder: Path, rows: Sequence[Row], columns: Sequence[str], about: Mapping[str, Any]
) -> list[Path]:
    """Write ``comparison.md``, ``.csv`` and ``.json``; gives their paths.

    Raises:
        OSError: If one cannot be written.
    """
    texts = {
        'md': render_markdown(rows, columns, about),
        'csv': render_csv(rows, columns),
        'json': json.dumps(as_document(rows, about), indent=2) + '\n',
    }
    paths = [folder / f'comparison.{ending}' for ending in texts]
    for path, text in zip(paths, texts.values()):
        replace_file(path, text.encode())
    return paths


def _speed(row: Row, name: str) -> str:
    if name not in row.speeds:
        return ''
    speed = row.speeds[name]
    compared = name != PUBLISHED.backend and speed.speedup is not None
    ratio = f' ({speed.speedup:.2f}x)' if compared else ''
    return f'{speed.frames_per_second:.1f}{ratio}'


def _reasons(rows: Sequence[Row]) -> str:
    """Why cells are empty: a line for each reason, with the models that it is of."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for column, reason in row.missing.items():
            reasons.setdefault((column, reason), []).append(row.entry.name)
    lines = [
        f'- {"all" if len(names) == len(rows) > 1 else ", ".join(names)}, no {column}: {reason}'
        for (column, reason), names in reasons.items()
    ]
    return '\n'.join(lines)
