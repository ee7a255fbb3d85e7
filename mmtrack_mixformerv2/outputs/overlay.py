"""What a tracker found, drawn on the frame: boxes, score bars, states. BGR; OpenCV and NumPy only.

A target keeps its colour; its state is in the line of its box (whole, dashed, dotted), in the tag
at the box and in the panel, so that it can be told without seeing colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..tracking.confidence import TargetState
from ..tracking.sequence_tracker import TrackResult

# Blue, green, red. Okabe and Ito's, which colour-blind people can tell apart, black left out.
TARGET_COLORS = (
    (233, 180, 86),
    (0, 159, 230),
    (115, 158, 0),
    (167, 121, 204),
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
)
STATE_COLORS = {
    TargetState.TRACKED: (96, 200, 80),
    TargetState.UNCERTAIN: (40, 180, 250),
    TargetState.LOST: (70, 70, 235),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _LIGHT, _GREY = (28, 28, 28), (245, 245, 245), (96, 96, 96)
_DASHES = {TargetState.UNCERTAIN: (3.0, 0.4), TargetState.LOST: (1.0, 0.6)}  # length, gap's share
_FLASH = 12  # frames that a new template is shown for: one frame would be gone before one sees it


class Overlay:
    """Draws the results of one run, frame after frame.

    Args:
        targets: How many there are.
        text: Stands in the panel, after the number of the frame.
    """

    def __init__(self, targets: int, text: str = '') -> None:
        self.targets, self.text = targets, text
        self._updated = [-_FLASH] * targets
        self._index = -1

    def draw(self, frame: np.ndarray, results: Sequence[TrackResult]) -> np.ndarray:
        """A copy of the next frame with what was found in it.

        Args:
            frame: uint8 BGR ``(height, width, 3)``.
            results: One for each target.

        Returns:
            uint8 BGR of the same shape.
        """
        self._index += 1
        picture = np.ascontiguousarray(frame).copy()
        unit = _unit(picture)
        for number, result in enumerate(results):
            if result.template_updated:
                self._updated[number] = self._index
        # The first target on top of the others.
        for number, result in reversed(list(enumerate(results))):
            _draw_box(picture, result, TARGET_COLORS[number % len(TARGET_COLORS)], unit)
        for number, result in reversed(list(enumerate(results))):
            _draw_tag(picture, result, number, self.targets, unit)
        self._draw_panel(picture, results, unit)
        return picture

    def _draw_panel(self, picture: np.ndarray, results: Sequence[TrackResult], unit: float) -> None:
        rows = [_Row(self, number, result) for number, result in enumerate(results)]
        line, pad = round(20 * unit), round(8 * unit)
        title = f'frame {self._index}' + (f'  {self.text}' if self.text else '')
        bar = round((85 if self.targets == 1 else 101) * unit)  # with what is left of it
        row_width = bar + _text_size('0.00  uncertain +T', unit)[0] + 3 * pad
        width = max(row_width, _text_size(title, unit)[0] + 2 * pad)
        height = line * (len(rows) + 1) + pad
        if width > 0.6 * picture.shape[1] or height > 0.5 * picture.shape[0]:
            return  # it would hide what is tracked; the tags say the same
        corner = pad
        panel = picture[corner : corner + height, corner : corner + width]
        panel[:] = cv2.addWeighted(panel, 0.3, np.full_like(panel, 20), 0.7, 0)
        _put_text(panel, title, (pad, line - round(4 * unit)), _LIGHT, unit)
        for index, row in enumerate(rows, start=1):
            row.draw(panel, (index + 1) * line - round(4 * unit), pad, unit)


class _Row:
    """One target's line in the panel: its colour, a bar for the score, the state."""

    def __init__(self, overlay: Overlay, number: int, result: TrackResult) -> None:
        self.label = str(number + 1) if overlay.targets > 1 else ''
        self.color = TARGET_COLORS[number % len(TARGET_COLORS)]
        self.result = result
        self.updated = overlay._index - overlay._updated[number] < _FLASH

    def draw(self, panel: np.ndarray, base: int, pad: int, unit: float) -> None:
        """``base`` is where the text stands."""
        middle, radius = base - round(5 * unit), round(5 * unit)
        cv2.circle(panel, (pad + radius, middle), radius, self.color, -1, cv2.LINE_AA)
        left = pad + 3 * radius
        if self.label:
            _put_text(panel, self.label, (left, base), _LIGHT, unit)
            left += _text_size('00', unit)[0]
        right = left + round(70 * unit)
        top, bottom = middle - round(4 * unit), middle + round(4 * unit)
        cv2.rectangle(panel, (left, top), (right, bottom), _GREY, -1)
        value, color = shown_score(self.result), STATE_COLORS.get(self.result.state, _LIGHT)
        if value is not None:
            end = left + round((right - left) * min(max(value, 0.0), 1.0))
            cv2.rectangle(panel, (left, top), (end, bottom), color, -1)
        parts = [] if value is None else [f'{value:.2f}']
        words = '  '.join(parts if self.result.state is None else [*parts, self.result.state.value])
        _put_text(panel, words, (right + pad, base), color, unit)
        if self.updated:
            left = right + pad + _text_size(words + ' ', unit)[0]
            _put_text(panel, '+T', (left, base), _LIGHT, unit)


