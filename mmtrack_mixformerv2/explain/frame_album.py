"""Frames of a video as small JPEG pictures, few enough to go into one file."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class AlbumLimits:
    """How much of a video an album keeps.

    Attributes:
        frames: At most so many pictures, not counting pinned ones. Where there are more frames,
            every second, fourth, ... frame is kept.
        width: Of the pictures in pixels; smaller frames keep their size.
        megabytes: At most so many million bytes for the pictures, in base64.
        quality: Of JPEG, 1 to 100.

    Raises:
        ValueError: If a number is out of range.
    """

    frames: int = 1500
    width: int = 640
    megabytes: float = 60.0
    quality: int = 75

    def __post_init__(self) -> None:
        if self.frames < 1 or self.width < 16 or not self.megabytes > 0:  # NaN, too
            raise ValueError(
                f'frames={self.frames}, width={self.width}, megabytes={self.megabytes} are the '
                'limits of an album, expected at least 1 frame, 16 pixels and a size above 0.'
            )
        if not 1 <= self.quality <= 100:
            raise ValueError(f'quality is {self.quality}, expected 1 to 100')


class FrameAlbum:
    """Takes the frames of a video one after the other, and keeps pictures of some.

    Args:
        limits: How much it keeps.
        count: Number of frames to come, if it is known: what would be dropped later is then left
            out at once.

    Attributes:
        count: Frames that came in so far.
        frame_size: Their width and height in pixels, ``(0, 0)`` before the first one.
        step: Every so manyth frame is kept.
        pinned: Numbers of frames that are kept whatever the step is.
    """

    def __init__(self, limits: AlbumLimits | None = None, count: int | None = None) -> None:
        self.limits = limits or AlbumLimits()
        self.count, self.frame_size, self.pinned = 0, (0, 0), set[int]()
        self.step = max(1, -(-(count or 0) // self.limits.frames))
        self._pictures: dict[int, bytes] = {}
        self._size = 0  # of all pictures

    def add(self, frame: np.ndarray, pinned: bool = False) -> None:
        """Take the next frame.

        Args:
            frame: BGR uint8 ``(height, width, 3)``.
            pinned: Whether it is to be kept in any case.

        Raises:
            ValueError: If its size is not that of the first frame, or it is no picture.
        """
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(
                f'frame {self.count} is {frame.dtype} of shape {frame.shape}, expected uint8 BGR '
                '(height, width, 3).'
            )
        size = (frame.shape[1], frame.shape[0])
        if self.count and size != self.frame_size:
            raise ValueError(
                f'frame {self.count} is {size[0]} x {size[1]} px, expected {self.frame_size[0]} x '
                f'{self.frame_size[1]} as the first one; a report has frames of one size.'
            )
        self.frame_size = size
        if pinned:
            self.pinned.add(self.count)
        if pinned or self.count % self.step == 0:
            self._pictures[self.count] = self._encode(frame)
            self._size += len(self._pictures[self.count])
        self.count += 1
        while self._is_full() and self.step < self.count:
            self.step *= 2
            self._drop()

    @property
    def pictures(self) -> dict[int, bytes]:
        """JPEG files by the number of the frame, in order."""
        self._drop()  # what is no longer pinned
        return dict(self._pictures)

    def _encode(self, frame: np.ndarray) -> bytes:
        width, height = self.frame_size
        if width > self.limits.width:
            size = (self.limits.width, max(1, round(height * self.limits.width / width)))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        return encode_jpeg(frame, self.limits.quality)

    def _is_full(self) -> bool:
        free = len(self._pictures) - len(self.pinned)
        size = self._size * 4 / 3  # in base64
        return free > self.limits.frames or (free > 1 and size > self.limits.megabytes * 1e6)

    def _drop(self) -> None:
        for index in list(self._pictures):
            if index % self.step and index not in self.pinned:
                self._size -= len(self._pictures.pop(index))


def encode_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A BGR uint8 picture ``(height, width, 3)`` as a JPEG file.

    Raises:
        ValueError: If it is larger than such a file can be.
    """
    encoded, code = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        height, width = picture.shape[:2]
        raise ValueError(f'{width} x {height} px are too much for a JPEG picture; crop the frames')
    return code.tobytes()
