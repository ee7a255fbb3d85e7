"""Tracks a video with one or several trackers and keeps what a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..tracking import SequenceTracker, TrackResult
from ..tracking.track_log import TrackLog
from .frame_album import AlbumLimits, FrameAlbum
from .frame_explanation import FrameExplanation

MOST_EXPLANATIONS = 100  # of each tracker; one takes about as much room as two pictures


class SingleTracker(Protocol):
    """What can be recorded: a SequenceTracker, or a baseline."""

    def init(self, frame: np.ndarray, box_xywh: Sequence[float]) -> Any:
        """The state of a sequence, from its first frame, RGB uint8, and the box in it."""

    def track(self, frame: np.ndarray, state: Any) -> TrackResult:
        """Find the target in the next frame; changes the state."""


class Recording:
    """Trackers that follow one target, side by side, and what they did.

    ::

        recording = Recording({'tiny': Tracker('mixformerv2-tiny').loop}, box, every=20)
        for frame in read_frames('clip.mp4'):
            recording.add(frame)
        write_report('report.html', recording.album, recording.tracks,
                     explanations=recording.explanations)

    Args:
        trackers: What tracks, by the name that the report has for it.
        box_xywh: The target in the first frame, pixels.
        every: Keep attention and similarity of every so manyth frame; 0 for none. Where there
            would be more than ``MOST_EXPLANATIONS``, every second one is dropped.
        limits: Of the pictures.
        count: Number of frames to come, if it is known.

    Attributes:
        album: The pictures.
        tracks: A log of each tracker.
        explanations: What each tracker looked at, by the number of the frame.
        unexplained: Why a tracker cannot be explained, by its name.
    """

    def __init__(
        self,
        trackers: Mapping[str, SingleTracker],
        box_xywh: Sequence[float],
        *,
        every: int = 0,
        limits: AlbumLimits | None = None,
        count: int | None = None,
    ) -> None:
        self.trackers, self.box_xywh, self.every = dict(trackers), box_xywh, every
        self.album = FrameAlbum(limits, count)
        self.tracks = [TrackLog(name) for name in self.trackers]
        self.explanations: list[dict[int, FrameExplanation]] = [{} for _ in self.trackers]
        self.unexplained: dict[str, str] = {}
        self._states: list[Any] = []

    def add(self, frame: np.ndarray) -> list[TrackResult]:
        """Track the next frame with every tracker.

        Args:
            frame: BGR uint8 ``(height, width, 3)``.

        Returns:
            What each tracker gives; in the first frame, the given box.

        Raises:
            ValueError: If the frame or the first box is not usable.
        """
        index, rgb = self.album.count, frame[..., ::-1]
        results = self._track(rgb) if index else self._start(rgb)
        self.album.add(frame, pinned=any(index in one for one in self.explanations))
        for track, result in zip(self.tracks, results):  # all of them, or none
            track.results.append(result)
        return results

    def _start(self, rgb: np.ndarray) -> list[TrackResult]:
        self._states = [one.init(rgb, self.box_xywh) for one in self.trackers.values()]
        return [_first_result(tracker, self.box_xywh) for tracker in self.trackers.values()]

    def _track(self, rgb: np.ndarray) -> list[TrackResult]:
        index = self.album.count
        if self.every and (index == 1 or index % self.every == 0):
            self._explain(index, rgb)
        return [
            tracker.track(rgb, state)
            for tracker, state in zip(self.trackers.values(), self._states)
        ]

    def _explain(self, index: int, rgb: np.ndarray) -> None:
        for number, (name, tracker) in enumerate(self.trackers.items()):
            if name in self.unexplained or not isinstance(tracker, SequenceTracker):
                continue
            if not hasattr(tracker.predictor, 'network'):
                self.unexplained[name] = (
                    'an exported model does not give it; use its config and checkpoint'
                )
                continue
            from .attention import explain_frame  # torch, which may be missing where it is not used

            try:
                explained = explain_frame(tracker, rgb, self._states[number])
            except TypeError as error:  # of a backbone that cannot tell
                self.unexplained[name] = str(error)
                continue
            self.explanations[number][index] = explained
        if max(map(len, self.explanations)) > MOST_EXPLANATIONS:
            self.every *= 2
            for one in self.explanations:
                for frame in [frame for frame in one if frame % self.every]:
                    del one[frame]
            self.album.pinned = {frame for one in self.explanations for frame in one}


def _first_result(tracker: SingleTracker, box_xywh: Sequence[float]) -> TrackResult:
    if isinstance(tracker, SequenceTracker):
        return tracker.first_result(box_xywh)
    return TrackResult(np.array(box_xywh, np.float64), None, False)