def shown_score(result: TrackResult) -> float | None:
    """The number that stands for a result: its score, or the confidence where there is none."""
    return result.confidence if result.score is None else result.score


def _draw_box(picture: np.ndarray, result: TrackResult, color: Sequence[int], unit: float) -> None:
    thickness = max(1, round(2 * unit))
    x, y, w, h = result.box_xywh
    corners = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    dash = _DASHES.get(result.state)
    if dash is None:
        cv2.polylines(
            picture, [corners.round().astype(np.int32)], True, color, thickness, cv2.LINE_AA
        )
        return
    for start, end in zip(corners, np.roll(corners, -1, axis=0)):
        _draw_dashes(picture, start, end, color, thickness, dash)


def _draw_dashes(
    picture: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    color: Sequence[int],
    thickness: int,
    dash: tuple[float, float],
) -> None:
    """A line of dashes that begins and ends with one, so that corners are whole."""
    length = float(np.hypot(*(end - start)))
    step, gap = 4 * thickness * dash[0], dash[1]
    count = max(1, round(length / step))
    for index in range(count):
        part = np.array([index, index + (1 - gap if index + 1 < count else 1)]) / count
        first, last = (start + (end - start) * value for value in part)
        cv2.line(
            picture,
            tuple(map(round, first.tolist())),
            tuple(map(round, last.tolist())),
            color,
            thickness,
            cv2.LINE_AA,
        )


def _draw_tag(
    picture: np.ndarray, result: TrackResult, number: int, targets: int, unit: float
) -> None:
    """A filled tag over the box, or in it where there is no place above."""
    color = TARGET_COLORS[number % len(TARGET_COLORS)]
    words = [str(number + 1)] if targets > 1 else []
    value = shown_score(result)
    if value is not None:
        words.append(f'{value:.2f}')
    if result.state not in (None, TargetState.TRACKED):
        words.append(result.state.value)
    if not words:
        return
    text = '  '.join(words)
    pad = max(2, round(4 * unit))
    width, height = _text_size(text, unit)
    box_width, box_height = width + 2 * pad, height + 2 * pad
    x, y = round(float(result.box_xywh[0])), round(float(result.box_xywh[1]))
    left = min(max(x - round(unit), 0), max(picture.shape[1] - box_width, 0))
    top = y - box_height if y >= box_height else min(max(y, 0), picture.shape[0] - box_height)
    cv2.rectangle(picture, (left, top), (left + box_width, top + box_height), color, -1)
    _put_text(picture, text, (left + pad, top + box_height - pad), _readable_on(color), unit)


def _readable_on(color: Sequence[int]) -> tuple[int, int, int]:
    blue, green, red = color
    return _DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else _LIGHT


def _unit(picture: np.ndarray) -> float:
    """Pixels of the picture for one of a picture 640 pixels wide and as high as usual."""
    return min(max(min(picture.shape[1] / 640, picture.shape[0] / 360), 0.6), 4.0)


def _text_size(text: str, unit: float) -> tuple[int, int]:
    return cv2.getTextSize(text, _FONT, 0.45 * unit, max(1, round(unit)))[0]


def _put_text(
    picture: np.ndarray, text: str, origin: tuple[int, int], color: Sequence[int], unit: float
) -> None:
    cv2.putText(picture, text, origin, _FONT, 0.45 * unit, color, max(1, round(unit)), cv2.LINE_AA)
