"""Several trackers on the same sequences, scored by the same metric.

The model runs in MMEngine's test loop; what has only ``init`` and ``track`` (see
:mod:`mmtrack_mixformerv2.tracking`) runs over the frames of the same data set, and its boxes go
through the same evaluator.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmtrack.datasets import BaseSOTDataset
from tqdm import tqdm


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
    tracker: Any, dataset: BaseSOTDataset, runner: Runner, evaluator: dict, progress: bool = True
) -> TrackRecord:
    """Run a tracker over a data set and score it as :func:`measure_model` scores a model.

    Args:
        tracker: Has ``name``, ``init`` and ``track``, as :class:`~.tracking.StillBox`.
        dataset: In test mode; frames are BGR.
        runner: Builds the evaluator.
        evaluator: Config of the metric, that of the model's test.
        progress: Whether to show a bar.
    """
    record, scorer = TrackRecord(tracker.name), runner.build_evaluator(evaluator)
    bar = tqdm(total=len(dataset), desc=tracker.name, unit='frame', disable=not progress)
    with bar:
        for video in range(dataset.num_videos):
            boxes = []
            for index in range(dataset.get_len_per_video(video)):
                packed = dataset[(video, index)]
                sample = packed['data_samples']
                frame = packed['inputs']['img'][0].permute(1, 2, 0).numpy()[..., ::-1]
                start = time.perf_counter()
                if index == 0:
                    x1, y1, x2, y2 = sample.gt_instances.bboxes[0].tolist()
                    box = np.array([x1, y1, x2 - x1, y2 - y1])
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


def dataset_of(runner: Runner) -> BaseSOTDataset:
    """The data set of a runner's test loop."""
    return runner.test_loop.dataloader.dataset


def _as_instances(box_xywh: Sequence[float]) -> InstanceData:
    x, y, w, h = box_xywh
    return InstanceData(bboxes=torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32))
