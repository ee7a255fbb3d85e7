"""Several trackers on the same sequences, scored by the same metric.

The model runs in MMEngine's test loop; what has only ``init`` and ``track`` (see
:mod:`mmtrack_mixformerv2.tracking`) runs over the frames of the same data set, and its boxes go
through the same evaluator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmtrack.datasets import BaseSOTDataset
from mmtrack.registry import DATASETS, METRICS
from tqdm import tqdm

from .benchmark.timing import Stopwatch, Timing, take_turns, wall_per_sample
from .datasets import check_data_files


@dataclass
class TrackRecord:
    """What one tracker did on a data set.

    Attributes:
        name: Of the tracker.
        metrics: As the evaluator returned them, e.g. ``sot/success`` in percent.
        boxes_xywh: For each video, x, y, width, height of every frame in pixels, ``(N, 4)``.
        seconds: Time spent in tracking, without reading frames.
    """

    name: str
    metrics: dict[str, float] = field(default_factory=dict)
    boxes_xywh: dict[int, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def frames_per_second(self) -> float:
        """Frames tracked per second, first frames included."""
        return sum(map(len, self.boxes_xywh.values())) / max(self.seconds, 1e-9)


class RecordTracksHook(Hook):
    """Keeps the boxes of a test run and the time it took, and shows its progress.

    Args:
        record: Filled during the run.
        total: Number of frames.
        progress: Whether to show a bar.
    """

    priority = 'VERY_HIGH'  # the clock stops before the other hooks do their work

    def __init__(self, record: TrackRecord, total: int, progress: bool = True) -> None:
        self.record, self.total, self.progress = record, total, progress
        self._boxes: dict[int, list[np.ndarray]] = {}

    def before_test(self, runner: Runner) -> None:
        """Show the bar."""
        self._bar = tqdm(
            total=self.total, desc=self.record.name, unit='frame', disable=not self.progress
        )

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop the clock and keep the boxes."""
        self.record.seconds += time.perf_counter() - self._start
        for sample in outputs:
            box = sample.pred_track_instances.bboxes[0].cpu().numpy().astype(np.float64)
            box[2:] -= box[:2]
            self._boxes.setdefault(sample.metainfo['video_id'], []).append(box)
        self._bar.update(len(outputs))

    def after_test(self, runner: Runner) -> None:
        """Hand over the boxes."""
        self._bar.close()
        self.record.boxes_xywh = {video: np.stack(boxes) for video, boxes in self._boxes.items()}


def measure_model(runner: Runner, name: str, progress: bool = True) -> TrackRecord:
    """Test the model of a runner.

    Args:
        runner: With a test loop over a SOT data set; loads its checkpoint itself.
        name: What to call the model.
        progress: Whether to show a bar.
    """
    record = TrackRecord(name)
    total = len(dataset_of(runner))
    runner.register_hook(RecordTracksHook(record, total, progress))
    record.metrics = dict(runner.test())
    return record


def measure_tracker(
    tracker: Any,
    dataset: BaseSOTDataset,
    scorer: Evaluator,
    name: str | None = None,
    progress: bool = True,
) -> TrackRecord:
    """Run a tracker over a data set and score it as :func:`measure_model` scores a model.

    Args:
        tracker: Has ``init`` and ``track``, as :class:`~.tracking.StillBox`.
        dataset: In test mode; frames are BGR.
        scorer: With the metric of the model's test.
        name: What to call the tracker; by default its ``name``.
        progress: Whether to show a bar.
    """
    record = TrackRecord(name or tracker.name)
    bar = tqdm(total=len(dataset), desc=record.name, unit='frame', disable=not progress)
    with bar:
        for video in range(dataset.num_videos):
            boxes = []
            for index in range(dataset.get_len_per_video(video)):
                packed = dataset[(video, index)]
                sample = packed['data_samples']
                frame = _rgb(packed)
                start = time.perf_counter()
                if index == 0:
                    box = _first_box(packed)
                    state = tracker.init(frame, box)
                else:
                    box = tracker.track(frame, state).box_xywh
                record.seconds += time.perf_counter() - start
                boxes.append(box)
                sample.pred_track_instances = _as_instances(box)
                scorer.process([sample], packed)
                bar.update()
            record.boxes_xywh[video] = np.stack(boxes)
    record.metrics = dict(scorer.evaluate(len(dataset)))
    return record


def measure_speed(
    trackers: Sequence[Any], dataset: BaseSOTDataset, rounds: int, frames: int = 40
) -> list[float]:
    """Frames per second of several trackers, measured in turns on the same frames.

    Args:
        trackers: As for :func:`measure_tracker`.
        dataset: In test mode; the first frames of its first sequence are taken, read before.
        rounds: How often each tracker follows them.
        frames: How many, at most.

    Returns:
        The median over the rounds, for each tracker.
    """
    packed = [dataset[(0, i)] for i in range(min(frames, dataset.get_len_per_video(0)))]
    images = [_rgb(sample) for sample in packed]
    box = _first_box(packed[0])
    bar = tqdm(total=rounds * len(trackers), desc='speed', unit='run')

    def run(tracker: Any) -> Timing:
        state = tracker.init(images[0], box)
        watch = Stopwatch()
        for image in images[1:]:
            tracker.track(image, state)
        timing = watch.stop(len(images) - 1)
        bar.update()
        return timing

    with bar:
        runs = {i: partial(run, tracker) for i, tracker in enumerate(trackers)}
        timings = take_turns(runs, seconds=0, min_rounds=rounds)
    return [1 / wall_per_sample(timing) for timing in timings.values()]


def build_test_set(
    cfg: Config, data_root: str | None = None
) -> tuple[BaseSOTDataset, Callable[[], Evaluator]]:
    """A data set, and what makes evaluators with its metric.

    Args:
        cfg: With ``test_dataloader`` and ``test_evaluator``.
        data_root: Folder in the place of that in the config.

    Raises:
        FileNotFoundError: If the data are not there.
    """
    settings = cfg.test_dataloader.dataset
    if data_root:
        settings.data_root = str(Path(data_root)) + '/'
    check_data_files(settings)
    with DefaultScope.overwrite_default_scope('mmtrack'):  # its pipeline is looked for there
        dataset = DATASETS.build(settings)

    def new_scorer() -> Evaluator:
        scorer = Evaluator([METRICS.build(cfg.test_evaluator)])
        scorer.dataset_meta = dataset.metainfo
        return scorer

    return dataset, new_scorer


def dataset_of(runner: Runner) -> BaseSOTDataset:
    """The data set of a runner's test loop."""
    return runner.test_loop.dataloader.dataset


def _rgb(packed: dict) -> np.ndarray:
    return packed['inputs']['img'][0].permute(1, 2, 0).numpy()[..., ::-1]


def _first_box(packed: dict) -> np.ndarray:
    """x, y, width, height of the target in the first frame."""
    x1, y1, x2, y2 = packed['data_samples'].gt_instances.bboxes[0].tolist()
    return np.array([x1, y1, x2 - x1, y2 - y1])


def _as_instances(box_xywh: Sequence[float]) -> InstanceData:
    x, y, w, h = box_xywh
    return InstanceData(bboxes=torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32))
