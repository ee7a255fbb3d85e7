"""A test loop that tracks several sequences at once, survives bad ones, and can be interrupted."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
)
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook, IterTimerHook, LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from mmtrack.registry import LOOPS
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..deployment.backends import build_predictor
from ..deployment.weights import hash_weights
from ..evaluation import Sequence, SequenceTable
from ..evaluation.samples import as_data_sample, frame_record
from ..evaluation.tracks import Finished, TrackStore, track_sequences
from ..tracking import SequenceTracker
from ..tracking.lock_step import Failure, LockStep, Tracked
from ..version import __version__
from .result_folder_hook import EvaluationError
from .work_dir_lock import WorkDirLock

_MOST_NAMES = 10
_ANY_SAMPLER = {'type': 'DefaultSampler', 'shuffle': False}


class FailedSequence(NamedTuple):
    """A sequence without a result: its name, where it happened, and why."""

    name: str
    place: str
    reason: str


@LOOPS.register_module()
class LockStepTestLoop(BaseLoop):
    """Tests a tracker on several sequences at once.

    K sequences advance together, with one forward for all (see
    :class:`~mmtrack_mixformerv2.tracking.lock_step.LockStep`). The boxes are those of one sequence
    at a time but for the rounding of batched arithmetic. A sequence that fails is reported and left
    out, the others go on. Finished ones are kept in ``tracks`` in the work directory; the same test
    run again goes on with the rest. Of several processes each takes its share of the sequences.

    Metrics and hooks get what MMEngine's ``TestLoop`` gives them: metrics all frames of a sequence,
    in order, once it is finished; hooks every frame, with ``batch_idx`` counting frames, but
    ``LoggerHook`` and ``IterTimerHook``, whose work the progress bar does.

    Args:
        runner: Its model has ``loop``, a :class:`~mmtrack_mixformerv2.tracking.SequenceTracker`.
        dataloader: Of a single object tracking data set in test mode. Frames are read by
            ``num_workers`` threads with the first transform of its pipeline; the rest of the
            pipeline, the sampler and the batch size are not used.
        evaluator: As for ``TestLoop``.
        num_sequences: How many sequences advance together.
        num_streams: In how many batches, each in a thread of its own with its part of torch's
            threads; 0 for one per thread of torch on a CPU, and two on a GPU.
        strict: Forward one sequence at a time, in one stream: bit for bit the boxes of a test that
            tracks one sequence after the other.
        backend: What runs the network: ``'torch'``, ``'onnxruntime'``, ``'openvino'`` or
            ``'tensorrt'``, see :func:`~mmtrack_mixformerv2.deployment.backends.build_predictor`.
        dtype: What it computes in; anything but ``'float32'`` changes boxes.
        compile: Compile the step that every frame takes (``'torch'``).
        exported: Folder of the exported model; None exports the model first.
        restart: Forget the sequences that an earlier run finished.
        progress: Whether to show a bar.

    Attributes:
        failures: The sequences of all processes that failed in the last run.
        waited: Seconds in which the last run waited for frames.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        num_sequences: int = 8,
        num_streams: int = 0,
        strict: bool = False,
        backend: str | None = None,
        dtype: str = 'float32',
        compile: bool = False,
        exported: str | None = None,
        restart: bool = False,
        progress: bool = True,
    ) -> None:
        if isinstance(dataloader, Mapping):  # else the sampler would list every frame
            dataloader = {**dataloader, 'sampler': _ANY_SAMPLER, 'persistent_workers': False}
        super().__init__(runner, dataloader)
        if num_sequences < 1:
            raise ValueError(f'num_sequences is {num_sequences}, expected 1 or more')
        if num_streams < 0:
            raise ValueError(f'num_streams is {num_streams}, expected 0 or more')
        on_gpu = next(runner.model.parameters()).is_cuda
        automatic = 1 if strict else 2 if on_gpu else torch.get_num_threads()
        self.num_sequences, self.num_streams = num_sequences, num_streams or automatic
        self.strict = strict
        self.runtime = dict(backend=backend, dtype=dtype, compile=compile, exported=exported)
        self.restart, self.progress = restart, progress
        self.dataset = self.dataloader.dataset
        self.sequences = SequenceTable(self.dataset)
        is_evaluator = isinstance(evaluator, Evaluator)
        self.evaluator = evaluator if is_evaluator else runner.build_evaluator(evaluator)
        self.evaluator.dataset_meta = {**self.dataset.metainfo, 'sequences': self.sequences}
        self.failures: list[FailedSequence] = []
        self.waited = 0.0

    def run(self) -> dict[str, float]:
        """Track what is not finished, then compute the metrics.

        Raises:
            ValueError: If there is no such backend, or it has no such ``dtype``.
            BackendNotInstalled: If the backend is not installed.
            EvaluationError: If the model has no tracking loop, or the folders for the results hold
                something else; and, when all is done, if sequences failed.
        """
        runner, model = self.runner, self._model()
        model.eval()
        tracker = self.build_tracker()
        with WorkDirLock('evaluation') as lock:
            store = self._open_store(model, lock)
            runner.call_hook('before_test')
            runner.call_hook('before_test_epoch')
            failed = self._track(tracker, store)
            self.failures = [one for part in all_gather_object(failed) for one in part]
            metrics = self.evaluator.evaluate(len(self.dataset))
        runner.call_hook('after_test_epoch', metrics=metrics)
        runner.call_hook('after_test')
        if self.failures:
            names = ', '.join(one.name for one in self.failures[:_MOST_NAMES])
            raise EvaluationError(
                f'{len(self.failures)} of {len(self.sequences)} sequences failed ({names}'
                f'{", ..." if len(self.failures) > _MOST_NAMES else ""}), and the metrics are '
                'without them; the log says why. Repair them and run the same command again: '
                'the finished ones are kept'
            )
        return metrics

    def build_tracker(self) -> SequenceTracker:
        """The tracking loop of the model, on what is to run it."""
        model = self._model()
        return SequenceTracker(build_predictor(model, **self.runtime), model.loop.settings)

    def _model(self) -> nn.Module:
        model = self.runner.model
        model = model.module if is_model_wrapper(model) else model
        if not hasattr(model, 'loop'):
            raise EvaluationError(
                f'{type(model).__name__} has no tracking loop that could take several sequences; '
                "test it with test_cfg=dict(type='TestLoop')"
            )
        return model

    def _open_store(self, model: nn.Module, lock: WorkDirLock) -> TrackStore:
        """Prepare the folder of the tracks, in the first process."""
        runtime = ', '.join(f'{key}={value}' for key, value in self.runtime.items())
        settings = f'{runtime}, strict={self.strict}'
        identity = {
            'weights': hash_weights(model)[:16],
            'model': hashlib.sha256(str(self.runner.cfg.model).encode()).hexdigest()[:16],
            'settings': settings,
            'version': __version__,
        }
        store = TrackStore(Path(self.runner.work_dir) / 'tracks', identity)
        problem = [None]
        if get_rank() == 0:
            try:
                lock.take(store.folder, create=True)
                store.open(self.restart)
            except ValueError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0] is not None:
            raise EvaluationError(problem[0])
        return store

    def _track(self, tracker: SequenceTracker, store: TrackStore) -> list[FailedSequence]:
        """Track this process's share; gives the sequences that failed."""
        share = self._share()
        waiting = [index for index in share if not self._take_finished(index, store)]
        if len(waiting) < len(share):
            self.runner.logger.info(
                f'{len(share) - len(waiting)} of {len(share)} sequences were finished before'
            )
        failed, hooks = [], self._frame_hooks()
        with self._bar(share, waiting) as bar, _threads(self.dataloader.num_workers) as executor:
            lock_steps, count = self._lock_steps(tracker, executor), itertools.count()
            threads = max(1, torch.get_num_threads() // len(lock_steps))
            prepare = partial(torch.set_num_threads, threads)
            with _same_threads():
                for event in track_sequences(lock_steps, self.sequences, waiting, prepare):
                    if isinstance(event, Finished):
                        store.write(event.sequence.name, event.track)
                        self._evaluate(event)
                    elif isinstance(event[1], Failure):
                        failed.append(self._report(*event, bar))
                    else:
                        self._call_hooks(hooks, next(count), *event)
                        bar.update()
            self.waited = sum(one.waited for one in lock_steps) / len(lock_steps)
        return failed

    def _bar(self, share: list[int], waiting: list[int]) -> tqdm:
        """Frames of this process; only the first process shows any."""
        total = sum(map(self.sequences.length, share))
        return tqdm(
            total=total,
            initial=total - sum(map(self.sequences.length, waiting)),
            desc='test' if get_world_size() == 1 else f'test, 1 of {get_world_size()} processes',
            unit='frame',
            mininterval=0.1 if sys.stderr.isatty() else 10,  # not to fill a log
            disable=not self.progress or get_rank() > 0,
        )

    def _share(self) -> list[int]:
        """The sequences of this process, the longest first, so that all end at about one time."""
        by_length = sorted(range(len(self.sequences)), key=self.sequences.length, reverse=True)
        return by_length[get_rank() :: get_world_size()]

    def _take_finished(self, index: int, store: TrackStore) -> bool:
        """Hand a sequence that an earlier run finished to the metrics."""
        if not store.has(self.sequences.name(index)):
            return False
        try:
            sequence = self.sequences[index]
        except (OSError, ValueError):  # told when its turn comes
            return False
        track = store.read(sequence)
        if track is None:
            return False
        self._evaluate(Finished(index, sequence, track))
        return True

    def _lock_steps(self, tracker: SequenceTracker, executor: Executor | None) -> list[LockStep]:
        load = self.dataset.pipeline.transforms[0]
        bgr = self._model().data_preprocessor.channel_conversion

        def read(path: str) -> np.ndarray:
            frame = load({'img_path': path})['img']
            return frame[..., ::-1] if bgr else frame

        streams = min(self.num_streams, self.num_sequences)
        sizes = [len(part) for part in np.array_split(range(self.num_sequences), streams)]
        return [
            LockStep(tracker, read, size, executor, self.strict, side_by_side=streams)
            for size in sizes
        ]

    def _evaluate(self, done: Finished) -> None:
        frames = done.track.frames(done.index)
        self.evaluator.process([frame_record(done.sequence, frame) for frame in frames])

    def _frame_hooks(self) -> list[Hook]:
        """The hooks that want to see every frame."""
        return [
            hook
            for hook in self.runner.hooks
            if 'after_test_iter' in hook.get_triggered_stages()
            and not isinstance(hook, (IterTimerHook, LoggerHook))
            and getattr(hook, 'draw', True)  # TrackVisualizationHook may be told to do nothing
        ]

    def _call_hooks(
        self, hooks: list[Hook], count: int, sequence: Sequence, frame: Tracked
    ) -> None:
        if not hooks:
            return
        sample = as_data_sample(frame_record(sequence, frame))
        for hook in hooks:
            hook.before_test_iter(self.runner, batch_idx=count, data_batch=None)
            hook.after_test_iter(self.runner, batch_idx=count, data_batch=None, outputs=[sample])

    def _report(self, sequence: Sequence | None, failure: Failure, bar: tqdm) -> FailedSequence:
        """Say at once what went wrong, and expect no more frames of the sequence."""
        name = self.sequences.name(failure.sequence)
        place = 'its annotation'
        if failure.frame_index is not None:
            place = f'frame {failure.frame_index} ({sequence.frames[failure.frame_index]})'
        reason = f'{type(failure.error).__name__}: {failure.error}'
        self.runner.logger.error(f'{name} failed at {place}: {reason}')
        for metric in self.evaluator.metrics:
            getattr(metric, 'add_failure', lambda *_: None)(failure.sequence, f'{place}: {reason}')
        bar.total -= self.sequences.length(failure.sequence) - (failure.frame_index or 0)
        bar.refresh()
        return FailedSequence(name, place, reason)


def _threads(count: int) -> AbstractContextManager[Executor | None]:
    return ThreadPoolExecutor(count, 'read') if count else nullcontext()


@contextmanager
def _same_threads() -> Iterator[None]:
    """Streams set torch's number of threads, for themselves and for threads to come."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
