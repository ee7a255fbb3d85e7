"""The metric of a benchmark's test: result files, official numbers, tables, plots, submissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence as SequenceOf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.logging import MMLogger
from mmtrack.evaluation.metrics import BaseVideoMetric
from mmtrack.registry import METRICS

from .plots import AXES, plot_curves
from .protocols import get_protocol
from .report import Report, score_files
from .report_files import (
    attribute_table,
    notes_text,
    read_report,
    sequence_table,
    summary_table,
    unscored_text,
    write_csv,
    write_report,
)
from .result_files import Result, box_file, time_file, write_result
from .sequences import SequenceTable
from .submissions import SERVERS, write_submission

_MADE = ('.json', '.zip', '_sequences.csv', '_attributes.csv')
_OLD = '.old'
_WORST = 10


@METRICS.register_module()
class BenchmarkMetric(BaseVideoMetric):
    """Scores a tracker as the benchmark does, from result files in the benchmark's own format.

    The boxes are written, read back and then scored, so that the numbers are those of the files.
    For ``outfile_prefix='results'`` there are then:

    - ``results/``: the files, as the benchmark's tools and other people's read them;
    - ``results.json``: everything, also for
      :func:`~mmtrack_mixformerv2.evaluation.report_files.read_report`;
    - ``results_sequences.csv``, ``results_attributes.csv``: numbers of each sequence and of the
      sequences with each attribute;
    - ``results_success.png``, ``results_precision.png``, ``results_norm_precision.png``;
    - for a server, ``results.zip``, if all sequences are there and the server's rules are kept.

    Nothing is deleted, and nothing is written over that is not of this tracker and protocol. If
    sequences are missing, they are named, the numbers are of the others and labelled as partial,
    and ``missing_sequences`` is among the metrics.

    Args:
        protocol: Name of the benchmark, a key of
            :data:`~mmtrack_mixformerv2.evaluation.protocols.PROTOCOLS`. Rules that are to differ
            may follow, as in ``'lasot:positive_corner=False'``.
        outfile_prefix: See above; the tools put it into the work directory. By default no files
            are kept.
        tracker: Name in tables and plots; by default the name of the folder that the results go to.
        prefix: Of the names of the metrics.
        collect_device: mmtrack can only collect on the ``'cpu'``.

    Raises:
        ValueError: If there is no such protocol or device.
    """

    default_prefix = 'sot'

    def __init__(
        self,
        protocol: str,
        outfile_prefix: str | None = None,
        tracker: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(prefix=prefix, collect_device=collect_device)
        if collect_device != 'cpu':
            raise ValueError(f"collect_device is {collect_device!r}, expected 'cpu'")
        self.protocol = get_protocol(protocol)
        self.outfile_prefix = outfile_prefix
        folder = Path(outfile_prefix).resolve().parent.name if outfile_prefix else ''
        self.tracker = tracker or folder or 'tracker'
        self._tracks: dict[int, _Track] = {}

    def check_outfiles(self) -> None:
        """Make sure, before a run, that its results do not get mixed with anything else.

        Raises:
            ValueError: If a file or a folder with files is in the way that was not made for the
                same tracker and protocol, or the data set cannot be scored.
        """
        if self.dataset_meta is not None:
            self._table()
        if not self.outfile_prefix:
            return
        folder = Path(self.outfile_prefix)
        advice = 'move it away, or name another outfile_prefix or work directory'
        if folder.exists() and not folder.is_dir():
            raise ValueError(f'{folder} is a file, and the results are to be a folder; {advice}')
        there = [path for path in self._outfiles() if path.exists()]
        if folder.exists() and any(folder.iterdir()):
            there.insert(0, folder)
        if not there:
            return
        try:
            report = read_report(f'{folder}.json')
        except (OSError, ValueError) as error:
            raise ValueError(
                f'{there[0]} exists and is not known to be of an earlier run of the same test: '
                f'{error}; {advice}'
            ) from error
        if (report.tracker, report.protocol) != (self.tracker, self.protocol.name):
            raise ValueError(
                f'{there[0]} has the results of {report.tracker!r} by protocol '
                f'{report.protocol!r}, and these are of {self.tracker!r} by '
                f'{self.protocol.name!r}; {advice}'
            )

    def process(self, data_batch: Any, data_samples: SequenceOf[dict]) -> None:
        """Take the boxes of frames; those of different videos may be mixed.

        Args:
            data_batch: Not used.
            data_samples: For each frame ``video_id``, ``frame_id``, ``video_length``, the box
                ``pred_track_instances['bboxes'][0]`` as x1, y1, x2, y2 and, if they were measured,
                ``seconds``.
        """
        for sample in data_samples:
            video = int(sample['video_id'])
            if video not in self._tracks:
                self._tracks[video] = _Track(int(sample['video_length']))
            track = self._tracks[video]
            track.add(sample)
            if track.seen.all():
                self.results.append({'video': video, 'result': self._tracks.pop(video).finish()})

    def add_failure(self, video: int, reason: str) -> None:
        """Note why a video has no result; otherwise the report only says that it has none."""
        self._tracks.pop(video, None)
        self.results.append({'video': video, 'failure': reason})

    def evaluate(self, size: int) -> dict[str, float]:
        """Collect the videos of all processes, and compute the metrics in the first one.

        Args:
            size: Number of frames of the data set.
        """
        for video, track in self._tracks.items():
            reason = f'only {track.seen.sum()} of {len(track.seen)} frames were tracked'
            self.results.append({'video': video, 'failure': reason})
        self._tracks.clear()
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Write files, score them, write and log what came out.

        Args:
            results: A dict for each video: its number, and a :class:`Result` or why there is none.

        Raises:
            ValueError: If the data set hands over no ``sequences``, two have the same name, or
                files are in the way.
        """
        table = self._table()
        names = [table.name(index) for index in range(len(table))]
        tracked = {names[one['video']]: one['result'] for one in results if 'result' in one}
        failures = {name: 'it was not tracked' for name in names if name not in tracked}
        for one in results:
            if names[one['video']] in failures:
                failures[names[one['video']]] = one['failure']
        seconds = {
            name: float(result.seconds.sum())
            for name, result in tracked.items()
            if result.seconds is not None
        }
        self.check_outfiles()
        with TemporaryDirectory() as temporary:
            folder = Path(self.outfile_prefix or temporary)
            self._write_results(folder, tracked, failures)
            report = score_files(folder, table, self.protocol, self.tracker, failures, seconds)
            self._log(report)
            if self.outfile_prefix:
                self._write_report(report, table)
        metrics = dict(report.overall.metrics)
        if self.protocol.kind == 'server':
            metrics['sequences'] = len(report.sequences)
        if not report.complete:
            metrics['missing_sequences'] = len(report.unscored)
        return metrics

    def _table(self) -> SequenceTable:
        table = (self.dataset_meta or {}).get('sequences')
        if table is None:
            raise ValueError(
                "the data set hands over no annotations: its metainfo has no 'sequences'. Use one "
                'of the data sets of mmtrack_mixformerv2.datasets, or '
                "test_cfg=dict(type='LockStepTestLoop'), which takes any"
            )
        names = Counter(table.name(index) for index in range(len(table)))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(
                f'{len(twice)} names are of more than one sequence, e.g. {twice[0]!r}, and result '
                'files are named after sequences'
            )
        return table

    def _outfiles(self) -> list[Path]:
        """Files beside the folder of results."""
        kinds = [*_MADE, *(f'_{kind}.png' for kind in AXES)]
        return [Path(f'{self.outfile_prefix}{kind}') for kind in kinds]

    def _write_results(
        self, folder: Path, tracked: Mapping[str, Result], failures: Mapping[str, str]
    ) -> None:
        if self.outfile_prefix:  # from now on the files are known to be of this test
            unfinished = Report(self.tracker, self.protocol.name, unscored=dict(failures))
            write_report(unfinished, f'{folder}.json')
        for name in failures:  # of an earlier run: not to be taken for this one's
            for path in (
                box_file(folder, name, self.protocol.result_format),
                time_file(folder, name),
            ):
                _put_aside(path)
        for name, result in tracked.items():
            write_result(folder, name, result, self.protocol.result_format)

    def _write_report(self, report: Report, table: SequenceTable) -> None:
        prefix, logger = self.outfile_prefix, MMLogger.get_current_instance()
        write_report(report, f'{prefix}.json')
        written = [Path(f'{prefix}.json'), *write_csv(report, prefix)]
        written += plot_curves([report], prefix)
        for path in self._outfiles():  # of an earlier run: not to be taken for this one's
            if path not in written:
                _put_aside(path)
        logger.info(f'results are in {prefix}, the numbers in {prefix}.json')
        if self.protocol.kind == 'server':
            submission = Path(f'{prefix}.zip')
            try:
                write_submission(prefix, table, self.protocol, submission)
                logger.info(f'{submission} is ready for {SERVERS[self.protocol.name].address}')
            except ValueError as error:
                logger.error(f'no {submission} was made: {error}')

    def _log(self, report: Report) -> None:
        logger = MMLogger.get_current_instance()
        tables = [summary_table([report]), attribute_table([report])]
        if report.overall.metrics:
            tables.append(f'the worst sequences:\n{sequence_table([report], most=_WORST)}')
        logger.info('\n' + '\n\n'.join(table for table in tables if table))
        if notes := notes_text(report):
            logger.warning(notes)
        if not report.complete:
            logger.error(
                f'{len(report.unscored)} sequences are in none of the numbers:\n'
                + unscored_text(report)
            )


class _Track:
    """The boxes of a video, while its frames come in."""

    def __init__(self, length: int) -> None:
        self.boxes = np.full((length, 4), np.nan)
        self.seconds = np.full(length, np.nan)
        self.seen = np.zeros(length, bool)

    def add(self, sample: Mapping[str, Any]) -> None:
        frame = int(sample['frame_id'])
        corners = sample['pred_track_instances']['bboxes'][0].double().cpu().numpy()
        self.boxes[frame] = [*corners[:2], *(corners[2:] - corners[:2])]
        self.seconds[frame] = sample.get('seconds', np.nan)
        self.seen[frame] = True

    def finish(self) -> Result:
        """The result; without times if one is missing."""
        return Result(self.boxes, None if np.isnan(self.seconds).any() else self.seconds)


def _put_aside(path: Path) -> None:
    """Rename a file, over an earlier one of that name."""
    if path.exists():
        path.replace(f'{path}{_OLD}')
