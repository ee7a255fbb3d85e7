"""Scores of a folder of results: overall, of each sequence, of the sequences with an attribute.

What cannot be scored is named with the reason and left out, and the report says that it is partial.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from . import got10k, ope
from .protocols import Protocol, get_protocol
from .result_files import Result, foreign_files, open_results, read_result, shorten
from .sequences import Sequence, SequenceTable


class Curve(NamedTuple):
    """Share of the frames, in [0, 1], that are right at each threshold."""

    thresholds: list[float]
    values: list[float]


@dataclass
class GroupScore:
    """Scores of some sequences.

    Attributes:
        name: The attribute that they have; empty for all sequences.
        sequences: How many were compared with an annotation.
        metrics: In percent, e.g. ``success``, or ``AO``; empty if nothing was scored.
        curves: ``success`` and, where the protocol has them, ``norm_precision`` and ``precision``.
    """

    name: str
    sequences: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass
class SequenceScore:
    """Scores of a sequence.

    Attributes:
        name: Of the sequence.
        frames: How many it has.
        metrics: In percent; empty where only the first frame is annotated, as where a server keeps
            the rest, or where no frame counts.
        attributes: What the benchmark says about the sequence.
        seconds: Time of all its frames, or None if it is not known.
    """

    name: str
    frames: int
    metrics: dict[str, float]
    attributes: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass
class Report:
    """What a tracker reached on a benchmark.

    Attributes:
        tracker: Its name.
        protocol: Name of the protocol.
        overall: Scores of all sequences that could be scored.
        attributes: Scores of those with an attribute, in the order of the names.
        sequences: Scores of each, in the order of the data set.
        unscored: Why a sequence is not in any number, by its name.
        foreign: Files of none of the sequences.
        notes: What is odd about the files of sequences that are scored.
    """

    tracker: str
    protocol: str
    overall: GroupScore = field(default_factory=lambda: GroupScore(''))
    attributes: list[GroupScore] = field(default_factory=list)
    sequences: list[SequenceScore] = field(default_factory=list)
    unscored: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the numbers are of all sequences."""
        return bool(self.sequences) and not self.unscored

    @property
    def label(self) -> str:
        """The tracker's name, with a note if the numbers are partial."""
        if self.complete:
            return self.tracker
        total = len(self.sequences) + len(self.unscored)
        return f'{self.tracker} (partial: {len(self.sequences)} of {total} sequences)'

    @property
    def frames_per_second(self) -> float | None:
        """Over the sequences whose time is known."""
        timed = [score for score in self.sequences if score.seconds]
        seconds = sum(score.seconds for score in timed)
        return sum(score.frames for score in timed) / seconds if seconds else None

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        content = asdict(self)
        for group in (content['overall'], *content['attributes']):
            group['curves'] = {name: curve._asdict() for name, curve in group['curves'].items()}
        return {
            'tracker': self.tracker,
            'protocol': self.protocol,
            'complete': self.complete,
            'frames_per_second': self.frames_per_second,
            **content,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Report:
        """The report of :meth:`to_dict`.

        Raises:
            ValueError: If it is something else.
        """
        try:
            return cls(
                content['tracker'],
                get_protocol(content['protocol']).name,
                _read_group(content['overall']),
                [_read_group(group) for group in content['attributes']],
                [
                    SequenceScore(**{**score, 'attributes': tuple(score['attributes'])})
                    for score in content['sequences']
                ],
                dict(content['unscored']),
                list(content['foreign']),
                list(content['notes']),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'not a report: {type(error).__name__}: {error}') from error


def score_folder(
    path: str | Path, table: SequenceTable, protocol: Protocol, tracker: str
) -> Report:
    """Score a tracker's results.

    Args:
        path: Folder or zip file.
        table: The sequences of the benchmark.
        protocol: Of the benchmark. With a server, files are read and compared with the sequences,
            and there are no numbers.
        tracker: Name of the tracker.

    Raises:
        FileNotFoundError: If there is no folder or zip file.
        ValueError: If it has a result for none of the sequences.
    """
    names = [table.name(index) for index in range(len(table))]
    with open_results(path, names, protocol.result_format) as folder:
        report = score_files(folder, table, protocol, tracker)
        report.foreign = foreign_files(folder, names, protocol.result_format)
    return report


def score_files(
    folder: str | Path,
    table: SequenceTable,
    protocol: Protocol,
    tracker: str,
    failures: Mapping[str, str] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Report:
    """Score the files of a folder.

    Args:
        folder: With files in the format of the protocol.
        table: The sequences of the benchmark.
        protocol: Of the benchmark.
        tracker: Name of the tracker.
        failures: Sequences whose files are not looked at, and why.
        seconds: Time of all frames of a sequence, where the files do not say it.
    """
    report = Report(tracker, protocol.name, unscored=dict(failures or {}))
    measured: dict[str, Any] = {}
    for index in range(len(table)):
        name = table.name(index)
        if name in report.unscored:
            continue
        try:
            sequence = table[index]
            result = read_result(folder, sequence, protocol.result_format)
            measures = _measure(sequence, result, protocol)
        except (OSError, ValueError) as error:
            report.unscored[name] = shorten(error, Path(folder))
            continue
        measured[name] = measures
        report.notes += [shorten(note, Path(folder)) for note in result.notes]
        metrics = {} if measures is None else _metrics([measures], protocol)
        timed = (seconds or {}).get(name)
        if timed is None and result.seconds is not None:
            timed = float(result.seconds.sum())
        report.sequences.append(
            SequenceScore(name, len(sequence), metrics, sequence.attributes, timed)
        )
    report.overall = _group('', report.sequences, measured, protocol)
    for attribute in sorted({name for score in report.sequences for name in score.attributes}):
        having = [score for score in report.sequences if attribute in score.attributes]
        report.attributes.append(_group(attribute, having, measured, protocol))
    return report


def _measure(sequence: Sequence, result: Result, protocol: Protocol) -> Any:
    """What the summary of several sequences is made of; None if there is nothing to compare."""
    if protocol.kind == 'server' or not sequence.annotated:
        return None
    if protocol.kind == 'got10k':
        frame = cv2.imread(str(sequence.frames[0]))
        if frame is None:
            raise ValueError(f'{sequence.frames[0]} cannot be read, and boxes are cut to its size')
        return got10k.overlaps(sequence, result.boxes_xywh, frame.shape[:2])
    return ope.curves(sequence, result.boxes_xywh, protocol)


def _metrics(measured: SequenceOf[Any], protocol: Protocol) -> dict[str, float]:
    if not measured:
        return {}
    if protocol.kind == 'got10k':
        return got10k.summary(measured) if any(map(len, measured)) else {}
    return ope.summary(measured)


def _group(
    name: str, scores: list[SequenceScore], measured: Mapping[str, Any], protocol: Protocol
) -> GroupScore:
    chosen = [measured[score.name] for score in scores if measured[score.name] is not None]
    metrics = _metrics(chosen, protocol)
    return GroupScore(name, len(chosen), metrics, _curves(chosen, protocol) if metrics else {})


def _curves(measured: SequenceOf[Any], protocol: Protocol) -> dict[str, Curve]:
    if protocol.kind == 'got10k':
        values = got10k.success_curve(measured)
        return {'success': Curve(got10k.OVERLAP_THRESHOLDS.tolist(), values.tolist())}
    mean = ope.mean_curves(measured)
    thresholds = {
        'success': ope.OVERLAP_THRESHOLDS,
        'norm_precision': ope.NORM_THRESHOLDS,
        'precision': ope.PIXEL_THRESHOLDS,
    }
    return {
        name: Curve(values.tolist(), np.asarray(getattr(mean, name)).tolist())
        for name, values in thresholds.items()
    }


def _read_group(content: Mapping[str, Any]) -> GroupScore:
    curves = {name: Curve(**curve) for name, curve in content['curves'].items()}
    return GroupScore(**{**content, 'curves': curves})
