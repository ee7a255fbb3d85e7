"""The tracker of one video, as OpenCV's are used: init, then update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..video import Source, open_source
from .sequence_tracker import SequenceTracker, TrackResult
from .state import SequenceState


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
        check_color(color)
        self.loop = loop
        self.color = color
        self._targets: _Targets | None = None

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
        self._targets = self._start(_to_rgb(frame, self.color), box)

    def update(self, frame: np.ndarray) -> TrackResult | list[TrackResult]:
        """Find the target in the next frame, or each of them, in the order of their boxes.

        Several targets share one forward.

        Raises:
            RuntimeError: If there was no :meth:`init`.
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame has another size than the first one.
        """
        if self._targets is None:
            raise RuntimeError('update came before init; call init(first_frame, box) first.')
        return self._follow(_to_rgb(frame, self.color), self._targets)

    def track(self, source: Source, box: Sequence) -> Iterator[TrackResult | list[TrackResult]]:
        """Track through a video.

        It does not disturb what :meth:`init` has started, nor another call that is under way.

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
            targets = self._start(_to_rgb(first, color), box)
            yield self.first_result(box)
            for frame in frames:
                yield self._follow(_to_rgb(frame, color), targets)

    def first_result(self, box: Sequence) -> TrackResult | list[TrackResult]:
        """What the first frame gives: the given box, or boxes, and no more."""
        if _are_rows(box):
            return [self.loop.first_result(one) for one in box]
        return self.loop.first_result(box)

    def _start(self, frame: np.ndarray, box: Sequence) -> _Targets:
        several = _are_rows(box)
        return _Targets(self.loop.init_targets(frame, box if several else [box]), several)

    def _follow(self, frame: np.ndarray, targets: _Targets) -> TrackResult | list[TrackResult]:
        results = self.loop.track_targets(frame, targets.states)
        return results if targets.several else results[0]


class _Targets(NamedTuple):
    """What is followed in one video; ``several`` says whether it was given as rows of boxes."""

    states: list[SequenceState]
    several: bool


def check_color(color: str) -> None:
    """Raise ValueError unless it is an order of channels that a :class:`Tracker` takes."""
    if color not in ('rgb', 'bgr'):
        raise ValueError(
            f"color is {color!r}, expected 'rgb', or 'bgr' for frames decoded by OpenCV"
        )


def _to_rgb(frame: np.ndarray, color: str) -> np.ndarray:
    """A view of a frame in RGB; what is no frame of colours is left to the checks behind."""
    if color == 'rgb' or not isinstance(frame, np.ndarray) or frame.ndim != 3:
        return frame
    return frame[..., 2::-1] if frame.shape[-1] == 4 else frame[..., ::-1]


def _are_rows(boxes_xywh: Sequence) -> bool:
    """Whether these are several boxes; rows of unequal lengths are, and each is checked later."""
    try:
        return np.ndim(boxes_xywh) > 1
    except ValueError:
        return True
