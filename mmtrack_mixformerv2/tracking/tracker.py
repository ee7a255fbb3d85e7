"""The tracker of one video, as OpenCV's are used: init, then update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..video import Source, open_source
from .confidence import TargetState
from .sequence_tracker import SequenceTracker, TrackResult
from .state import SequenceState

COLORS = ('rgb', 'bgr')


class Tracker:
    """Tracks one target or several through one video.

    Args:
        loop: The tracking loop; trackers may share one.
        color: Order of the channels of the frames: ``'rgb'``, or ``'bgr'`` for frames that OpenCV
            has decoded. Nothing else asks for it.

    Raises:
        ValueError: If the color is none of the two.
    """

    def __init__(self, loop: SequenceTracker, *, color: str = 'rgb') -> None:
        if color not in COLORS:
            raise ValueError(
                f"color is {color!r}, expected 'rgb', or 'bgr' for frames decoded by OpenCV"
            )
        self.loop = loop
        self.color = color
        self._states: list[SequenceState] | None = None
        self._several = False

    def init(self, frame: np.ndarray, box: Sequence) -> None:
        """Start anew with the first frame.

        Args:
            frame: The first frame, uint8 ``(height, width, 3)``.
            box: x, y, width, height of the target in pixels, or one such row for each of several
                targets, ``(N, 4)``.

        Raises:
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame's shape or a box is not usable.
        """
        self._init(_to_rgb(frame, self.color), box)

    def update(self, frame: np.ndarray) -> TrackResult | list[TrackResult]:
        """Find the target in the next frame, or each of them, in the order of their boxes.

        Several targets share one forward.

        Raises:
            RuntimeError: If there was no :meth:`init`.
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame has another size than the first one.
        """
        return self._update(_to_rgb(frame, self.color))

    def track(self, source: Source, box: Sequence) -> Iterator[TrackResult | list[TrackResult]]:
        """Track through a video.

        Args:
            source: What :func:`~mmtrack_mixformerv2.video.open_source` takes: a file, a folder of
                pictures, a glob pattern, a camera, a stream, or frames in the order of channels
                that this tracker was made for.
            box: As for :meth:`init`.

        Yields:
            What each frame gives, the first one included, whose box is the given one.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If there is no frame, or as :meth:`init` and :meth:`update` do.
        """
        with open_source(source) as frames:
            color = self.color if frames.kind == 'arrays' else 'bgr'
            first = next(frames, None)
            if first is None:
                raise ValueError(f'{frames.shown} has no frames, expected at least one')
            self._init(_to_rgb(first, color), box)
            yield self.first_result(box)
            for frame in frames:
                yield self._update(_to_rgb(frame, color))

    def first_result(self, box: Sequence) -> TrackResult | list[TrackResult]:
        """What the first frame gives: the given box, or boxes, and no more."""
        state = None if self.loop.settings.policy is None else TargetState.TRACKED
        rows = [
            TrackResult(np.array(one, np.float64), None, False, state)
            for one in (box if _are_rows(box) else [box])
        ]
        return rows if _are_rows(box) else rows[0]

    def _init(self, frame: np.ndarray, box: Sequence) -> None:
        several = _are_rows(box)
        self._states = self.loop.init_targets(frame, box if several else [box])
        self._several = several

    def _update(self, frame: np.ndarray) -> TrackResult | list[TrackResult]:
        if self._states is None:
            raise RuntimeError('update came before init; call init(first_frame, box) first.')
        results = self.loop.track_targets(frame, self._states)
        return results if self._several else results[0]


def _to_rgb(frame: np.ndarray, color: str) -> np.ndarray:
    """A view of a frame in RGB; what is no frame of colours is left to the checks behind."""
    if color == 'rgb' or np.ndim(frame) != 3:
        return frame
    return frame[..., 2::-1] if frame.shape[-1] == 4 else frame[..., ::-1]


def _are_rows(boxes_xywh: Sequence) -> bool:
    """Whether these are several boxes; rows of unequal lengths are, and each is checked later."""
    try:
        return np.ndim(boxes_xywh) > 1
    except ValueError:
        return True
