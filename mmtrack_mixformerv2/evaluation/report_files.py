"""Reports as JSON, as CSV and as tables of text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from collections.abc import Sequence as SequenceOf
from pathlib import Path

from tabulate import tabulate

from .report import GroupScore, Report, SequenceScore
from .result_files import write_file

TITLES = {
    'success': 'success AUC',
    'norm_precision': 'norm precision',
    'precision': 'precision',
    'AO': 'AO',
    'SR_0.5': 'SR 0.5',
    'SR_0.75': 'SR 0.75',
}


def write_report(report: Report, path: str | Path) -> None:
    """Write everything as JSON."""
    write_file(path, json.dumps(report.to_dict(), indent=1) + '\n')


def read_report(path: str | Path) -> Report:
    """Read what :func:`write_report` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    try:
        return Report.from_dict(json.loads(Path(path).read_text()))
    except ValueError as error:  # of JSON and of text encodings, too
        raise ValueError(f'{path} is not a report: {error}') from error


def write_csv(report: Report, prefix: str | Path) -> list[Path]:
    """Write ``PREFIX_sequences.csv`` and, if there are attributes, ``PREFIX_attributes.csv``.

    Numbers are in percent. A sequence that could not be scored has a line without numbers, which
    says why.

    Returns:
        The files.
    """
    metrics = list(report.overall.metrics)
    rows = [
        [
            score.name,
            score.frames,
            *(_number(score.metrics, name, 4, '') for name in metrics),
            f'{score.frames / score.seconds:.2f}' if score.seconds else '',
            ';'.join(score.attributes),
            '',
        ]
        for score in report.sequences
    ]
    blank = [''] * (len(metrics) + 3)
    rows += [[name, *blank, reason] for name, reason in report.unscored.items()]
    head = ['sequence', 'frames', *metrics, 'frames_per_second', 'attributes', 'not_scored']
    files = [_write_rows(f'{prefix}_sequences.csv', [head, *rows])]
    if report.attributes:
        rows = [
            [group.name, group.sequences]
            + [_number(group.metrics, name, 4, '') for name in metrics]
            for group in report.attributes
        ]
        head = ['attribute', 'sequences', *metrics]
        files.append(_write_rows(f'{prefix}_attributes.csv', [head, *rows]))
    return files


def summary_table(reports: SequenceOf[Report]) -> str:
    """A line for each tracker; a tracker whose numbers are partial is labelled so."""
    metrics = _metrics(reports)
    speeds = [report.frames_per_second for report in reports]
    rows = [
        [
            report.label,
            _counted(report),
            *(_number(report.overall.metrics, name) for name in metrics),
            *([f'{speed:.1f}' if speed else '-'] if any(speeds) else ()),
        ]
        for report, speed in zip(reports, speeds)
    ]
    head = ['tracker', 'sequences', *map(_title, metrics)]
    return _table([*head, 'frames/s'] if any(speeds) else head, rows)


def sequence_table(reports: SequenceOf[Report], most: int | None = None) -> str:
    """A line for each sequence, worst first by the first tracker; several trackers side by side.

    Args:
        reports: Of different trackers on the same benchmark.
        most: Show no more than the worst so many.
    """
    scores = [{score.name: score for score in report.sequences} for report in reports]
    return _side_by_side(
        reports,
        scores,
        'sequence',
        lambda score: score.frames,
        'frames',
        worst_first=True,
        most=most,
    )


def attribute_table(reports: SequenceOf[Report]) -> str:
    """A line for each attribute; several trackers side by side."""
    groups = [{group.name: group for group in report.attributes} for report in reports]
    return _side_by_side(reports, groups, 'attribute', lambda group: group.sequences, 'sequences')


def unscored_text(report: Report) -> str:
    """What could not be scored and why, a line for each; empty if everything could."""
    return '\n'.join(f'{name}: {reason}' for name, reason in report.unscored.items())


def notes_text(report: Report) -> str:
    """What is odd about a tracker's files though they are scored, in short; empty if nothing is."""
    notes = [
        f'{report.tracker} has {len(files)} {what}, e.g. {files[0]}'
        for files, what in (
            (report.foreign, 'files of no sequence'),
            (report.notes, 'results that are odd'),
        )
        if files
    ]
    return '\n'.join(notes)


def _counted(report: Report) -> str:
    """How many sequences the numbers are of."""
    if report.overall.sequences or not report.sequences:
        return str(report.overall.sequences)
    return f'{len(report.sequences)}, not annotated'


def _side_by_side(
    reports: SequenceOf[Report],
    scores: SequenceOf[dict[str, SequenceScore] | dict[str, GroupScore]],
    what: str,
    size: Callable[[SequenceScore | GroupScore], int],
    of_what: str,
    worst_first: bool = False,
    most: int | None = None,
) -> str:
    """All metrics of one tracker, or the first metric of several."""
    metrics = _metrics(reports)
    chosen = metrics if len(reports) == 1 else metrics[:1]
    names = list(dict.fromkeys(name for part in scores for name in part))
    if worst_first and metrics:
        names.sort(key=lambda name: _value(scores[0].get(name), metrics[0]))
    rows = []
    for name in names[:most]:
        sizes = [size(part[name]) for part in scores if name in part]
        cells = [
            _number(part[name].metrics if name in part else {}, metric)
            for part in scores
            for metric in chosen
        ]
        rows.append([name, sizes[0], *cells])
    heads = [_title(metric) for metric in chosen]
    if len(reports) > 1:
        heads = [f'{report.label} {head}' for report in reports for head in heads]
    return _table([what, of_what, *heads], rows)


def _metrics(reports: Iterable[Report]) -> list[str]:
    return list(dict.fromkeys(name for report in reports for name in report.overall.metrics))


def _value(score: SequenceScore | GroupScore | None, metric: str) -> float:
    return score.metrics.get(metric, -1.0) if score else -1.0


def _title(metric: str) -> str:
    return TITLES.get(metric, metric)


def _number(metrics: dict[str, float], name: str, digits: int = 2, blank: str = '-') -> str:
    return f'{metrics[name]:.{digits}f}' if name in metrics else blank


def _table(head: list[str], rows: list[list]) -> str:
    align = ('left', *['right'] * (len(head) - 1))
    return tabulate(rows, head, colalign=align, disable_numparse=True) if rows else ''


def _write_rows(path: str, rows: list[list]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    write_file(path, text.getvalue())
    return Path(path)
