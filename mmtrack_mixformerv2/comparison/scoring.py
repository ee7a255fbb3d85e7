"""Several trackers on the same sequences, scored by the same metric."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from mmengine.evaluator import Evaluator
from mmtrack.datasets import BaseSOTDataset
from tqdm import tqdm

from ..benchmark.timing import Stopwatch, Timing, take_turns, wall_per_sample
from ..datasets import read_frame
from ..evaluation import SequenceTable
from ..evaluation.samples import frame_record
from ..tracking import TrackResult
from ..tracking.lock_step import Tracked


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


def measure_tracker(
    tracker: Any,
    dataset: BaseSOTDataset,
    scorer: Evaluator,
    name: str | None = None,
    progress: bool = True,
) -> TrackRecord:
    """Run a tracker over a data set, one sequence after the other, and score it.

    Args:
        tracker: Has ``init`` and ``track``, as :class:`~..tracking.StillBox`.
        dataset: In test mode.
        scorer: As :func:`~.test_sets.build_test_set` makes it.
        name: What to call the tracker; by default its ``name``.
        progress: Whether to show a bar, on a terminal.
    """
    record, table = TrackRecord(name or tracker.name), SequenceTable(dataset)
    bar = tqdm(
        total=len(dataset), desc=record.name, unit='frame', disable=None if progress else True
    )
    with bar:
        for video, sequence in enumerate(table):
            boxes = []
            for index, path in enumerate(sequence.frames):
                frame = read_frame(path)[..., ::-1]
                start = time.perf_counter()
                if index == 0:
                    result = TrackResult(np.asarray(sequence.boxes_xywh[0]), None, False)
                    state = tracker.init(frame, result.box_xywh)
                else:
                    result = tracker.track(frame, state)
                seconds = time.perf_counter() - start
                tracked = Tracked(video, index, frame.shape[:2], result, seconds)
                scorer.process([frame_record(sequence, tracked)])
                record.seconds += seconds
                boxes.append(result.box_xywh)
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
    sequence = SequenceTable(dataset)[0]
    images = [read_frame(path)[..., ::-1] for path in sequence.frames[:frames]]
    box = sequence.boxes_xywh[0]
    bar = tqdm(total=rounds * len(trackers), desc='speed', unit='run', disable=None)

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
