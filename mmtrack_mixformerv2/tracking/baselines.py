"""What any tracker should beat: a box that never moves, and a tracker that OpenCV brings along.

Both have the two methods of :class:`SequenceTracker`, ``init`` and ``track``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .region import clip_box, validate_box, validate_frame
from .sequence_tracker import TrackResult

# Trackers of OpenCV that need no weight files, the most accurate one first (as published
# comparisons order them). Which ones exist depends on the version and on opencv-contrib.
_OPENCV_TRACKERS = ('TrackerCSRT', 'TrackerKCF', 'TrackerMIL')
_LEAST_SIDE = 10  # MIL never returns from boxes of a few pixels


class StillBox:
    """The first box, for ever."""

    name = 'still box'

    def init(self, frame: np.ndarray, box_xywh: Sequence[float]) -> np.ndarray:
        """Start a sequence; the box is x, y, width, height in pixels."""
        return np.array(validate_box(box_xywh, *validate_frame(frame).shape[:2]))

    def track(self, frame: np.ndarray, state: np.ndarray) -> TrackResult:
        """The box of the first frame."""
        return TrackResult(state.copy(), None, False)


@dataclass
class _OpenCVState:
    tracker: object  # None if OpenCV refused the first box
    box_xywh: np.ndarray


class OpenCVTracker:
    """The best tracker of the installed OpenCV that works without weight files.

    Where it loses the target, or fails, the last box is kept.

    Args:
        kind: Name of the tracker, e.g. ``'TrackerMIL'``; by default the best there is.

    Raises:
        ValueError: If the installed OpenCV has no such tracker.
    """

    def __init__(self, kind: str | None = None) -> None:
        factories = {name: _find_factory(name) for name in _OPENCV_TRACKERS}
        found = [name for name, factory in factories.items() if factory]
        kind = kind or next(iter(found), None)
        if kind not in found:
            raise ValueError(
                f'OpenCV {cv2.__version__} has the trackers {found or "none"}, expected '
                f'{kind or "one of " + ", ".join(_OPENCV_TRACKERS)}; install opencv-python >= 4.5, '
                'or opencv-contrib-python for more of them.'
            )
        self._create = factories[kind]
        self.name = f'OpenCV {kind.replace("Tracker", "")}'

    def init(self, frame: np.ndarray, box_xywh: Sequence[float]) -> _OpenCVState:
        """Start a sequence; the box is x, y, width, height in pixels."""
        frame = validate_frame(frame)
        box = np.array(validate_box(box_xywh, *frame.shape[:2]))
        inside = clip_box(box, *frame.shape[:2], margin=_LEAST_SIDE)
        cv2.setRNGSeed(0)
        tracker = self._create()
        try:
            tracker.init(np.ascontiguousarray(frame), tuple(int(round(v)) for v in inside))
        except cv2.error:  # e.g. MIL, if no background is left around the box
            tracker = None
        return _OpenCVState(tracker, box)

    def track(self, frame: np.ndarray, state: _OpenCVState) -> TrackResult:
        """Find the target in the next frame."""
        if state.tracker is not None:
            try:
                found, box = state.tracker.update(np.ascontiguousarray(validate_frame(frame)))
            except cv2.error:
                found = False
            if found:
                state.box_xywh = np.array(box, np.float64)
        return TrackResult(state.box_xywh.copy(), None, False)


def _find_factory(name: str):
    for module in (cv2, getattr(cv2, 'legacy', None)):
        factory = getattr(module, f'{name}_create', None)
        if factory is not None:
            return factory
    return None
