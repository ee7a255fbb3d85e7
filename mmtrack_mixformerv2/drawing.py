"""Boxes on frames: marked frames and strips of pictures. BGR throughout; OpenCV only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Mark(NamedTuple):
    """How one kind of box is drawn.

    Attributes:
        label: Its name in the legend.
        color: Blue, green, red, 0 to 255.
    """

    label: str
    color: tuple[int, int, int]


def draw_boxes(
    frame: np.ndarray,
    boxes_xywh: Sequence[Sequence[float] | None],
    marks: Sequence[Mark],
    width: int,
    text: str = '',
) -> np.ndarray:
    """A resized copy of a frame with boxes and a line of text.

    Args:
        frame: uint8 BGR ``(height, width, 3)``.
        boxes_xywh: One for each mark, in pixels of the frame; None where there is none.
        marks: The first one is drawn last, over the others.
        width: Of the result in pixels.
        text: Written into the upper left corner.

    Returns:
        uint8 BGR ``(width * frame height / frame width, width, 3)``.
    """
    scale = width / frame.shape[1]
    height = max(2, round(frame.shape[0] * scale))
    picture = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    thickness = max(1, width // 240)
    for box, mark in reversed(list(zip(boxes_xywh, marks))):
        if box is not None:
            x, y, w, h = (value * scale for value in box)
            corners = (round(x), round(y)), (round(x + w), round(y + h))
            cv2.rectangle(picture, *corners, mark.color, thickness, cv2.LINE_AA)
    if text:
        _write(picture, text, (4, 14), (255, 255, 255))
    return picture


def make_legend(marks: Sequence[Mark], width: int) -> np.ndarray:
    """A dark bar ``(24, width, 3)`` with the name of each mark in its color."""
    bar = np.full((24, width, 3), 24, np.uint8)
    x = 6
    for mark in marks:
        cv2.rectangle(bar, (x, 7), (x + 10, 17), mark.color, -1)
        _write(bar, mark.label, (x + 15, 17), mark.color)
        x += 15 + cv2.getTextSize(mark.label, _FONT, 0.42, 1)[0][0] + 14
    return bar


def hatch(picture: np.ndarray, mask: np.ndarray, color: Sequence[int]) -> None:
    """Draws slanted lines over the part of a picture where a mask of its size is True."""
    rows, columns = np.indices(mask.shape, sparse=True)
    picture[mask & ((rows + columns) % 8 < 2)] = color


def make_caption(lines: Sequence[str], width: int) -> np.ndarray:
    """A dark bar ``(18 * lines + 4, width, 3)`` of text; what is too long for it is cut off."""
    bar = np.full((18 * len(lines) + 4, width, 3), 24, np.uint8)
    for row, line in enumerate(lines):
        _write(bar, line, (4, 18 * row + 15), (255, 255, 255))
    return bar


def stack(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below each other (axis 0) or side by side (axis 1), filled up with dark grey."""
    other = max(picture.shape[1 - axis] for picture in pictures)
    padded = []
    for picture in pictures:
        missing = [(0, 0), (0, 0), (0, 0)]
        missing[1 - axis] = (0, other - picture.shape[1 - axis])
        padded.append(np.pad(picture, missing, constant_values=24))
    return np.concatenate(padded, axis)


def write_strip(
    path: str | Path, rows: Sequence[Sequence[np.ndarray]], marks: Sequence[Mark]
) -> None:
    """Write pictures as a table with a legend on top, as png; gaps are filled up."""
    tile_height = [max(picture.shape[0] for picture in row) + 2 for row in rows]
    tile_width = max(picture.shape[1] for row in rows for picture in row) + 2
    width = tile_width * max(map(len, rows))
    table = np.full((sum(tile_height), width, 3), 24, np.uint8)
    top = 0
    for row, height in zip(rows, tile_height):
        for column, picture in enumerate(row):
            left = column * tile_width
            table[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += height
    path = Path(path)
    encoded, code = cv2.imencode('.png', np.concatenate([make_legend(marks, width), table]))
    assert encoded
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(code.tobytes())


def _write(picture: np.ndarray, text: str, origin: tuple[int, int], color: Sequence[int]) -> None:
    (width, height), base = cv2.getTextSize(text, _FONT, 0.42, 1)
    x, y = origin
    cv2.rectangle(picture, (x - 2, y - height - 2), (x + width + 1, y + base), (24, 24, 24), -1)
    cv2.putText(picture, text, origin, _FONT, 0.42, tuple(color), 1, cv2.LINE_AA)
