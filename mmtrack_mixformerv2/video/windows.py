"""Windows of OpenCV: choosing targets with the mouse, and watching.

OpenCV may have been built without windows, or there is no screen, and then it ends the whole
program. So a window is first opened by another process.
"""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np

_TRIAL = (
    'import cv2, numpy; cv2.imshow("trial", numpy.zeros((8, 8, 3), "uint8")); cv2.waitKey(1); '
    'cv2.destroyAllWindows()'
)
_LARGEST = (1280, 720)  # of a picture to choose in: larger ones do not fit on many screens


class NoWindowError(OSError):
    """Windows cannot be opened here."""


def check_windows(purpose: str) -> None:
    """See whether a window can be opened.

    Args:
        purpose: What needs it, for the message.

    Raises:
        NoWindowError: If it cannot.
    """
    try:
        done = subprocess.run([sys.executable, '-c', _TRIAL], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise NoWindowError(
            f'{purpose} needs a window, and none can be opened here: there is no screen, or this '
            'is opencv-python-headless, which has no windows. Give the target with --init x,y,w,h, '
            'and look at the video that is written.'
        )


def select_boxes(frame: np.ndarray) -> list[list[float]]:
    """Let somebody draw boxes with the mouse.

    Args:
        frame: uint8 BGR.

    Returns:
        x, y, width, height of each in pixels of the frame; at least one.

    Raises:
        ValueError: If none was drawn.
    """
    scale = min(1.0, _LARGEST[0] / frame.shape[1], _LARGEST[1] / frame.shape[0])
    shown = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    title = 'draw a box, ENTER; the next one; ESC when all are drawn'
    boxes = cv2.selectROIs(title, shown, False)
    cv2.destroyWindow(title)
    found = [[float(value) / scale for value in box] for box in boxes if box[2] > 0 and box[3] > 0]
    if not found:
        raise ValueError('no box was drawn, expected at least one; confirm each with ENTER.')
    return found


class Window:
    """A window that shows pictures until somebody closes it, or presses q or ESC."""

    def __init__(self, title: str) -> None:
        self.title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self._fresh = True

    def show(self, picture: np.ndarray) -> bool:
        """Show a BGR picture; False if the user wants to end."""
        cv2.imshow(self.title, picture)
        if self._fresh:
            cv2.resizeWindow(self.title, picture.shape[1], picture.shape[0])
            self._fresh = False
        if cv2.waitKey(1) & 0xFF in (ord('q'), 27):
            return False
        return cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close it, if the user did not."""
        cv2.destroyAllWindows()
