"""Text files with one box per line, as every benchmark keeps its annotations and its results."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_SEPARATOR = re.compile(r'[,;\s]+')
_MOST_LINES_NAMED = 5


def read_boxes(path: str | Path, *, count: int | None = None) -> np.ndarray:
    """Reads x, y, width, height per line, between commas, semicolons, tabs or blanks.

    The end of the file may have line ends to spare, and lines may end as on Windows.

    Args:
        path: The file.
        count: How many boxes it must have; any number if None.

    Returns:
        float64 of shape ``(N, 4)`` in pixels; NaN in all four places where the file says so.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Names file and lines: not four numbers, an empty line between others, numbers
            that are infinite or NaN in part, another number of lines than ``count``, none at all.
    """
    lines = read_lines(path)
    boxes, bad = np.full((len(lines), 4), np.nan), {}
    for number, line in enumerate(lines, start=1):
        try:
            boxes[number - 1] = _numbers(line)
        except ValueError as error:
            bad[number] = str(error)
    if bad:
        raise ValueError(f'{path}: {name_lines(bad)}')
    if not len(boxes):
        raise ValueError(f'{path} is empty, expected one box per line')
    if count is not None and len(boxes) != count:
        raise ValueError(
            f'{path} has {len(boxes)} lines, expected {count}: one box for each frame of the '
            'sequence'
        )
    return boxes


def read_lines(path: str | Path) -> list[str]:
    """Lines of a text file, without empty ones at its end.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, in UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    try:
        return path.read_text(encoding='utf-8-sig').rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text file: {error}') from error


def name_lines(bad: dict[int, str]) -> str:
    """What is wrong with which lines, by their numbers from 1; the first few."""
    named = [f'line {number} {what}' for number, what in list(bad.items())[:_MOST_LINES_NAMED]]
    rest = len(bad) - len(named)
    return '; '.join(named) + (f'; and {rest} more lines' if rest else '')


def inverted_lines(boxes_xywh: np.ndarray) -> dict[int, str]:
    """Lines, from 1, whose box has a negative width or height."""
    rows = np.flatnonzero((boxes_xywh[:, 2:] < 0).any(axis=1))
    return {int(row) + 1: f'has size {boxes_xywh[row, 2:].tolist()}' for row in rows}


def _numbers(line: str) -> Sequence[float]:
    words = _SEPARATOR.split(line.strip(' \t,;'))
    if words == ['']:
        raise ValueError('is empty')
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f'is {line.strip()!r}, expected four numbers') from None
    if len(values) != 4:
        raise ValueError(f'has {len(values)} numbers, expected 4: {line.strip()!r}')
    if not all(map(math.isfinite, values)) and not all(map(math.isnan, values)):
        raise ValueError(f'is {line.strip()!r}; a box is four finite numbers, or four NaN')
    return values
