"""A video that browsers play: VP8 in WebM, which OpenCV can write without any other program.

The MP4 files that OpenCV's packages write hold MPEG-4 Part 2, which no browser plays.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

LARGEST_SIDE = 640  # pixels; VP8 takes long for more
_WAITING = 8  # frames that wait for the encoder, at most


class BrowserVideo:
    """Encodes frames in a thread while the next ones are tracked; a context manager.

    Args:
        path: Ends with ``.webm``.
        rate: Frames per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._thread = ThreadPoolExecutor(1)
        self._queue: list[Future[None]] = []

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 BGR; all have the shape of the first one."""
        self._queue.append(self._thread.submit(self._encode, frame))
        while len(self._queue) > _WAITING:
            self._queue.pop(0).result()

    def finish(self) -> Path | None:
        """Close the file; gives its path, or None if this OpenCV cannot write it."""
        for waiting in self._queue:
            waiting.result()
        self._queue.clear()
        opened = self._writer is not None and self._writer.isOpened()
        if self._writer is not None:
            self._writer.release()
        return self.path if opened and _is_readable(self.path) else None

    def _encode(self, frame: np.ndarray) -> None:
        height, width = frame.shape[:2]
        scale = min(1.0, LARGEST_SIDE / max(height, width))
        # VP8 has one sample of colour for 2 x 2 pixels.
        size = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
        if self._writer is None:
            code = cv2.VideoWriter_fourcc(*'VP80')
            self._writer = cv2.VideoWriter(str(self.path), code, self.rate, size)
        self._writer.write(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))

    def __enter__(self) -> BrowserVideo:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._writer is not None:
            self._writer.release()


def _is_readable(path: Path) -> bool:
    capture = cv2.VideoCapture(str(path))
    try:
        return capture.read()[0]
    finally:
        capture.release()
