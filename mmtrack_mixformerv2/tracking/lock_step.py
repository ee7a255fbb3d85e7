"""Many sequences at once: they advance together, frame by frame, with one forward for all.

Each sequence keeps its own state, so lengths, frame sizes and moments of template updates may
differ; one that ends or fails makes room for the next. Frames are decoded ahead by the threads of
an executor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .predictor import Prediction, can_batch, encode_all, predict_all
from .sequence_tracker import Look, SequenceTracker, TrackResult
from .state import SequenceState


class Video(Protocol):
    """A sequence as it is tracked.

    Attributes:
        frames: Whatever ``read_frame`` takes, one for each frame.
        boxes_xywh: The first row is the target in the first frame, pixels.
    """

    frames: Sequence[Any]
    boxes_xywh: np.ndarray


@dataclass(frozen=True)
class Tracked:
    """One frame of one sequence.

    Attributes:
        sequence: Number of the sequence.
        frame_index: 0 for the first frame, whose box is the given one.
        frame_size: Height and width in pixels.
        result: What the frame gave; of the first frame, the given box and no more.
        seconds: Share of this frame in the time that its step took, without waiting for frames;
            their sum over the frames of all lock steps that run side by side is time on the clock.
    """

    sequence: int
    frame_index: int
    frame_size: tuple[int, int]
    result: TrackResult
    seconds: float

    @property
    def box_xywh(self) -> np.ndarray:
        """x, y, width, height in pixels, float64."""
        return self.result.box_xywh

    @property
    def score(self) -> float | None:
        """In [0, 1], or None from a model without a score head and in the first frame."""
        return self.result.score


@dataclass(frozen=True)
class Failure:
    """A sequence that cannot go on.

    Attributes:
        sequence: Number of the sequence.
        frame_index: Where it happened; None if the sequence could not be opened.
        error: What happened.
    """

    sequence: int
    frame_index: int | None
    error: Exception


@dataclass
class _Lane:
    """A place in the batch and the sequence that is on it."""

    sequence: int
    video: Video
    frame_index: int = 0  # of the frame that comes next
    state: SequenceState | None = None
    requested: int = 0  # frames whose reading has begun
    ahead: deque[Future] = field(default_factory=deque)
    look: Look | None = None
    result: TrackResult | None = None
    encode: bool = False  # whether the templates are new


class LockStep:
    """Tracks sequences in lock step.

    Args:
        tracker: The tracking loop; its predictor should be a :class:`~.predictor.BatchPredictor`.
        read_frame: Gives the RGB uint8 frame of an entry of :attr:`Video.frames`.
        num_sequences: How many advance together.
        executor: Reads frames ahead; None reads each when it is needed.
        strict: Call the predictor for one sequence at a time: slower, and the boxes are bit for
            bit those of :meth:`SequenceTracker.track`, whatever runs beside.
        side_by_side: How many lock steps share the time, this one included.

    Attributes:
        waited: Seconds spent waiting for frames.

    Raises:
        ValueError: If ``num_sequences`` is less than 1.
    """

    def __init__(
        self,
        tracker: SequenceTracker,
        read_frame: Callable[[Any], np.ndarray],
        num_sequences: int,
        executor: Executor | None = None,
        strict: bool = False,
        side_by_side: int = 1,
    ) -> None:
        if num_sequences < 1:
            raise ValueError(f'num_sequences is {num_sequences}, expected 1 or more')
        self.tracker, self.read_frame, self.executor = tracker, read_frame, executor
        self.num_sequences, self.side_by_side = num_sequences, side_by_side
        self.batched = not strict and can_batch(tracker.predictor)
        self.waited = 0.0

    def run(
        self, sequences: Iterable[int], load: Callable[[int], Video]
    ) -> Iterator[list[Tracked | Failure]]:
        """Track sequences to their ends.

        Args:
            sequences: Their numbers; the next one is taken when a place is free.
            load: Opens a sequence.

        Yields:
            What a step brought: one entry for each sequence on its way.
        """
        waiting, lanes = iter(sequences), []
        while True:
            events = self._fill(lanes, waiting, load)
            if not lanes and not events:
                return
            start = time.perf_counter()
            frames = self._gather(lanes, events)
            begun = time.perf_counter()
            self.waited += begun - start
            self._step(lanes, frames, events)
            share = (time.perf_counter() - begun) / max(len(lanes), 1) / self.side_by_side
            for lane in lanes:
                events.append(_tracked(lane, share))
                lane.frame_index += 1
            lanes = [lane for lane in lanes if lane.frame_index < len(lane.video.frames)]
            yield events

    def _fill(self, lanes: list[_Lane], waiting: Iterator[int], load: Callable) -> list[Failure]:
        failures = []
        while len(lanes) < self.num_sequences:
            sequence = next(waiting, None)
            if sequence is None:
                break
            try:
                lane = _Lane(sequence, load(sequence))
                if not len(lane.video.frames):
                    raise ValueError('it has no frames')
                lanes.append(lane)
            except Exception as error:  # whatever is wrong with its files
                failures.append(Failure(sequence, None, error))
        return failures

    def _gather(self, lanes: list[_Lane], events: list) -> list[np.ndarray]:
        """The next frame of every lane; lanes whose frame cannot be read are left out."""
        for lane in lanes:
            self._read(lane, until=lane.frame_index + 1)
        frames = self._each(lanes, events, lambda lane: lane.ahead.popleft().result())
        if self.executor is not None:
            # A single lane has to keep all threads busy.
            ahead = 1 if self.num_sequences > 1 else 4
            for lane in lanes:
                self._read(lane, until=lane.frame_index + 1 + ahead)
        return frames

    def _read(self, lane: _Lane, until: int) -> None:
        for frame in lane.video.frames[lane.requested : until]:
            if self.executor is None:
                lane.ahead.append(_Now(self.read_frame, frame))
            else:
                lane.ahead.append(self.executor.submit(self.read_frame, frame))
            lane.requested += 1

    def _step(self, lanes: list[_Lane], frames: list[np.ndarray], events: list) -> None:
        """Advance every lane by its frame; lanes that fail are left out."""
        given = dict(zip(map(id, lanes), frames))
        self._each(lanes, events, lambda lane: self._crop(lane, given[id(lane)]))
        tracked = [lane for lane in lanes if lane.look is not None]
        predictions = dict(zip(map(id, tracked), self._predict(tracked)))
        self._each(lanes, events, lambda lane: self._follow(lane, predictions.get(id(lane))))
        self._encode([lane for lane in lanes if lane.encode])

    def _crop(self, lane: _Lane, frame: np.ndarray) -> None:
        if lane.state is None:
            box = np.asarray(lane.video.boxes_xywh[0], np.float64)
            lane.state = self.tracker.begin(frame, box)
            lane.result = self.tracker.first_result(box)
            lane.encode = True
        else:
            lane.look = self.tracker.look(frame, lane.state)

    def _predict(self, lanes: list[_Lane]) -> list[Prediction]:
        crops, states = [lane.look.crop for lane in lanes], [lane.state for lane in lanes]
        return predict_all(self.tracker.predictor, crops, states, self.batched)

    def _follow(self, lane: _Lane, prediction: Prediction | None) -> None:
        if prediction is None:
            return
        lane.result = self.tracker.follow(lane.look, lane.state, prediction)
        lane.encode = lane.result.template_updated
        lane.look = None  # lets go of the frame

    def _encode(self, lanes: list[_Lane]) -> None:
        encode_all(self.tracker.predictor, [lane.state for lane in lanes], self.batched)
        for lane in lanes:
            lane.encode = False

    def _each(self, lanes: list[_Lane], events: list, call: Callable[[_Lane], Any]) -> list:
        """Results of a call for each lane; a lane whose call fails is removed and reported."""
        results, alive = [], []
        for lane in lanes:
            try:
                results.append(call(lane))
                alive.append(lane)
            except Exception as error:  # of this sequence alone; the others go on
                events.append(Failure(lane.sequence, lane.frame_index, error))
                for future in lane.ahead:
                    future.cancel()
        lanes[:] = alive
        return results


class _Now:
    """A future whose work is done when its result is asked for."""

    def __init__(self, call: Callable, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def result(self) -> Any:
        return self.call(*self.arguments)

    def cancel(self) -> None:
        """Nothing was begun."""


def _tracked(lane: _Lane, seconds: float) -> Tracked:
    size = lane.state.frame_size
    return Tracked(lane.sequence, lane.frame_index, size, lane.result, seconds)
