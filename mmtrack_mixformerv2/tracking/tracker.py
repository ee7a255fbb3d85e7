"""The tracker of one video, as OpenCV's are used: init, then update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .sequence_tracker import SequenceTracker, TrackResult
from .state import SequenceState


class Tracker:
    """Tracks one target or several through one video.

    Frames are RGB, uint8, ``(height, width, 3)``; those of OpenCV are BGR: pass
    ``frame[..., ::-1]``, which copies nothing.

    Args:
        loop: The tracking loop; trackers may share one.
    """

    def __init__(self, loop: SequenceTracker) -> None:
        self.loop = loop
        self._states: list[SequenceState] | None = None
        self._several = False

    def init(self, frame: np.ndarray, boxes_xywh: Sequence) -> None:
        """Start anew with the first frame.

        Args:
            frame: The first frame.
            boxes_xywh: x, y, width, height of the target in pixels, or one such row for each of
                several targets, ``(N, 4)``.

        Raises:
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame's shape or a box is not usable.
        """
        several = _are_rows(boxes_xywh)
        self._states = self.loop.init_targets(frame, boxes_xywh if several else [boxes_xywh])
        self._several = several

    def update(self, frame: np.ndarray) -> TrackResult | list[TrackResult]:
        """Find the target in the next frame, or each of them, in the order of their boxes.

        Several targets share one forward.

        Raises:
            RuntimeError: If there was no :meth:`init`.
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame has another size than the first one.
        """
        if self._states is None:
            raise RuntimeError('update came before init; call init(first_frame, box) first.')
        results = self.loop.track_targets(frame, self._states)
        return results if self._several else results[0]


def _are_rows(boxes_xywh: Sequence) -> bool:
    """Whether these are several boxes; rows of unequal lengths are, and each is checked later."""
    try:
        return np.ndim(boxes_xywh) > 1
    except ValueError:
        return True
