"""Videos that are written: OpenCV's writer, which says nothing when a disk is full, and a check."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

RATES = (0.1, 1000.0)  # frames per second: OpenCV's writer hangs or fails beyond


class VideoFile:
    """A video that is written frame by frame, beside its place, and moved there at the end.

    Args:
        path: Without ending: mp4 is written where this OpenCV can, else Motion JPEG in avi.
        rate: Frames per second, within ``RATES``.

    Raises:
        ValueError: If the rate is not.
    """

    def __init__(self, path: str | Path, rate: float = 25.0) -> None:
        if not RATES[0] <= rate <= RATES[1]:
            raise ValueError(
                f'the rate of a video is {rate}, expected {RATES[0]:g} to {RATES[1]:g} frames per '
                'second'
            )
        self.path, self.rate, self.count = Path(path), rate, 0
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._part = Path()

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 BGR.

        Raises:
            OSError: At the first frame, if no video can be written there.
            ValueError: If the frame has another size than the first one.
        """
        size = (frame.shape[1], frame.shape[0])
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer, self._part = _open_writer(self.path, size, self.rate)
            self._size = size
        if size != self._size:  # the writer would leave it out without a word
            raise ValueError(
                f'frame {self.count} is {size[0]} x {size[1]} px, expected {self._size[0]} x '
                f'{self._size[1]} as the first one; a video has one size.'
            )
        self._writer.write(frame)
        self.count += 1

    def finish(self) -> Path:
        """Close the file, check it and move it to its place, over an earlier one; gives its path.

        Raises:
            OSError: If the file does not hold all the frames.
            ValueError: If there was no frame.
        """
        if self._writer is None:
            raise ValueError(f'no frames for {self.path}, expected at least one.')
        self._writer.release()
        try:
            found = _count_written(self._part, self.count)
            if found != self.count:
                raise OSError(
                    f'{self._part} holds {found} frames after writing {self.count}; the disk may '
                    'be full, or this OpenCV lacks a codec.'
                )
            return self._part.replace(self.path.with_name(self.path.name + self._part.suffix))
        finally:
            self.discard()

    def discard(self) -> None:
        """Close and remove what is not finished."""
        if self._writer is not None:
            self._writer.release()
            self._part.unlink(missing_ok=True)


def write_video(path: str | Path, frames: Iterable[np.ndarray], rate: float = 25.0) -> Path:
    """Write frames of one size as a video, and check that it can be read back.

    Args:
        path: Without ending: mp4 is written where this OpenCV can, else Motion JPEG in avi.
        frames: uint8 BGR; read once, one at a time.
        rate: Frames per second.

    Returns:
        The file that was written.

    Raises:
        OSError: If neither can be written, or the file does not hold all the frames. An earlier
            file of that name is replaced only by a whole one.
        ValueError: If there is no frame, or one has another size.
    """
    file = VideoFile(path, rate)
    try:
        for frame in frames:
            file.write(frame)
        return file.finish()
    finally:
        file.discard()


def _count_written(path: Path, expected: int) -> int:
    """Frames of a video of ours: as the file says if its last frame can be read, else counted."""
    capture = cv2.VideoCapture(str(path))
    try:
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if count == expected:
            capture.set(cv2.CAP_PROP_POS_FRAMES, count - 1)
            if capture.read()[0]:
                return count
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        count = 0
        while capture.read()[0]:
            count += 1
        return count
    finally:
        capture.release()


def _open_writer(path: Path, size: tuple[int, int], rate: float) -> tuple[cv2.VideoWriter, Path]:
    for ending, codec in (('.mp4', 'mp4v'), ('.avi', 'MJPG')):
        part = path.with_name(f'.{path.name}.part{ending}')
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*codec), rate, size)
        if writer.isOpened():
            return writer, part
    raise OSError(
        f'neither {path}.mp4 nor {path}.avi could be opened for writing; check the folder, and '
        'that this OpenCV was built with video output.'
    )
