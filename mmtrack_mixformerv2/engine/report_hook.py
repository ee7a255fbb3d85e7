"""Writes a report page for some of the sequences of a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmtrack.registry import HOOKS
from mmtrack.structures import TrackDataSample

from ..datasets import read_frame
from ..evaluation import SequenceTable
from ..explain.frame_album import AlbumLimits
from ..explain.recording import Recording
from ..explain.report import check_destination, write_report
from ..tracking import TrackResult
from ..tracking.track_log import TrackLog
from .result_folder_hook import EvaluationError


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes one HTML page per sequence while a tracker is tested.

    To be put into ``custom_hooks``::

        custom_hooks = [dict(type='ReportHook', sequences=3)]

    The pages show what the test found: boxes and scores, and with ``LockStepTestLoop`` edge
    distributions, template updates and, if the config has a policy, states. Attention is in no
    record of a test: with ``explain_every`` the sequences are tracked once more after the test, in
    torch, and the pages show that run. A page that cannot be written is logged, and the test goes
    on. Sequences that an earlier run had finished have no page; test them with ``--restart``.

    Args:
        sequences: How many, the first ones of the data set; or their names, or a name.
        out_dir: Folder for the pages, in the work directory if it is no absolute path.
        explain_every: Keep attention of every so manyth frame; 0 for none.
        limits: Values of :class:`~mmtrack_mixformerv2.explain.frame_album.AlbumLimits`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        sequences: int | str | Sequence[str] = 5,
        out_dir: str = 'reports',
        explain_every: int = 0,
        limits: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(sequences, int) and sequences < 1 or explain_every < 0:
            raise ValueError(
                f'sequences is {sequences} and explain_every {explain_every}, expected at least 1 '
                'and 0'
            )
        self.sequences = [sequences] if isinstance(sequences, str) else sequences
        self.out_dir, self.explain_every = out_dir, explain_every
        self.limits = AlbumLimits(**limits or {})
        self._running: dict[int, list[TrackResult]] = {}
        self._written: set[int] = set()

    def before_test(self, runner: Runner) -> None:
        """Find the sequences in the data set.

        Raises:
            EvaluationError: If a name is not there, or a page would replace another file.
        """
        self._table = SequenceTable(runner.test_loop.dataloader.dataset)
        names = [self._table.name(index) for index in range(len(self._table))]
        wanted = names[: self.sequences] if isinstance(self.sequences, int) else self.sequences
        if missing := [name for name in wanted if name not in names]:
            raise EvaluationError(
                f'ReportHook: the data set has no sequence {missing[0]!r}; it has '
                f'{", ".join(names[:10])}{", ..." if len(names) > 10 else ""}'
            )
        self._chosen = {names.index(name) for name in wanted}
        self._running.clear()
        self._written.clear()
        try:
            for index in self._chosen:
                check_destination(self._path(runner, index))
        except (OSError, ValueError) as error:
            raise EvaluationError(f'ReportHook: {error}') from error

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[TrackDataSample] | None = None,
    ) -> None:
        """Take the frames of chosen sequences; write the page after the last one."""
        for sample in outputs or ():
            video = int(sample.video_id)
            if video not in self._chosen:
                continue
            results = self._running.setdefault(video, [])
            results.append(_read_result(sample))
            if len(results) == int(sample.video_length):
                self._running.pop(video)
                self._written.add(video)
                if not self.explain_every:
                    self._write(runner, video, results)

    def after_test(self, runner: Runner) -> None:
        """Track once more what is to be explained."""
        if self.explain_every:
            for video in sorted(self._written):
                self._write(runner, video, None)
        self._running.clear()

    def _write(self, runner: Runner, video: int, results: list[TrackResult] | None) -> None:
        """Write the page of a sequence; it is tracked again where there are no results."""
        name = self._table.name(video)
        try:
            sequence = self._table[video]
            frames = map(read_frame, sequence.frames)
            tracks, explained = [TrackLog(_name(runner), results)], None
            if results is None:
                recording = self._track(runner, sequence.boxes_xywh[0], frames)
                frames, tracks = recording.album, recording.tracks
                explained = recording.explanations
            path = write_report(
                self._path(runner, video),
                frames,
                tracks,
                explanations=explained,
                truth_xywh=np.where(sequence.has_box[:, None], sequence.boxes_xywh, np.nan),
                title=name,
                limits=self.limits,
            )
        except (OSError, ValueError) as error:
            runner.logger.error(f'no report of {name}: {error}')
        else:
            runner.logger.info(f'report of {name}: {path}')

    def _track(
        self, runner: Runner, box_xywh: np.ndarray, frames: Iterable[np.ndarray]
    ) -> Recording:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        trackers = {_name(runner): model.loop}
        recording = Recording(trackers, box_xywh, every=self.explain_every, limits=self.limits)
        for frame in frames:
            recording.add(frame)
        return recording

    def _path(self, runner: Runner, video: int) -> Path:
        name = quote(self._table.name(video), safe=' ')
        return Path(runner.work_dir) / self.out_dir / f'{name}.html'


def _read_result(sample: TrackDataSample) -> TrackResult:
    """What the loop says about a frame: all of it, or box and score."""
    if (result := sample.metainfo.get('result')) is not None:
        return result
    found = sample.pred_track_instances
    left, top, right, bottom = np.asarray(found.bboxes[0].cpu(), np.float64)
    score = float(found.scores[0]) if 'scores' in found else -1.0
    box = np.array([left, top, right - left, bottom - top])
    return TrackResult(box, score if score >= 0 else None, False)


def _name(runner: Runner) -> str:
    """Of the tracker, for people: the config's."""
    return Path(runner.cfg.filename or 'tracker').stem
