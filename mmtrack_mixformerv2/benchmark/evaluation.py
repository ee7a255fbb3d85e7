"""How fast an evaluation is, and where its time goes: one frame at a time against lock step."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from ..engine import LockStepTestLoop
from ..synthetic import RenderSettings, make_difficulty, write_dataset
from ..tracking import SequenceTracker
from .timing import Stopwatch, Timing

PHASES = DECODE, CROP, NETWORK, METRIC = 'decode', 'crop', 'network', 'metric'


@dataclass
class EvaluationTiming:
    """Runs of one kind of evaluation.

    Attributes:
        phases: Seconds by phase, all runs together; of phases that run in several threads side by
            side, the mean of these threads. ``decode`` is the time of waiting for frames.
        reads: Seconds of each frame that was read in this process, all runs together.
        wall: Seconds of all runs together.
    """

    phases: Counter[str] = field(default_factory=Counter)
    reads: list[float] = field(default_factory=list)
    wall: float = 0.0

    def share(self, phase: str) -> float:
        """Part of the wall time."""
        return self.phases[phase] / max(self.wall, 1e-9)

    @property
    def rest(self) -> float:
        """Part of the wall time that is in no phase; metrics may run beside the others."""
        return max(0.0, 1 - sum(map(self.share, PHASES)))

    @property
    def reading(self) -> float | None:
        """Seconds that a frame takes a thread; None if other processes read."""
        return sum(self.reads) / len(self.reads) if self.reads else None

    @property
    def overhead(self) -> float:
        """Part of the wall time that is neither waiting for frames nor the network."""
        return 1 - self.share(DECODE) - self.share(NETWORK)


def render_test_set(folder: Path, sequences: int, frames: int, size: tuple[int, int]) -> Path:
    """Rendered sequences in GOT-10k's layout, with annotations."""
    settings = RenderSettings(
        seed=4, difficulty=make_difficulty('medium'), frames={'train': 20, 'val': frames}, size=size
    )
    write_dataset(folder, settings, {'val': sequences}, progress=False)
    return folder


def use_rendered(cfg: Config, folder: Path, workers: int) -> None:
    """Let a test config read rendered sequences, with that many threads or processes."""
    cfg.test_dataloader.update(num_workers=workers, persistent_workers=False)
    cfg.test_dataloader.dataset = dict(
        type='AnnotatedGOT10kDataset',
        data_root=f'{folder}/',
        ann_file='annotations/got10k_val_infos.txt',
        data_prefix=dict(img_path=''),
        pipeline=cfg.test_dataloader.dataset.pipeline,
        test_mode=True,
    )


class EvaluationRun:
    """One kind of evaluation, run again and again on the same sequences.

    Args:
        cfg: A test config; the work directory is a temporary one.
        loop: The ``test_cfg``.
        checkpoint: Weights, or None for random ones, which are as fast.
    """

    def __init__(self, cfg: Config, loop: Mapping[str, Any], checkpoint: str | None) -> None:
        self.cfg, self.loop, self.checkpoint = cfg, dict(loop), checkpoint
        self.result = EvaluationTiming()

    def __call__(self) -> Timing:
        """Evaluate once."""
        with tempfile.TemporaryDirectory() as folder:
            runner = self._runner(folder)
            loop = runner.test_loop
            with _measured(loop, self.result):
                watch = Stopwatch(next(runner.model.parameters()).device)
                loop.run()
                timing = watch.stop(len(loop.dataloader.dataset))
            self.result.wall += timing.wall
        return timing

    def _runner(self, folder: str) -> Runner:
        cfg = self.cfg.copy()
        cfg.work_dir, cfg.experiment_name = folder, uuid4().hex
        cfg.load_from, cfg.log_level, cfg.test_cfg = self.checkpoint, 'ERROR', self.loop
        if cfg.test_evaluator.get('outfile_prefix'):
            cfg.test_evaluator.outfile_prefix = str(Path(folder) / 'results')
        runner = Runner.from_cfg(cfg)
        runner.call_hook('before_run')
        runner.load_or_resume()
        return runner


@contextmanager
def _measured(loop: BaseLoop, result: EvaluationTiming) -> Iterator[None]:
    """Take the time of the parts of a test loop while it runs."""
    transforms = loop.dataloader.dataset.pipeline.transforms
    read = transforms[0]

    def timed_read(results: dict) -> dict:
        start = time.perf_counter()
        frame = read(results)
        result.reads.append(time.perf_counter() - start)  # from any thread
        return frame

    transforms[0] = timed_read
    streams = min(getattr(loop, 'num_streams', 1), getattr(loop, 'num_sequences', 1))

    def watch(part: Any, names: Sequence[str], phase: str, threads: int = 1) -> None:
        for name in names:
            setattr(part, name, _timed(getattr(part, name), result.phases, phase, threads))

    def watch_tracker(tracker: SequenceTracker) -> SequenceTracker:
        names = 'predict_batch', 'encode_templates_batch'
        watch(tracker.predictor, names, NETWORK, streams)
        watch(tracker, ('begin_targets', 'look_targets'), CROP, streams)
        return tracker

    watch(loop.evaluator, ('process', 'evaluate'), METRIC)
    if isinstance(loop, LockStepTestLoop):
        build = loop.build_tracker
        loop.build_tracker = lambda: watch_tracker(build())
    else:
        watch_tracker(loop.runner.model.loop)
    if not hasattr(loop, 'waited'):
        loop.dataloader = _TimedLoader(loop.dataloader, result.phases)
    yield
    result.phases[DECODE] += getattr(loop, 'waited', 0.0)


def _timed(call: Callable, phases: Counter[str], phase: str, threads: int = 1) -> Callable:
    lock = threading.Lock()

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            seconds = (time.perf_counter() - start) / threads
            with lock:
                phases[phase] += seconds

    return timed


class _TimedLoader:
    """A data loader that takes the time of waiting for it."""

    def __init__(self, loader: DataLoader, phases: Counter[str]) -> None:
        self.loader, self.phases, self.dataset = loader, phases, loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        advance = _timed(lambda: next(batches, None), self.phases, DECODE)
        return iter(advance, None)
